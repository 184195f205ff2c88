//! From a real broker, through each web server, to a client: exactly what was produced, and back by `POST`.
//!
//! {Kafka, NATS, JetStream} x {direct, hyper, warp, rocket, salvo}. The producers are of another make.

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Broker, Case, Event, Feed, Gateway, SseClient, heavy, http};

/// A name for the test, a broker and a web server for each path.
macro_rules! paths {
    ($($name:ident: $broker:ident, $server:literal, $needs:literal;)*) => {$(
        #[tokio::test]
        #[ignore = $needs]
        async fn $name() -> Result<()> {
            path(Broker::$broker, $server).await
        }
    )*};
}

paths! {
    kafka_through_direct: Kafka, "direct", "needs Kafka: run cargo xtask test";
    kafka_through_hyper: Kafka, "hyper", "needs Kafka: run cargo xtask test";
    kafka_through_warp: Kafka, "warp", "needs Kafka: run cargo xtask test";
    kafka_through_rocket: Kafka, "rocket", "needs Kafka: run cargo xtask test";
    kafka_through_salvo: Kafka, "salvo", "needs Kafka: run cargo xtask test";
    nats_through_direct: Nats, "direct", "needs NATS: run cargo xtask test";
    nats_through_hyper: Nats, "hyper", "needs NATS: run cargo xtask test";
    nats_through_warp: Nats, "warp", "needs NATS: run cargo xtask test";
    nats_through_rocket: Nats, "rocket", "needs NATS: run cargo xtask test";
    nats_through_salvo: Nats, "salvo", "needs NATS: run cargo xtask test";
    jetstream_through_direct: JetStream, "direct", "needs NATS: run cargo xtask test";
    jetstream_through_hyper: JetStream, "hyper", "needs NATS: run cargo xtask test";
    jetstream_through_warp: JetStream, "warp", "needs NATS: run cargo xtask test";
    jetstream_through_rocket: JetStream, "rocket", "needs NATS: run cargo xtask test";
    jetstream_through_salvo: JetStream, "salvo", "needs NATS: run cargo xtask test";
}

const PATH: &str = "/channels/feed";

async fn path(broker: Broker, server: &str) -> Result<()> {
    let _alone = heavy().await;
    let feed = Feed::create(broker, "paths").await?;
    let gateway = Gateway::new(server).channel("feed", &feed.url()).allow_publish("feed").start().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    ensure!(client.header("content-type") == Some("text/event-stream"), "{client:?}");
    let start = client.expect_start().await?.to_string();

    let cases = Case::all(broker);
    for case in &cases {
        feed.produce_record(&case.record).await.with_context(|| case.what)?;
    }
    let mut events = Vec::new();
    for case in &cases {
        let event = client.expect_shown().await.with_context(|| case.what)?;
        case.check(&event.event_type, &event.data)?;
        events.push(event);
    }
    resumes(&gateway, &start, &events).await?;
    publishes(&gateway, &feed, &mut client).await.with_context(|| gateway.output())
}

/// I1: from every id that it was given, a client gets exactly the rest.
async fn resumes(gateway: &Gateway, start: &str, events: &[Event]) -> Result<()> {
    let ids = std::iter::once(start).chain(events.iter().map(|event| event.last_event_id.as_str()));
    for (index, id) in ids.enumerate() {
        // By the header, and by the query, where an older one must not win over the header.
        let (path, header) = match index % 3 {
            0 => (PATH.to_owned(), Some(id)),
            1 => (format!("{PATH}?last_event_id={id}"), None),
            _ => (format!("{PATH}?lastEventId={start}"), Some(id)),
        };
        let mut client = SseClient::connect(gateway.address(), &path, header).await?;
        let begin = client.expect_start().await?.to_string();
        ensure!(begin == id, "the stream begins at {begin} instead of {id}");
        for expected in &events[index..] {
            let event = client.expect_shown().await.with_context(|| format!("resumed after {index}"))?;
            ensure!(event == *expected, "resumed after {index}: {:.200?}, not {:.200?}", event, expected);
        }
    }
    Ok(())
}

/// `POST` puts the body, the key and the event's name into the broker, and says where.
async fn publishes(gateway: &Gateway, feed: &Feed, client: &mut SseClient) -> Result<()> {
    let mut listener = match feed {
        Feed::Nats(subject) => Some(subject.listen().await?),
        _ => None,
    };
    let path = format!("{PATH}?key=customer%209&event=order.paid");
    let foreign = [("origin", "https://evil.example")];
    let refused = http::request(gateway.address(), "POST", &path, &foreign, b"forged").await?;
    ensure!(refused.status == 403, "a page of another origin: {refused:?}");

    let answer = http::post(gateway.address(), &path, b"from a page").await?;
    ensure!(answer.status == 202, "{answer:?}");
    let told = answer.json()?;
    let event = client.expect_shown().await?;
    ensure!((&*event.event_type, &*event.data) == ("order.paid", "from a page"), "{event:?}");
    ensure!(told["id"].is_null() || told["id"] == *event.last_event_id, "{told} and {event:?}");

    let offset = || told["offset"].as_u64().with_context(|| format!("no offset in {told}"));
    match feed {
        Feed::Kafka(topic) => {
            let (key, headers, payload) = topic.consume(0, offset()?).await?;
            let found = (key.as_str(), headers.as_str(), payload.as_str());
            ensure!(found == ("customer 9", "tidewater-event=order.paid", "from a page"), "{found:?}");
        }
        Feed::JetStream(stream) => {
            let message = stream.message(offset()?).await?;
            ensure!(&message.payload[..] == b"from a page", "{message:?}");
            ensure!(message.header("tidewater-event") == Some("order.paid"), "{message:?}");
            ensure!(message.header("tidewater-key") == Some("customer 9"), "{message:?}");
        }
        Feed::Nats(_) => {
            let listener = listener.as_mut().context("no listener")?;
            let message = listener.next().await?;
            ensure!(&message.payload[..] == b"from a page", "{message:?}");
            ensure!(message.header("tidewater-event") == Some("order.paid"), "{message:?}");
        }
    }
    Ok(())
}
