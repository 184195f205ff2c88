//! A real broker, and what tests do to it.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod own;
pub mod suite;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt as _;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{
    Cursor, Deliveries, Delivery, ErrorKind, Message, Source as _, Subscribed, Subscription,
};
use tidewater_kafka::{KafkaConfig, KafkaSource};
use tidewater_testkit::source::Record;
use tokio::time::{Instant, timeout_at};

/// How long to wait for what has to happen. Waited for only when something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The broker's address.
pub fn broker() -> String {
    std::env::var("TIDEWATER_TEST_KAFKA")
        .expect("TIDEWATER_TEST_KAFKA names no broker: run these tests by cargo xtask test")
}

/// Where topics are, how they are written, and how sources read them.
pub struct Cluster {
    /// Where tests do what they like, in plain text.
    pub broker: String,
    /// `compression.type` of topics and of what is produced.
    pub compression: &'static str,
    /// What reads a topic.
    pub reader: Box<dyn Fn(&str) -> KafkaConfig + Send + Sync>,
}

impl Cluster {
    /// The broker that all tests share.
    pub fn shared() -> Arc<Self> {
        let broker = broker();
        let at = broker.clone();
        let reader = Box::new(move |topic: &str| KafkaConfig::new(&at, [topic]).unwrap());
        Arc::new(Self { broker, compression: "none", reader })
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.broker)
            .set("linger.ms", "1")
            .set("message.max.bytes", "4000000")
            .set("compression.type", self.compression);
        config
    }
}

/// A topic of this test, removed with it.
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    cluster: Arc<Cluster>,
    admin: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
    /// Made with the first transaction.
    transactions: Arc<OnceLock<BaseProducer>>,
}

impl Topic {
    pub async fn new(partitions: i32) -> Self {
        Self::on(Cluster::shared(), partitions).await
    }

    pub async fn on(cluster: Arc<Cluster>, partitions: i32) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidewater-kafka-{}-{now}-{count}", std::process::id());
        let (admin, producer) = (cluster.client().create().unwrap(), cluster.client().create().unwrap());
        let topic = Self { name, partitions, cluster, admin, producer, transactions: Arc::default() };
        topic.create().await;
        // The controller has made it; the broker is told a moment later.
        let source = topic.source();
        while let Err(error) = source.bounds().await {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
        topic
    }

    pub async fn create(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let new = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(1))
                .set("max.message.bytes", "4000000")
                .set(
                    "compression.type",
                    if self.cluster.compression == "none" { "producer" } else { self.cluster.compression },
                );
            let made = self.admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
            match &made[0] {
                Ok(_) => return,
                Err((_, Code::TopicAlreadyExists)) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    pub async fn delete(&self) {
        let deleted = self.admin.delete_topics(&[&self.name], &AdminOptions::new()).await.unwrap();
        deleted[0].as_ref().unwrap();
    }

    /// Resolves once the broker, and not only the controller, knows the new incarnation: until then it answers, and
    /// takes messages, for the old one.
    pub async fn recreate(&self) {
        let source = self.source();
        let old = source.bounds().await.unwrap().topics[0].epoch;
        self.delete().await;
        self.create().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match source.bounds().await {
                Ok(bounds) if bounds.topics[0].epoch != old => return,
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
            assert!(Instant::now() < deadline, "the broker does not hear of the new incarnation");
        }
    }

    pub async fn grow(&mut self, partitions: i32) {
        let grown = NewPartitions::new(&self.name, partitions as usize);
        let made = self.admin.create_partitions([&grown], &AdminOptions::new()).await.unwrap();
        made[0].as_ref().unwrap();
        self.partitions = partitions;
        // The old one would have to hear of the partitions first.
        self.producer = self.cluster.client().create().unwrap();
    }

    pub async fn remove_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        let removed = self.admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
        removed.elements()[0].error().unwrap();
    }

