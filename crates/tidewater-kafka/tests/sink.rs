//! The sink on a real broker.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use support::{Topic, broker};
use tidewater_core::{
    ErrorKind, Headers, Message, Place, Position, Retry, Sink as _, Source as _, Subscription, TopicTag,
    plugin,
};
use tidewater_kafka::{KIND, KafkaConfig};
use tokio::time::timeout;

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn receipts_say_where_the_source_reads_it() {
    let topic = Topic::new(3).await;
    let sink = topic.config().sink().unwrap();
    let headers: Headers = [("tidewater-event", "made"), ("a", "1"), ("a", "2")].into_iter().collect();
    let mut sent = Vec::new();
    for n in 0..20 {
        let mut message = Message::new("not looked at", format!("payload {n}"))
            .with_key(format!("key {}", n % 5))
            .with_headers(headers.clone());
        if n == 7 {
            message.payload = None;
        }
        if n == 8 {
            message.key = None;
        }
        let receipt = sink.send(message.clone()).await.unwrap();
        assert_eq!(&*receipt.topic, topic.name);
        sent.push((receipt.place.unwrap(), message));
    }
    sink.flush().await.unwrap();

    let bounds = topic.source().bounds().await.unwrap();
    let mut reading = topic.read(Subscription::earliest()).await;
    for _ in 0..sent.len() {
        let read = reading.message().await;
        let place = Place {
            tag: TopicTag::of(KIND, &topic.name),
            epoch: Some(bounds.topics[0].epoch),
            partition: read.partition,
            position: read.position.clone(),
        };
        let index = sent.iter().position(|(other, _)| *other == place).unwrap_or_else(|| panic!("{place:?}"));
        let (_, message) = sent.swap_remove(index);
        assert_eq!((read.key, read.payload, read.headers), (message.key, message.payload, message.headers));
    }
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn many_at_a_time_with_one_key_go_to_one_partition() {
    let topic = Topic::new(3).await;
    let sink = topic.config().sink().unwrap();
    let all = (0..200).map(|n| sink.send(Message::new("", format!("{n}")).with_key("one key")));
    let sent = futures_util::future::join_all(all).await;
    let mut places: Vec<Place> = sent.into_iter().map(|sent| sent.unwrap().place.unwrap()).collect();
    places.sort_by_key(|place| place.position.offset());
    for (offset, place) in (0..).zip(&places) {
        assert_eq!((place.partition, &place.position), (places[0].partition, &Position::Offset(offset)));
    }
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_message_that_is_too_large_is_rejected_and_the_next_one_is_not() {
    let topic = Topic::new(1).await;
    let sink = topic.config().sink().unwrap();
    let error = sink.send(Message::new("", "x".repeat(2_000_000))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Rejected, Retry::Never), "{error}");
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    // One that the producer would take and the broker doesn't.
    let sink = topic.config().with_property("message.max.bytes", "9000000").unwrap().sink().unwrap();
    let error = sink.send(Message::new("", "x".repeat(5_000_000))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Rejected, Retry::Never), "{error}");
    assert!(sink.send(Message::new("", "small")).await.is_ok());
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn receipts_of_a_topic_made_again_are_of_its_new_epoch() {
    let topic = Topic::new(1).await;
    let sink = topic.config().sink().unwrap();
    let mut epochs = Vec::new();
    for round in 0..2 {
        for n in 0..3 {
            let place = sink.send(Message::new("", format!("{round} {n}"))).await.unwrap().place.unwrap();
            let epoch = topic.source().bounds().await.unwrap().topics[0].epoch;
            assert_eq!((place.position, place.epoch), (Position::Offset(n), Some(epoch)), "round {round}");
            epochs.push(epoch);
        }
        topic.recreate().await;
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 2);
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_full_queue_is_waited_for() {
    let topic = Topic::new(1).await;
    let config = topic.config().with_property("queue.buffering.max.messages", "5").unwrap();
    let sink = config.sink().unwrap();
    let all = (0..50).map(|n| sink.send(Message::new("", format!("{n}"))));
    for sent in futures_util::future::join_all(all).await {
        sent.unwrap();
    }
    assert_eq!(topic.source().bounds().await.unwrap().topics[0].partitions[0], 0..50);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_in_time() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("kafka://127.0.0.1:{port}/orders?message.timeout.ms=2000");
    let sink = plugin::open_sink(&url).unwrap();
    let sent =
        timeout(Duration::from_secs(15), sink.send(Message::new("", "x"))).await.expect("a bounded time");
    let error = sent.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
    assert!(error.to_string().contains(&format!("no broker answers at 127.0.0.1:{port}")), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn dropping_a_sink_does_not_block() {
    let topic = Topic::new(1).await;
    let sink = topic.config().sink().unwrap();
    sink.send(Message::new("", "x")).await.unwrap();
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let sink = KafkaConfig::new(&broker(), [topic.name.as_str()]).unwrap().sink().unwrap();
        sink.send(Message::new("", "x")).await.unwrap();
        let before = std::time::Instant::now();
        drop(sink);
        shortest = shortest.min(before.elapsed());
    }
    assert!(shortest < Duration::from_millis(20), "{shortest:?}");
}
