//! What names a channel's events.

#![allow(clippy::unwrap_used, missing_docs)]

use futures_util::StreamExt as _;
use tidewater_core::{ErrorKind, EventFrom, Message};
use tidewater_hub::{Hub, Resume, Select};

#[tokio::test]
async fn events_have_the_names_that_the_channel_chose() {
    let hub = Hub::new();
    for (from, message, expected) in [
        (EventFrom::Topic, Message::new("t", "x"), "event: named-topic\n"),
        (EventFrom::Key, Message::new("t", "x").with_key("ada"), "event: ada\n"),
        (EventFrom::Key, Message::new("t", "x"), "data: x\n"),
        // What no event may be called goes out without a name.
        (EventFrom::Key, Message::new("t", "x").with_key("a\nb"), "data: x\n"),
        (EventFrom::Fixed("tick".to_owned()), Message::new("t", "x"), "event: tick\n"),
    ] {
        let url = "memory:named-topic";
        let channel = hub.channel("c").source(url).sink(url).event(from.clone()).open().unwrap();
        let mut stream = channel.stream(Resume::default(), Select::all()).await;
        stream.next().await.unwrap();
        channel.publish(message).await.unwrap();
        let event = String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap();
        assert!(event.starts_with(expected), "{from}: {event}");
        hub.close("c");
    }
    let refused = hub.channel("c").source("memory:x").event(EventFrom::Fixed("open".to_owned())).open();
    let error = refused.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.to_string().contains("\"open\" is reserved"),
        "{error}"
    );
}
