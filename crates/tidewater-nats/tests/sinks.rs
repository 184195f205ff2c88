//! Publishing: that it is there, where it is, and what is refused.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use futures_util::StreamExt as _;
use tidewater_core::{Cursor, Delivery, ErrorKind, Message, Subscription, plugin};
use tidewater_testkit::broker::NatsServer;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::common::{TestStream, client, host, next, next_text, unique, url};

fn message(payload: &str) -> Message {
    let headers = [("tidewater-event", "order"), ("twice", "1"), ("twice", "2")].into_iter().collect();
    Message::new("ignored", payload.to_owned()).with_key("user-7").with_headers(headers)
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_subject_has_the_message_when_send_has_resolved() {
    let name = unique("sink");
    let listener = client(&url()).await;
    let mut heard = listener.subscribe(name.clone()).await.unwrap();
    listener.flush().await.unwrap();
    let sink = plugin::open_sink(&format!("nats://{}/{name}", host())).unwrap();
    assert_eq!(sink.to_string(), format!("nats://{}/{name}", host()));
    let receipt = sink.send(message("hello")).await.unwrap();
    assert_eq!((receipt.topic.as_str(), receipt.place), (name.as_str(), None));
    let heard = heard.next().await.unwrap();
    assert_eq!(&heard.payload[..], b"hello");
    let headers = heard.headers.unwrap();
    assert_eq!(headers.get("tidewater-key").unwrap().as_str(), "user-7");
    assert_eq!(headers.get_all("twice").map(|value| value.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    sink.flush().await.unwrap();
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_stream_acknowledges_with_a_place_that_a_reader_can_resume_from() {
    let stream = TestStream::new(&url(), |_| {}).await;
    let sink = plugin::open_sink(&format!("{}/{}", stream.url(), stream.subject())).unwrap();
    let source = stream.open();
    for incarnation in 0..2 {
        let mut cursor = Cursor::default();
        for n in 1..=3 {
            let receipt = sink.send(message(&n.to_string())).await.unwrap();
            let place = receipt.place.unwrap();
            assert_eq!(
                (receipt.topic.as_str(), place.position.offset()),
                (stream.subject().as_str(), Some(n))
            );
            let bounds = source.bounds().await.unwrap();
            assert_eq!(place.epoch, Some(bounds.topics[0].epoch), "incarnation {incarnation}");
            if n == 2 {
                cursor.advance(place.tag, place.epoch.unwrap().tag(), place.partition, &place.position);
            }
        }
        let mut subscribed = source.subscribe(Subscription::after(cursor)).await.unwrap();
        let Delivery::Message(third) = next(&mut subscribed.deliveries).await.unwrap() else { panic!() };
        assert_eq!(third.payload.as_deref(), Some(&b"3"[..]));
        assert_eq!(
            (third.key.as_deref(), third.headers.clone()),
            (Some(&b"user-7"[..]), message("").headers)
        );
        // Sequences begin again, which the sink has to notice.
        stream.recreate().await;
    }
}

/// What a connection has lost is given up after one wait, not after one for each message.
#[tokio::test]
async fn messages_that_nobody_acknowledges_are_given_up_together() {
    let port = swallow().await;
    let sink = plugin::open_sink(&format!("jetstream://127.0.0.1:{port}/orders/orders.new")).unwrap();
    let messages = (0..20).map(|n| message(&n.to_string())).collect();
    let within = tokio::time::timeout(Duration::from_secs(20), sink.send_all(messages)).await;
    let error = within.expect("one wait").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

/// A server that takes everything, and answers pings alone. Its port.
async fn swallow() -> u16 {
    const INFO: &[u8] = b"INFO {\"server_id\":\"S\",\"server_name\":\"S\",\"version\":\"2.12.0\",\"go\":\"go\",\"host\":\"127.0.0.1\",\
        \"port\":0,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\"client_id\":1}\r\n";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = tokio::io::BufReader::new(read).lines();
                write.write_all(INFO).await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "PING" {
                        write.write_all(b"PONG\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn subjects_that_the_stream_does_not_take_are_errors() {
    let (stream, other) = (TestStream::new(&url(), |_| {}).await, TestStream::new(&url(), |_| {}).await);
    let open = |subject: &str| plugin::open_sink(&format!("{}/{subject}", stream.url())).unwrap();
    let wrong = open(&other.subject()).send(message("x")).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Config, "{wrong}");
    assert_eq!(other.stream().await.cached_info().state.messages, 0, "it went nowhere else");
    let nobodys = open(&unique("nobodys")).send(message("x")).await.unwrap_err();
    assert_eq!(nobodys.kind(), ErrorKind::NotFound, "{nobodys}");
}

#[test]
fn urls_of_sinks_name_one_subject() {
    for (url, what) in [
        ("nats://a/orders.>", "orders.new"),
        ("nats://a/orders.*", "orders.new"),
        ("jetstream://a/S/orders.>", "orders.new"),
        ("jetstream://a/S", "jetstream://a/S/orders.new"),
        ("nats://a/x?buffer=3", "there is no parameter \"buffer\""),
    ] {
        let error = plugin::open_sink(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(what), "{url}: {error}");
    }
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn what_is_too_large_is_refused_and_a_server_that_is_away_is_told() {
    let mut server = NatsServer::with_config("max_payload: 1000").unwrap();
    let stream = TestStream::new(&server.url(), |config| config.max_message_size = 500).await;
    let at = format!("127.0.0.1:{}", server.port());
    let nats = plugin::open_sink(&format!("nats://{at}/x")).unwrap();
    let jetstream =
        plugin::open_sink(&format!("jetstream://{at}/{}/{}", stream.name, stream.subject())).unwrap();
    for (sink, size) in [(&nats, 2000), (&jetstream, 2000), (&jetstream, 700)] {
        let error = sink.send(Message::new("", "x".repeat(size))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{sink}, {size}: {error}");
        sink.send(Message::new("", "small")).await.unwrap();
    }
    server.kill().unwrap();
    for sink in [&nats, &jetstream] {
        let error = sink.send(Message::new("", "x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{sink}: {error}");
    }
    server.restart().unwrap();
    for sink in [&nats, &jetstream] {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while let Err(error) = sink.send(Message::new("", "again")).await {
            assert!(std::time::Instant::now() < deadline, "{sink}: {error}");
        }
    }
}

/// A user who may publish to one subject only can't have the round trip that confirms; the message goes out all the
/// same.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_user_who_may_not_ask_can_publish_all_the_same() {
    let config = "authorization { users: [\n{ user: all, password: x }\n\
                  { user: one, password: x, permissions: { publish: [\"orders\"] } } ] }";
    let server = NatsServer::with_config(config).unwrap();
    let at = format!("127.0.0.1:{}", server.port());
    let source = plugin::open_source(&format!("nats://all:x@{at}/orders")).unwrap();
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let sink = plugin::open_sink(&format!("nats://one:x@{at}/orders")).unwrap();
    for n in 0..3 {
        sink.send(Message::new("", n.to_string())).await.unwrap();
        assert_eq!(next_text(&mut subscribed.deliveries).await, n.to_string());
    }
}
