//! The contract of every source, on a real broker.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use support::{Cluster, suite::Kafka};
use tidewater_testkit::source;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn one_partition_keeps_the_contract() {
    source::run(&Kafka { partitions: 1, cluster: Cluster::shared(), transactions: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn three_partitions_keep_the_contract() {
    source::run(&Kafka { partitions: 3, cluster: Cluster::shared(), transactions: false }).await;
}
