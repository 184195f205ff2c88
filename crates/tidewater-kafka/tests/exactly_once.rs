//! Writers that write each message once: the testkit's suite on a real broker, and what it can't see.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, FutureRecord, Producer as _},
};
use support::{Cluster, PATIENCE, Reading, Topic, broker, own::OwnKafka, text};
use tidewater_core::{
    Cursor, EpochTag, ErrorKind, ExactlyOnce, Message, Next, Retry, Sink, Source, Subscription, TopicCursor,
    TopicTag, Transfer,
};
use tidewater_kafka::KafkaConfig;
use tidewater_testkit::exactly_once::{self, Failure, Harness, Target};

/// Topics of so many partitions.
struct Kafka(i32);

struct InTopic(Topic);

#[async_trait]
impl Harness for Kafka {
    async fn target(&self) -> Result<Box<dyn Target>, Failure> {
        Ok(Box::new(InTopic(Topic::on(Cluster::shared(), self.0).await)))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(180)
    }
}

#[async_trait]
impl Target for InTopic {
    fn sink(&self) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(self.0.config().sink()?))
    }

    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(Arc::new(self.0.source()))
    }

    async fn spoil(&self, id: &str) -> Result<(), Failure> {
        let key = format!("{}/{id}", self.0.name);
        let record = FutureRecord::to(POSITIONS).partition(0);
        self.0.send(record.key(key.as_bytes()).payload(&b"no cursor"[..])).await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn one_partition_keeps_the_contract() {
    exactly_once::run(&Kafka(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn three_partitions_keep_the_contract() {
    exactly_once::run(&Kafka(3)).await;
}

const POSITIONS: &str = "__tidewater_positions";
const TAG: TopicTag = TopicTag(7);

fn at(n: u64) -> Cursor {
    let next = Next::Offsets(vec![n]);
    [TopicCursor { tag: TAG, epoch: EpochTag(1), next }].into_iter().collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Transfer> {
    range.map(|n| Transfer { message: Message::new("feed", n.to_string()), next: at(n + 1) }).collect()
}

fn number(position: Option<Cursor>) -> u64 {
    position.map_or(0, |cursor| cursor.next_offset(TAG, 0).unwrap())
}

fn writer(config: KafkaConfig) -> Box<dyn ExactlyOnce> {
    config.sink().unwrap().exactly_once("w").unwrap().unwrap()
}

/// Resumes, however often it takes.
async fn resumed(writer: &mut Box<dyn ExactlyOnce>) -> u64 {
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    loop {
        match writer.resume().await {
            Ok(position) => return number(position),
            Err(error) => {
                let waited = error.retry() == Retry::Later && tokio::time::Instant::now() < deadline;
                assert!(waited, "{error}");
            }
        }
    }
}

/// A transaction of another client, with this record in it, that is open.
async fn open(id: String, topic: String) -> Arc<BaseProducer> {
    tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker()).set("transactional.id", id);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        let record = BaseRecord::to(&topic).key("another's").payload("not to be seen");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
        Arc::new(producer)
    })
    .await
    .unwrap()
}

async fn close(producer: &Arc<BaseProducer>) -> Result<(), rdkafka::error::KafkaError> {
    let producer = producer.clone();
    tokio::task::spawn_blocking(move || producer.commit_transaction(PATIENCE)).await.unwrap()
}

/// As a writer leaves it that was killed in the middle of a batch.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn what_was_begun_and_not_ended_is_never_seen() {
    let topic = Topic::new(1).await;
    let mut first = writer(topic.config());
    assert_eq!(first.resume().await.unwrap(), None);
    let zombie = open(format!("tidewater/{}/w", topic.name), topic.name.clone()).await;
    // It took over from the first one, without having written a position.
    let error = first.write(numbers(0..10), &at(10)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Closed, Retry::Never), "{error}");
    let mut second = writer(topic.config());
    assert_eq!(second.resume().await.unwrap(), None);
    second.write(numbers(0..10), &at(10)).await.unwrap();
    close(&zombie).await.unwrap_err();
    assert_eq!(number(writer(topic.config()).resume().await.unwrap()), 10);
    let wanted: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(topic.read(Subscription::earliest()).await.payloads(10).await, wanted);
}

