//! The source on a real broker, beyond what every source has to do.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::FutureRecord,
};
use support::{Reading, Topic, broker, text};
use tidewater_core::{
    Cursor, Delivery, ErrorKind, GapReason, Next, Retry, Source as _, Start, Subscription, TopicCursor,
    TopicTag, plugin,
};
use tidewater_kafka::{KIND, KafkaConfig, KafkaSource};
use tidewater_testkit::source::Record;
use tokio::time::{Instant, timeout};

fn both(a: &Topic, b: &Topic) -> KafkaSource {
    KafkaConfig::new(&broker(), [a.name.as_str(), b.name.as_str()]).unwrap().source()
}

fn tag(topic: &Topic) -> TopicTag {
    TopicTag::of(KIND, &topic.name)
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn several_topics_each_start_where_they_are_wanted() {
    let (a, b) = (Topic::new(2).await, Topic::new(1).await);
    a.publish(0, ["a0", "a1", "a2"]).await;
    a.publish(1, ["a3"]).await;
    b.publish(0, ["b0", "b1"]).await;
    let source = both(&a, &b);
    let bounds = source.bounds().await.unwrap();
    assert_eq!(bounds.topic(tag(&a)).unwrap().partitions, [0..3, 0..1]);
    assert_eq!(bounds.topic(tag(&b)).unwrap().partitions[0], 0..2);

    // a after a cursor, b (not named in it) from the earliest.
    let epoch = bounds.topic(tag(&a)).unwrap().epoch.tag();
    let wanted = TopicCursor { tag: tag(&a), epoch, next: Next::Offsets(vec![2, 1]) };
    let subscription =
        Subscription { start: Start::Earliest, after: Some([wanted.clone()].into_iter().collect()) };
    let mut reading = Reading::open(&source, subscription).await;
    assert_eq!(reading.start.topic(tag(&a)), Some(&wanted));
    assert_eq!(reading.start.topic(tag(&b)).unwrap().offsets(), [0]);
    let mut came = reading.payloads(3).await;
    came.sort();
    assert_eq!(came, ["a2", "b0", "b1"]);
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn an_idle_topic_at_a_time_to_come_starts_at_the_end() {
    let topic = Topic::new(3).await;
    topic.publish(1, ["x"]).await;
    let at = SystemTime::now() + Duration::from_secs(60);
    let reading = topic.read(Subscription::at(at)).await;
    assert_eq!(reading.start.topic(tag(&topic)).unwrap().offsets(), [0, 1, 0]);
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn what_retention_removes_while_it_is_read_is_one_gap() {
    let topic = Topic::new(1).await;
    // Far more than this reader may have at hand.
    let payload = "x".repeat(8 << 10);
    let record = || FutureRecord::to(&topic.name).partition(0).payload(payload.as_bytes()).key(&b"k"[..]);
    topic.send_all((0..1000).map(|_| record()).collect()).await;
    let source = ["queued.max.messages.kbytes", "fetch.message.max.bytes"]
        .into_iter()
        .zip(["16", "16384"])
        .fold(topic.config(), |config, (name, value)| config.with_property(name, value).unwrap())
        .source();
    let mut reading = Reading::open(&source, Subscription::earliest()).await;
    assert_eq!(reading.message().await.position.offset(), Some(0));
    topic.remove_before(0, 990).await;

    let mut next = 1;
    let gap = loop {
        match reading.next().await {
            Delivery::Message(message) => {
                assert_eq!(message.position.offset(), Some(next));
                next += 1;
            }
            Delivery::Gap(gap) => break gap,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((gap.missing, gap.reason, gap.partition), (Some(next..990), GapReason::Retention, 0));
    for offset in 990..1000 {
        assert_eq!(reading.message().await.position.offset(), Some(offset));
    }
}

/// librdkafka would read on at the old offset without a word.
#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn nothing_of_a_new_incarnation_comes_under_the_old_epoch() {
    let (kept, topic) = (Topic::new(1).await, Topic::new(1).await);
    let mut reading = Reading::open(&both(&kept, &topic), Subscription::latest()).await;
    let mut epoch = reading.start.topic(tag(&topic)).unwrap().epoch;
    for round in 0..4 {
        kept.publish(0, ["before"]).await;
        topic.publish(0, ["old 0", "old 1"]).await;
        let mut came = reading.payloads(3).await;
        came.sort();
        assert_eq!(came, ["before", "old 0", "old 1"], "round {round}");

        topic.recreate().await;
        let new = ["new 0", "new 1", "new 2", "new 3", "new 4", "new 5", "new 6", "new 7", "new 8", "new 9"];
        topic.publish(0, new).await;
        kept.publish(0, ["after"]).await;
        let (mut changed, mut after, mut came) = (None, 0, Vec::new());
        while came.len() < new.len() || after == 0 {
            match reading.next().await {
                Delivery::Epoch(new) => {
                    assert_eq!((new.tag, new.start.as_slice()), (tag(&topic), [0].as_slice()));
                    assert_eq!(changed.replace(new.epoch.tag()), None, "told once");
                }
                Delivery::Message(message) if message.tag == tag(&kept) => after += 1,
                Delivery::Message(message) => {
                    assert!(changed.is_some(), "round {round}: {} under the old epoch", text(&message));
                    came.push(text(&message));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            (came.as_slice(), after),
            (new.map(String::from).as_slice(), 1),
            "the other topic goes on"
        );
        assert_ne!(changed, Some(epoch));
        epoch = changed.unwrap();
        let bounds = reading_bounds(&topic).await;
        assert_eq!(bounds, epoch);
    }
}

async fn reading_bounds(topic: &Topic) -> tidewater_core::EpochTag {
    topic.source().bounds().await.unwrap().topics[0].epoch.tag()
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_topic_that_is_gone_is_waited_for() {
    let (kept, topic) = (Topic::new(1).await, Topic::new(1).await);
    let mut reading = Reading::open(&both(&kept, &topic), Subscription::latest()).await;
    topic.delete().await;
    // It is gone for long enough to be noticed, and the other goes on.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        kept.publish(0, ["meanwhile"]).await;
        assert_eq!(text(&reading.message().await), "meanwhile");
    }
    topic.create().await;
    topic.publish(0, ["back"]).await;
    let Delivery::Epoch(told) = reading.next().await else { panic!() };
    assert_eq!(told.tag, tag(&topic));
    assert_eq!(text(&reading.message().await), "back");
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_new_partition_is_read_from_zero() {
    let mut topic = Topic::new(1).await;
    let mut reading = topic.read(Subscription::latest()).await;
    topic.publish(0, ["first"]).await;
    assert_eq!(text(&reading.message().await), "first");
    topic.grow(3).await;
    topic.publish(2, ["of the new one", "and another"]).await;
    let made = Instant::now();
    assert_eq!(reading.payloads(2).await, ["of the new one", "and another"]);
    assert!(made.elapsed() < Duration::from_secs(25), "{:?}", made.elapsed());
    topic.publish(0, ["the old one goes on"]).await;
    assert_eq!(text(&reading.message().await), "the old one goes on");
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn transactions_are_read_when_committed_and_their_markers_are_progress() {
    let topic = Topic::new(2).await;
    topic.transaction("first", true).await;
    topic.aborted().await;
    let mut reading = topic.read(Subscription::earliest()).await;
    let end = topic.source().bounds().await.unwrap().end();
    assert_eq!(end.topic(tag(&topic)).unwrap().offsets(), [4, 4], "a message and a marker, twice");
    let mut cursor = reading.start.clone();
    let mut messages = 0;
    while !cursor.dominates(&end) {
        match reading.any().await.unwrap() {
            Delivery::Message(message) => {
                assert_eq!((text(&message).as_str(), message.position.offset()), ("first", Some(0)));
                let epoch = end.topic(message.tag).unwrap().epoch;
                cursor.advance(message.tag, epoch, message.partition, &message.position);
                messages += 1;
            }
            Delivery::Progress(progress) => {
                assert!(progress.dominates(&cursor), "{progress:?} goes back from {cursor:?}");
                cursor.merge(&progress);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(messages, 2);
    assert_eq!(cursor, end, "never past what the broker has");
}

/// What stands in a transaction that is open has not happened yet: whoever takes the end as a cursor now gets it when it
/// is committed.
#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn the_end_is_before_a_transaction_that_is_open() {
    let topic = Topic::new(1).await;
    topic.publish(0, ["before"]).await;
    topic.begin(vec![Record { payload: "in the transaction".into(), ..Record::default() }]).await;
    let cursor = topic.source().bounds().await.unwrap().end();
    assert_eq!(cursor.topic(tag(&topic)).unwrap().offsets(), [1]);
    topic.end(true).await;
    let mut reading = topic.read(Subscription::after(cursor)).await;
    assert_eq!(text(&reading.message().await), "in the transaction");
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn tombstones_null_keys_empty_values_and_headers_are_told_apart() {
    let topic = Topic::new(1).await;
    let to = || -> FutureRecord<'_, [u8], [u8]> { FutureRecord::to(&topic.name).partition(0) };
    // Not long ago: retention goes by it.
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64 - 60_000;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("1") })
        .insert(Header::<&str> { key: "null", value: None })
        .insert(Header { key: "a", value: Some("2") });
    topic.send(to().key(b"gone").timestamp(ms as i64)).await;
    topic.send(to().payload(b"").headers(headers)).await;
    topic.send(to().key(b"").payload(b"x")).await;

    let mut reading = topic.read(Subscription::earliest()).await;
    let tombstone = reading.message().await;
    assert_eq!((tombstone.key.as_deref(), tombstone.payload), (Some(&b"gone"[..]), None));
    assert_eq!(tombstone.timestamp, Some(UNIX_EPOCH + Duration::from_millis(ms)));
    let empty = reading.message().await;
    assert_eq!((empty.key, empty.payload.as_deref()), (None, Some(&b""[..])));
    let headers: Vec<_> = empty.headers.iter().map(|header| format!("{header:?}")).collect();
    assert_eq!(headers, ["a: b\"1\"", "null: b\"\"", "a: b\"2\""]);
    assert_eq!(reading.message().await.key.as_deref(), Some(&b""[..]));
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_topic_that_does_not_exist_is_named() {
    let source = KafkaConfig::new(&broker(), ["tidewater-nowhere"]).unwrap().source();
    for error in
        [source.bounds().await.unwrap_err(), source.subscribe(Subscription::latest()).await.unwrap_err()]
    {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::NotFound, Retry::Later), "{error}");
        assert!(error.to_string().contains("tidewater-nowhere"), "{error}");
    }
    // Asking for it has not made it.
    assert_eq!(source.bounds().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_in_time() {
    // A port that was free a moment ago; nothing listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = plugin::open_source(&format!("kafka://127.0.0.1:{port}/orders")).unwrap();
    for round in 0..2 {
        let error = timeout(Duration::from_secs(15), source.subscribe(Subscription::latest()))
            .await
            .expect("a bounded time")
            .unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("no broker answers at 127.0.0.1:{port}")), "{round}: {text}");
        assert!(text.contains("refused"), "{round}: {text}");
    }
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn every_subscription_stands_alone() {
    let topic = Topic::new(1).await;
    topic.publish(0, ["0", "1", "2"]).await;
    let source = topic.source();
    let mut readings = Vec::new();
    for _ in 0..4 {
        readings.push(Reading::open(&source, Subscription::earliest()).await);
    }
    for reading in &mut readings {
        assert_eq!(reading.payloads(3).await, ["0", "1", "2"]);
    }
    let mut last = readings.pop().unwrap();
    drop(readings);
    topic.publish(0, ["3"]).await;
    assert_eq!(last.payloads(1).await, ["3"]);
    let nothing = timeout(Duration::from_millis(500), async {
        loop {
            if let Some(Ok(Delivery::Message(message))) = last.deliveries.next().await {
                break message;
            }
        }
    });
    assert!(nothing.await.is_err(), "nothing twice");
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_cursor_of_before_a_recreation_starts_at_the_new_first() {
    let topic = Topic::new(1).await;
    topic.publish(0, ["old 0", "old 1"]).await;
    let source = topic.source();
    let old = source.bounds().await.unwrap();
    topic.recreate().await;
    topic.publish(0, ["new 0", "new 1", "new 2"]).await;
    // The same source object: it has to ask anew.
    let mut reading = Reading::open(&source, Subscription::after(old.end())).await;
    let new = source.bounds().await.unwrap();
    assert_ne!(new.topics[0].epoch, old.topics[0].epoch);
    assert_eq!(reading.start, new.first());
    assert_ne!(reading.start, Cursor::default());
    assert_eq!(reading.payloads(3).await, ["new 0", "new 1", "new 2"]);
}
