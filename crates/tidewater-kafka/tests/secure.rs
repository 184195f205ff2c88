//! Kafka as it is in production: TLS, SASL, and nobody may do more than was granted. One real broker for all tests here.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;

use support::{Cluster, suite::Kafka};
use tempfile::TempDir;
use tidewater_kafka::KafkaConfig;
use tidewater_secure_kafka::{Listener, Operation, Resource, Scram, SecureKafka, User};
use tidewater_testkit::source;

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
#[ignore = "needs Kafka: run cargo xtask test"]
async fn by_scram_one_partition_of_zstd_keeps_the_contract() {
    let cluster = cluster(scram("suite-1", Scram::Sha512));
    source::run(&Kafka { partitions: 1, cluster, transactions: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn by_scram_three_partitions_of_zstd_keep_the_contract() {
    let cluster = cluster(scram("suite-3", Scram::Sha256));
    source::run(&Kafka { partitions: 3, cluster, transactions: false }).await;
}
