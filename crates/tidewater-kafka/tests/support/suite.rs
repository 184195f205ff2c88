//! What the source suite of the testkit needs of Kafka.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::FutureRecord,
};
use tidewater_core::Source;
use tidewater_testkit::source::{Failure, Harness, Record, Topic};

use super::Cluster;

/// Kafka as the source suite sees it.
pub struct Kafka {
    pub partitions: i32,
    pub cluster: Arc<Cluster>,
    /// Messages come in transactions, each behind one that was aborted.
    pub transactions: bool,
}

struct KafkaTopic {
    topic: super::Topic,
    transactions: bool,
}

#[async_trait]
impl Harness for Kafka {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        let topic = super::Topic::on(self.cluster.clone(), self.partitions).await;
        Ok(Box::new(KafkaTopic { topic, transactions: self.transactions }))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(90)
    }
}

#[async_trait]
impl Topic for KafkaTopic {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(Arc::new(self.topic.source()))
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        if self.transactions {
            self.topic.aborted().await;
            self.topic.transact(records, true).await;
            return Ok(());
        }
        let records = records.iter().map(|record| {
            let mut out: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.topic.name)
                .partition(record.partition as i32)
                .payload(&record.payload);
            out.key = record.key.as_deref();
            out.headers = headers(record);
            out
        });
        self.topic.send_all(records.collect()).await;
        Ok(())
    }

    fn partitions(&self) -> u32 {
        self.topic.partitions as u32
    }

    fn published_to(&self) -> Option<String> {
        Some(self.topic.name.clone())
    }

    async fn remove_before(&self, partition: u32, offset: u64) -> Result<(), Failure> {
        self.topic.remove_before(partition as i32, offset as i64).await;
        Ok(())
    }

    async fn recreate(&self) -> Result<(), Failure> {
        self.topic.recreate().await;
        Ok(())
    }

    async fn hide(&self) -> Result<(), Failure> {
        self.topic.aborted().await;
        Ok(())
    }
}

pub fn headers(record: &Record) -> Option<OwnedHeaders> {
    (!record.headers.is_empty()).then(|| {
        record.headers.iter().fold(OwnedHeaders::new(), |all, header| {
            all.insert(Header { key: &header.name, value: Some(&header.value[..]) })
        })
    })
}