    /// Publishes to one partition; resolves when the broker has them all.
    pub async fn publish<'a>(&self, partition: i32, payloads: impl IntoIterator<Item = &'a str>) {
        for payload in payloads {
            self.send(
                FutureRecord::to(&self.name).partition(partition).payload(payload.as_bytes()).key(&b""[..]),
            )
            .await;
        }
    }

    pub async fn send(&self, record: FutureRecord<'_, [u8], [u8]>) -> i64 {
        self.producer.send(record, PATIENCE).await.map_err(|(error, _)| error).unwrap().offset
    }

    /// Sends all of them at once, then waits.
    pub async fn send_all(&self, records: Vec<FutureRecord<'_, [u8], [u8]>>) {
        let sent: Vec<_> = records
            .into_iter()
            .map(|record| self.producer.send_result(record).map_err(|(e, _)| e).unwrap())
            .collect();
        for one in sent {
            one.await.unwrap().map_err(|(error, _)| error).unwrap();
        }
    }

    /// Writes a transaction to every partition and aborts it.
    pub async fn aborted(&self) {
        self.transaction("never to be seen", false).await;
    }

    /// Writes the same to every partition, and commits or aborts it.
    pub async fn transaction(&self, payload: &'static str, commit: bool) {
        let record = |partition| Record { partition, payload: payload.into(), ..Record::default() };
        self.transact((0..self.partitions as u32).map(record).collect(), commit).await;
    }

    /// Writes these, each to its partition, and commits or aborts them.
    pub async fn transact(&self, records: Vec<Record>, commit: bool) {
        self.begin(records).await;
        self.end(commit).await;
    }

    /// Writes these, each to its partition, in a transaction that stays open.
    pub async fn begin(&self, records: Vec<Record>) {
        let (name, cluster, producer) = (self.name.clone(), self.cluster.clone(), self.transactions.clone());
        tokio::task::spawn_blocking(move || {
            let producer = producer.get_or_init(|| {
                let mut config = cluster.client();
                // The broker is still busy with the last transaction when the next one begins.
                config.set("transactional.id", &name).set("retry.backoff.ms", "10");
                let made: BaseProducer = config.create().unwrap();
                made.init_transactions(PATIENCE).unwrap();
                made
            });
            producer.begin_transaction().unwrap();
            for record in &records {
                let mut out: BaseRecord<'_, [u8], [u8]> =
                    BaseRecord::to(&name).partition(record.partition as i32).payload(&record.payload);
                out.key = record.key.as_deref();
                out.headers = suite::headers(record);
                producer.send(out).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
        })
        .await
        .unwrap();
    }

    /// Commits or aborts the transaction that is open.
    pub async fn end(&self, commit: bool) {
        let producer = self.transactions.clone();
        tokio::task::spawn_blocking(move || {
            let producer = producer.get().unwrap();
            if commit {
                producer.commit_transaction(PATIENCE).unwrap();
            } else {
                producer.abort_transaction(PATIENCE).unwrap();
            }
        })
        .await
        .unwrap();
    }

    pub fn config(&self) -> KafkaConfig {
        (self.cluster.reader)(&self.name)
    }

    pub fn source(&self) -> KafkaSource {
        self.config().source()
    }

    pub async fn read(&self, subscription: Subscription) -> Reading {
        Reading::open(&self.source(), subscription).await
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // Not waited for: it is tidiness only.
        let (name, config) = (self.name.clone(), self.cluster.client());
        std::thread::spawn(move || {
            let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
            futures_util::future::FutureExt::now_or_never(
                admin.delete_topics(&[&name], &AdminOptions::new()),
            );
            std::thread::sleep(Duration::from_millis(200));
        });
    }
}

/// A stream that is read, and where it started.
pub struct Reading {
    pub start: Cursor,
    pub deliveries: Deliveries,
}

impl Reading {
    pub async fn open(source: &KafkaSource, subscription: Subscription) -> Self {
        let Subscribed { start, deliveries } = source.subscribe(subscription).await.unwrap();
        Self { start, deliveries }
    }

    /// The next delivery, whatever it is.
    pub async fn any(&mut self) -> tidewater_core::Result<Delivery> {
        let next = timeout_at(Instant::now() + PATIENCE, self.deliveries.next()).await;
        next.expect("nothing came").expect("the stream ended")
    }

    /// The next that isn't progress.
    pub async fn next(&mut self) -> Delivery {
        loop {
            match self.any().await.unwrap() {
                Delivery::Progress(_) => {}
                other => return other,
            }
        }
    }

    pub async fn message(&mut self) -> Message {
        match self.next().await {
            Delivery::Message(message) => message,
            other => panic!("a message was to come, not {other:?}"),
        }
    }

    /// The payloads of the next messages.
    pub async fn payloads(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(text(&self.message().await));
        }
        all
    }
}

pub fn text(message: &Message) -> String {
    String::from_utf8(message.payload.clone().unwrap_or_default().to_vec()).unwrap()
}
