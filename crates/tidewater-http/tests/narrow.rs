//! What a request selects only ever narrows what the application lets it see.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt as _;
use tidewater_core::{Message, Outgoing, memory::MemoryLog, sse::Decoder};
use tidewater_http::{LAST_EVENT_ID, Resume};
use tidewater_hub::{Channel, Hub, Select};
use tokio::time::timeout;

/// The data that a request gets where the application lets it see `granted`.
async fn seen(channel: &Channel, query: &str, id: Option<&str>, granted: Select) -> Vec<String> {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert(LAST_EVENT_ID, HeaderValue::from_str(id).unwrap());
    }
    let resume = Resume::from_head(&Method::GET, Some(query), &headers).unwrap();
    let mut body = resume.open_selected(channel, granted).await.into_response().into_body();
    let (mut decoder, mut got) = (Decoder::new(), Vec::new());
    while let Ok(Some(frame)) = timeout(Duration::from_millis(200), body.frame()).await {
        decoder.feed_bytes(frame.unwrap().into_data().unwrap());
        while let Some(event) = decoder.next_event().unwrap() {
            if event.event_type == "message" {
                got.push(event.data.to_string());
            }
        }
    }
    got
}

#[tokio::test]
async fn i8_a_request_only_narrows_what_it_may_see() {
    let log = MemoryLog::new("narrow");
    let channel = Hub::new()
        .channel("c")
        .source(log.source())
        .map(|message| {
            Ok(Some(Outgoing::new(String::from_utf8_lossy(message.payload.as_deref().unwrap())).tag("t")))
        })
        .open()
        .unwrap();
    let start = channel_cursor(&channel).await;
    for (key, data) in [("ada", "a1"), ("bob", "b1"), ("ada", "a2"), ("eve", "e1")] {
        log.publish(Message::new("narrow", data).with_key(key));
    }
    let granted = || Select::keys(["ada", "bob"]).and(Select::topic(">"));
    let all: &[&str] = &["a1", "b1", "a2"];
    for (query, expected) in [
        ("", all),
        ("topic=%3E", all),
        ("topic=*&tag=t&event=message", all),
        ("key=ada", &["a1", "a2"]),
        ("key=ada&key=eve", &["a1", "a2"]),
        ("key=eve", &[]),
        ("topic=elsewhere&topic=*.*", &[]),
    ] {
        let since = format!("since=earliest&{query}");
        assert_eq!(seen(&channel, &since, None, granted()).await, expected, "{query}");
        assert_eq!(seen(&channel, query, Some(&start), granted()).await, expected, "{query}, with an id");
    }
    let nothing = Select::keys(Vec::<&'static str>::new());
    assert!(seen(&channel, "since=earliest&topic=%3E", None, nothing).await.is_empty());
}

async fn channel_cursor(channel: &Channel) -> String {
    loop {
        if let Ok(cursor) = channel.cursor().await {
            return cursor.to_string();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
