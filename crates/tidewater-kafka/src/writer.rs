//! Writing each message of a source once: each batch is a transaction, with the position behind it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tidewater_core::{Cursor, Epoch, Error, ErrorKind, ExactlyOnce, Result, Transfer};

use crate::{
    KafkaConfig,
    client::{Metadata, TIMEOUT},
    error,
    positions::Positions,
    producer::Handle,
    transaction::{self, Kept},
};

/// How long a topic that was removed and made again may be written to as if it were the old one.
const ID_AGE: Duration = Duration::from_secs(10);

/// Writes to the topic of a sink.
pub(crate) struct KafkaWriter {
    config: KafkaConfig,
    positions: Arc<Positions>,
    metadata: Arc<Metadata>,
    id: String,
    /// `None`: where to go on isn't known, or not any more.
    open: Option<Open>,
}

/// A producer that is the one of the id.
struct Open {
    producer: Handle,
    epoch: Epoch,
    /// When the topic was seen to be of this epoch.
    seen: Instant,
}

impl KafkaWriter {
    pub(crate) fn new(config: KafkaConfig, positions: Arc<Positions>, id: &str) -> Self {
        let metadata = Arc::new(Metadata::new(config.clone()));
        Self { config, positions, metadata, id: id.to_owned(), open: None }
    }

    /// What it is called at the cluster: an id is another one for each topic that is written to. No topic has a slash.
    fn name(&self) -> String {
        format!("{}/{}", self.config.topics()[0], self.id)
    }

    async fn epoch(&self) -> Result<Epoch> {
        let metadata = self.metadata.clone();
        let described = tokio::task::spawn_blocking(move || metadata.describe(TIMEOUT)).await;
        match described.map_err(error::thread)??.pop() {
            Some(Ok(incarnation)) => Ok(incarnation.epoch),
            Some(Err(code)) => Err(error::from_code(self.config.to_string(), code)),
            None => Err(Error::new(ErrorKind::Internal, format!("{}: nothing is told of it", self.config))),
        }
    }

    /// A producer before which no other of the id may write.
    async fn producer(&self) -> Result<Handle> {
        let (config, id) = (self.config.clone(), format!("tidewater/{}", self.name()));
        let made = move || {
            let producer = Handle::new(&config, &config.transactional(&id))?;
            transaction::begin(&producer, &config)?;
            Ok(producer)
        };
        tokio::task::spawn_blocking(made).await.map_err(error::thread)?
    }

    async fn written(&self, open: Open, batch: Vec<Transfer>, next: &Cursor) -> Result<Open> {
        let kept = Kept {
            topic: self.positions.topic().to_string(),
            key: self.name(),
            value: format!("{next} {:032x}", open.epoch.0),
        };
        let config = self.config.clone();
        // Goes on to its end if this is dropped: committed or not, whoever resumes is told.
        let transact = move || transaction::transact(&open.producer, &config, &batch, &kept).map(|()| open);
        tokio::task::spawn_blocking(transact).await.map_err(error::thread)?
    }
}

#[async_trait]
impl ExactlyOnce for KafkaWriter {
    async fn resume(&mut self) -> Result<Option<Cursor>> {
        self.open = None;
        self.positions.ensure().await?;
        let (producer, seen) = (self.producer().await?, Instant::now());
        let epoch = self.epoch().await?;
        let kept = self.positions.last(&self.name()).await?;
        let position = kept.as_deref().map(|kept| self.read(kept)).transpose()?;
        self.open = Some(Open { producer, epoch, seen });
        match position {
            Some((_, of)) if of != epoch => {
                tracing::warn!(sink = %self.config, writer = self.id, "the topic was made again: it is written from the start");
                Ok(None)
            }
            position => Ok(position.map(|(next, _)| next)),
        }
    }

    /// A batch without messages is a transaction of the position alone.
    async fn write(&mut self, batch: Vec<Transfer>, next: &Cursor) -> Result<()> {
        let mut open = self.open.take().ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("{}: where to go on isn't known: resume first", self.config),
            )
        })?;
        if open.seen.elapsed() >= ID_AGE {
            open.seen = Instant::now();
            if self.epoch().await? != open.epoch {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("{}: the topic was removed and made again", self.config),
                ));
            }
        }
        self.open = Some(self.written(open, batch, next).await?);
        Ok(())
    }
}

impl KafkaWriter {
    fn read(&self, kept: &str) -> Result<(Cursor, Epoch)> {
        let parsed = kept.split_once(' ').and_then(|(next, epoch)| {
            Some((next.parse().ok()?, Epoch(u128::from_str_radix(epoch, 16).ok()?)))
        });
        parsed.ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!(
                    "the position of the writer {:?} can't be read: in the topic {:?}, write a record without a value for \
                     the key {:?}, or take another id",
                    self.id,
                    self.positions.topic().as_str(),
                    self.name()
                ),
            )
        })
    }
}

impl fmt::Debug for KafkaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaWriter")
            .field("sink", &self.config)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
