//! What a topic, a stream or an embedded log holds, by partition, as it was read so far.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use tidewater_core::{Delivery, Message, Source, Subscription};
use tidewater_embedded::{EmbeddedLog, Settings};
use tidewater_tests::{Feed, PATIENCE};
use tokio::time::timeout;

use crate::{
    load::KEY_HEADER,
    readback::{self, Record},
};

/// What was read of a topic or a stream.
#[derive(Debug)]
pub(super) struct Shelf {
    feed: Feed,
    /// The next offset of each partition.
    next: Vec<u64>,
    pub(super) records: Vec<Vec<Record>>,
}

impl Shelf {
    /// Nothing of these partitions yet.
    pub(super) fn new(feed: Feed, partitions: u32) -> Self {
        let partitions = partitions as usize;
        Self { feed, next: vec![0; partitions], records: vec![Vec::new(); partitions] }
    }

    /// Reads what has come since.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub(super) async fn read(&mut self) -> Result<()> {
        let reads = readback::read(&self.feed, self.next.clone()).await?;
        for ((read, next), records) in reads.into_iter().zip(&mut self.next).zip(&mut self.records) {
            // What is part of a transaction still may come between this and the end.
            if let Some((last, _)) = read.messages.last_key_value() {
                *next = last + 1;
            }
            let is_nats = matches!(self.feed, Feed::JetStream(_));
            records.extend(read.messages.into_values().map(|one| if is_nats { of_nats(one) } else { one }));
        }
        Ok(())
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }
}

/// Without what is no part of the message: how it was published, and who has piped it from where. The key is a header.
fn of_nats(mut record: Record) -> Record {
    let key = record.headers.iter().rfind(|(name, _)| name == KEY_HEADER).map(|(_, value)| value.clone());
    let is_apart =
        |name: &str| name == KEY_HEADER || ["Nats-", "Tidewater-"].iter().any(|own| name.starts_with(own));
    record.headers.retain(|(name, _)| !is_apart(name));
    Record { key, ..record }
}

/// Writes these behind what an embedded log holds, and closes it.
///
/// # Errors
/// If it does not take them.
pub(super) async fn append(folder: &Path, records: &[Record]) -> Result<()> {
    let message = |record: &Record| {
        let mut message = Message::new("", record.payload.clone().unwrap_or_default());
        message.key = record.key.clone().map(Into::into);
        let headers = record.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        message.with_headers(headers.collect())
    };
    let sink = EmbeddedLog::open(folder, Settings::default())?.sink();
    tidewater_core::Sink::send_all(&sink, records.iter().map(message).collect()).await?;
    Ok(())
}

/// All that an embedded log holds, which nobody else has open.
///
/// # Errors
/// If it can't be read.
pub(super) async fn held(folder: &Path) -> Result<Vec<Record>> {
    let source = EmbeddedLog::open(folder, Settings::default())?.source();
    let bounds = source.bounds().await?;
    let kept = bounds.topics[0].partitions[0].clone();
    let mut deliveries = source.subscribe(Subscription::earliest()).await?.deliveries;
    let mut records = Vec::new();
    for offset in kept {
        let delivery = timeout(PATIENCE, deliveries.next()).await.context("no more comes")?;
        let Some(Ok(Delivery::Message(message))) = delivery else { anyhow::bail!("{delivery:?}") };
        ensure!(message.position.offset() == Some(offset), "{offset}: {message:?}");
        records.push(Record {
            key: message.key.map(|key| key.to_vec()),
            headers: message.headers.iter().map(|one| (one.name.to_string(), one.value.to_vec())).collect(),
            payload: message.payload.map(|payload| payload.to_vec()),
        });
    }
    Ok(records)
}