/// What is committed can be read only up to the first transaction that is open, whoever's: an older position is not
/// taken for the last.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_position_behind_the_open_transaction_of_another_is_waited_for() {
    let topic = Topic::new(1).await;
    let positions = format!("{}-positions", topic.name);
    let config = || topic.config().with_positions(positions.as_str()).unwrap();
    let mut first = writer(config());
    first.resume().await.unwrap();
    first.write(numbers(0..5), &at(5)).await.unwrap();
    let other = open(format!("other-{}", topic.name), positions.clone()).await;
    first.write(numbers(5..10), &at(10)).await.unwrap();
    let mut second = writer(config());
    let resuming = tokio::spawn(async move { second.resume().await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!resuming.is_finished(), "it can't know yet");
    close(&other).await.unwrap();
    assert_eq!(number(resuming.await.unwrap().unwrap()), 10);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_topic_that_was_made_again_is_written_from_the_start() {
    let topic = Topic::new(1).await;
    let mut first = writer(topic.config());
    first.resume().await.unwrap();
    first.write(numbers(0..10), &at(10)).await.unwrap();
    topic.recreate().await;
    let mut second = writer(topic.config());
    assert_eq!(second.resume().await.unwrap(), None);
    second.write(numbers(0..3), &at(3)).await.unwrap();
    assert_eq!(number(writer(topic.config()).resume().await.unwrap()), 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn of_a_batch_with_a_message_that_is_too_large_nothing_is_there() {
    let topic = Topic::new(1).await;
    let mut writer = writer(topic.config().with_property("message.max.bytes", "8000000").unwrap());
    writer.resume().await.unwrap();
    writer.write(numbers(0..3), &at(3)).await.unwrap();
    let mut batch = numbers(3..6);
    // librdkafka would take it, and the broker doesn't.
    batch[1].message.payload = Some(vec![b'x'; 5_000_000].into());
    let error = writer.write(batch, &at(6)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Rejected, Retry::Never), "{error}");
    assert_eq!(number(writer.resume().await.unwrap()), 3);
    writer.write(numbers(3..4), &at(6)).await.unwrap();
    assert_eq!(topic.read(Subscription::earliest()).await.payloads(4).await, ["0", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_topic_of_positions_that_would_lose_them_is_refused() {
    let topic = Topic::new(1).await;
    let mut writer = writer(topic.config().with_positions(topic.name.as_str()).unwrap());
    let error = writer.resume().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Config, Retry::Never), "{error}");
    assert!(error.to_string().contains("cleanup.policy=delete"), "{error}");
}

/// Wherever in a transaction the broker is killed, each message is there once.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_broker_that_is_killed_in_the_middle_of_writes_has_each_message_once() {
    let kafka = OwnKafka::start();
    let at_broker = kafka.broker.clone();
    let reader = Box::new(move |topic: &str| KafkaConfig::new(&at_broker, [topic]).unwrap());
    let cluster = Cluster { broker: kafka.broker.clone(), compression: "none", reader };
    let topic = Topic::on(Arc::new(cluster), 1).await;
    let mut written = 0;
    for round in 0..4_u64 {
        let mut writer = writer(topic.config());
        let mut next = resumed(&mut writer).await;
        assert!(next >= written, "{next} of {written}");
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writes = tokio::spawn(async move {
            // A write may also wait for the broker to be back, and succeed.
            while !*stopped.borrow() && writer.write(numbers(next..next + 200), &at(next + 200)).await.is_ok()
            {
                next += 200;
            }
            next
        });
        tokio::time::sleep(Duration::from_millis(150 + 130 * round)).await;
        kafka.kill();
        if round % 2 == 1 {
            // Longer than a message is tried to be sent.
            tokio::time::sleep(Duration::from_secs(12)).await;
        }
        kafka.restart();
        stop.send_replace(true);
        written = writes.await.unwrap();
    }
    let mut writer = writer(topic.config());
    let next = resumed(&mut writer).await;
    assert!(next >= written && next > 0, "{next} of {written}");
    writer.write(numbers(next..next + 100), &at(next + 100)).await.unwrap();
    let mut reading = Reading::open(&topic.source(), Subscription::earliest()).await;
    for n in 0..next + 100 {
        assert_eq!(text(&reading.message().await), n.to_string(), "each once and in order");
    }
}
