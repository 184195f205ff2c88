//! Kafka as it is in production: TLS, SASL, and nobody may do more than was granted. One real broker for all tests here.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;

use support::{Cluster, Reading, Topic, suite::Kafka, text};
use tempfile::TempDir;
use tidewater_core::{Cursor, Delivery, Source as _, Subscription};
use tidewater_kafka::KafkaConfig;
use tidewater_secure_kafka::{Listener, Operation, Resource, Scram, SecureKafka, User};
use tidewater_testkit::source::{self, Record};

/// The topics of these tests begin so.
const TOPICS: Resource<'static> = Resource::TopicsFrom("tidewater-kafka-");

/// The broker, read by somebody with no right but Read on the topics, which implies Describe.
fn cluster(user: User) -> Arc<Cluster> {
    let kafka = SecureKafka::shared().unwrap();
    kafka.allow(&user.name, Operation::Read, TOPICS).unwrap();
    kafka.allow(&user.name, Operation::Describe, TOPICS).unwrap();
    let authority = Authority::new();
    let reader = Box::new(move |topic: &str| {
        let ca = authority.0.path().join("ca.pem");
        [
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", ca.to_str().unwrap()),
            ("sasl.mechanism", user.mechanism),
            ("sasl.username", &user.name),
            ("sasl.password", &user.password),
        ]
        .into_iter()
        .fold(KafkaConfig::new(kafka.address(Listener::Sasl), [topic]).unwrap(), |config, (name, value)| {
            config.with_property(name, value).unwrap()
        })
    });
    Arc::new(Cluster { broker: kafka.admin().to_owned(), compression: "zstd", reader })
}

/// A folder with the authority's certificate, `ca.pem`.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let pem = SecureKafka::shared().unwrap().authority().pem();
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        Self(folder)
    }
}

fn scram(name: &str, scram: Scram) -> User {
    SecureKafka::shared().unwrap().user(name, scram).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn by_scram_one_partition_of_zstd_keeps_the_contract() {
    let cluster = cluster(scram("suite-1", Scram::Sha512));
    source::run(&Kafka { partitions: 1, cluster, transactions: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn by_scram_three_partitions_of_zstd_keep_the_contract() {
    let cluster = cluster(scram("suite-3", Scram::Sha256));
    source::run(&Kafka { partitions: 3, cluster, transactions: false }).await;
}

/// Each message comes in a transaction behind one that was aborted, and a marker stands behind each.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn by_scram_transactions_of_zstd_keep_the_contract() {
    let cluster = cluster(scram("suite-transactions", Scram::Sha512));
    let harness = Kafka { partitions: 2, cluster, transactions: true };
    // These three take each message's offset to be one more than the last, and the end to be behind a message.
    let numbered = ["1d", "3c", "9a"];
    let names: Vec<&str> = source::CHECKS.iter().map(|check| check.name).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !numbered.contains(name)).collect();
    let report = source::check_only(&harness, &names).await;
    assert!(report.passed() && report.checks.len() == names.len(), "{report}");
}

/// Committed and aborted transactions of one to three messages, alternating in all ways, markers at the end: after
/// every cursor that a client may have had comes exactly the rest, and nothing of what was aborted; no gap.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn after_every_cursor_among_aborted_transactions_comes_exactly_the_rest() {
    let topic = Topic::on(cluster(scram("transactions", Scram::Sha256)), 1).await;
    let mut wanted = Vec::new();
    for (round, commit) in [false, true, true, false, false, true, false, true, false].into_iter().enumerate()
    {
        let records = (0..=round % 3).map(|n| Record {
            payload: format!("{round}.{n} {}", if commit { "committed" } else { "aborted" }).into(),
            ..Record::default()
        });
        let records: Vec<_> = records.collect();
        if commit {
            wanted.extend(records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()));
        }
        topic.transact(records, commit).await;
    }
    let source = topic.source();
    let end = source.bounds().await.unwrap().end();
    let mut reading = Reading::open(&source, Subscription::earliest()).await;
    let mut cursors = vec![(reading.start.clone(), 0)];
    read_to(&mut reading, &end, |cursor, count| cursors.push((cursor.clone(), count)), &wanted).await;
    assert!(cursors.len() > wanted.len());
    for (cursor, had) in cursors {
        let mut reading = Reading::open(&source, Subscription::after(cursor.clone())).await;
        assert_eq!(reading.start, cursor);
        read_to(&mut reading, &end, |_, _| (), &wanted[had..]).await;
    }
}

/// Reads until everything before `end` has been seen: exactly these messages. Calls `each` with every cursor on the
/// way, and how many messages lie behind it.
async fn read_to(
    reading: &mut Reading,
    end: &Cursor,
    mut each: impl FnMut(&Cursor, usize),
    wanted: &[String],
) {
    let (mut cursor, mut came) = (reading.start.clone(), Vec::new());
    let (tag, epoch) = (cursor.topics()[0].tag, cursor.topics()[0].epoch);
    while !cursor.dominates(end) {
        match reading.any().await.unwrap() {
            Delivery::Message(message) => {
                cursor.raise(tag, epoch, message.partition, message.position.offset().unwrap() + 1);
                came.push(text(&message));
            }
            Delivery::Progress(progress) => cursor.merge(&progress),
            other => panic!("{other:?}"),
        }
        each(&cursor, came.len());
    }
    assert_eq!(came, wanted);
}
