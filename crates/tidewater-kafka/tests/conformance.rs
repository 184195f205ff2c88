//! The contract of every source, on a real broker.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::FutureRecord,
};
use tidewater_core::Source;
use tidewater_testkit::source::{self, Failure, Harness, Record, Topic};

struct Kafka {
    partitions: i32,
}

struct KafkaTopic(support::Topic);

#[async_trait]
impl Harness for Kafka {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        Ok(Box::new(KafkaTopic(support::Topic::new(self.partitions).await)))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(90)
    }
}

#[async_trait]
impl Topic for KafkaTopic {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(Arc::new(self.0.source()))
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        let records = records.iter().map(|record| {
            let mut out: FutureRecord<'_, [u8], [u8]> =
                FutureRecord::to(&self.0.name).partition(record.partition as i32).payload(&record.payload);
            out.key = record.key.as_deref();
            out.headers = (!record.headers.is_empty()).then(|| {
                record.headers.iter().fold(OwnedHeaders::new(), |all, header| {
                    all.insert(Header { key: &header.name, value: Some(&header.value[..]) })
                })
            });
            out
        });
        self.0.send_all(records.collect()).await;
        Ok(())
    }

    fn partitions(&self) -> u32 {
        self.0.partitions as u32
    }

    fn published_to(&self) -> Option<String> {
        Some(self.0.name.clone())
    }

    async fn remove_before(&self, partition: u32, offset: u64) -> Result<(), Failure> {
        self.0.remove_before(partition as i32, offset as i64).await;
        Ok(())
    }

    async fn recreate(&self) -> Result<(), Failure> {
        self.0.recreate().await;
        Ok(())
    }

    async fn hide(&self) -> Result<(), Failure> {
        self.0.aborted().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn one_partition_keeps_the_contract() {
    source::run(&Kafka { partitions: 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn three_partitions_keep_the_contract() {
    source::run(&Kafka { partitions: 3 }).await;
}
