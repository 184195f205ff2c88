//! Transactions of a real producer, which kcat has none of.

use anyhow::{Context, Result, ensure};
use std::sync::{Mutex, PoisonError};

use rdkafka::{
    ClientConfig, ClientContext, Message as _,
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};
use tokio::task::block_in_place;

use crate::{Holes, Offset, PATIENCE, kafka::Topic};

/// Appends to a topic in transactions, compressed with zstd. Nobody else may write to it.
pub struct Transactions {
    producer: BaseProducer<Deliveries>,
    topic: String,
    holes: Holes,
}

impl Transactions {
    /// A producer at this broker, `host:port`. What no reader may see is added to the holes before it is written.
    ///
    /// Needs a runtime of several threads.
    ///
    /// # Errors
    /// If the broker is not there, or refuses.
    pub fn new(broker: &str, topic: &Topic, holes: &Holes) -> Result<Self> {
        let producer: BaseProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", broker)
            .set("transactional.id", topic.name())
            .set("compression.type", "zstd")
            // The broker is still busy with the last transaction when the next one begins.
            .set("retry.backoff.ms", "10")
            .create_with_context(Deliveries::default())?;
        block_in_place(|| producer.init_transactions(PATIENCE))?;
        Ok(Self { producer, topic: topic.name().to_owned(), holes: holes.clone() })
    }

    /// Appends so many messages that say where they stand, from `next` on, and commits or aborts; moves `next` behind
    /// the transaction's marker; of none there is no transaction. Returns when the broker has it all.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn write(&self, partition: u32, next: &mut u64, count: u64, commit: bool) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let (first, marker) = (*next, *next + count);
        self.holes.add(partition, if commit { marker } else { first }..marker + 1);
        *next = marker + 1;
        block_in_place(|| {
            self.producer.begin_transaction()?;
            for offset in first..marker {
                let payload = String::from(Offset(partition, offset));
                let record = BaseRecord::<(), str>::to(&self.topic).partition(i32::try_from(partition)?);
                self.producer.send(record.payload(&payload)).map_err(|(error, _)| error)?;
            }
            self.producer.flush(PATIENCE).context("the messages of a transaction")?;
            let stored = self.producer.context().take();
            ensure!(
                stored.iter().map(|one| one.as_ref().ok().copied()).eq((first..marker).map(Some)),
                "stored at {stored:?} instead of {first}..{marker}"
            );
            let ended = if commit {
                self.producer.commit_transaction(PATIENCE)
            } else {
                self.producer.abort_transaction(PATIENCE)
            };
            ended.context("the end of a transaction")
        })
    }
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Where messages were stored, or why they weren't.
#[derive(Default)]
struct Deliveries(Mutex<Vec<Result<u64, String>>>);

impl Deliveries {
    fn take(&self) -> Vec<Result<u64, String>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let stored = match result {
            Ok(message) => u64::try_from(message.offset()).map_err(|error| error.to_string()),
            Err((error, _)) => Err(error.to_string()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stored);
    }
}
