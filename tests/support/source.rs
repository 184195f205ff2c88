//! The three kinds of broker topics behind one face, for tests that run over all of them.

use anyhow::{Context, Result, ensure};

use crate::{kafka, nats};

/// What a channel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// A Kafka topic.
    Kafka,
    /// A core NATS subject.
    Nats,
    /// A JetStream stream.
    JetStream,
}

/// A message to produce.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Kafka only.
    pub key: Option<&'static str>,
    /// By name.
    pub headers: Vec<(String, String)>,
    /// `None` is a tombstone: Kafka only.
    pub payload: Option<Vec<u8>>,
}

impl Record {
    /// A payload alone.
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A topic, subject or stream that only one test knows.
#[derive(Clone, Debug)]
pub enum Feed {
    /// A Kafka topic of one partition.
    Kafka(kafka::Topic),
    /// A core NATS subject.
    Nats(nats::Subject),
    /// A JetStream stream.
    JetStream(nats::Stream),
}

impl Feed {
    /// Makes one whose name begins with `base`.
    ///
    /// # Errors
    /// If the broker is not there, or refuses.
    pub async fn create(broker: Broker, base: &str) -> Result<Self> {
        Ok(match broker {
            Broker::Kafka => Self::Kafka(kafka::Topic::create(base, 1).await?),
            Broker::Nats => Self::Nats(nats::Subject::new(base)?),
            Broker::JetStream => Self::JetStream(nats::Stream::create(base).await?),
        })
    }

    /// The source's and sink's URL.
    pub fn url(&self) -> String {
        match self {
            Self::Kafka(topic) => topic.url(),
            Self::Nats(subject) => subject.url(),
            Self::JetStream(stream) => stream.url(),
        }
    }

    /// Produces one message per line, in this order; returns when the broker has them.
    ///
    /// # Errors
    /// If the broker is not there, or refuses.
    pub async fn produce(&self, lines: impl IntoIterator<Item = impl Into<String>>) -> Result<()> {
        let lines: Vec<String> = lines.into_iter().map(Into::into).collect();
        match self {
            Self::Kafka(topic) => topic.produce(0, lines).await,
            Self::Nats(subject) => {
                let mut producer = subject.producer().await?;
                for line in &lines {
                    producer.publish(subject.name(), &[], line.as_bytes()).await?;
                }
                producer.flush().await
            }
            Self::JetStream(stream) => {
                let sequences = stream.producer().await?.store(&stream.subject(), &[], &lines).await?;
                ensure!(sequences.is_sorted(), "JetStream stored them out of order: {sequences:?}");
                Ok(())
            }
        }
    }

    /// Produces one message with all that it may have.
    ///
    /// # Errors
    /// If the broker is not there, or refuses.
    pub async fn produce_record(&self, record: &Record) -> Result<()> {
        let payload = || record.payload.as_deref().context("NATS has no tombstones");
        match self {
            Self::Kafka(topic) => topic.produce_record(0, record).await,
            Self::Nats(subject) => {
                let mut producer = subject.producer().await?;
                producer.publish(subject.name(), &record.headers, payload()?).await?;
                producer.flush().await
            }
            Self::JetStream(stream) => {
                let mut producer = stream.producer().await?;
                producer.store(&stream.subject(), &record.headers, &[payload()?]).await.map(drop)
            }
        }
    }

    /// Removes it and makes it again under the same name.
    ///
    /// # Errors
    /// If the broker refuses; for a subject, which can't be removed.
    pub async fn recreate(&self) -> Result<()> {
        match self {
            Self::Kafka(topic) => topic.recreate().await,
            Self::Nats(_) => anyhow::bail!("a subject can't be made again"),
            Self::JetStream(stream) => stream.recreate().await,
        }
    }

    /// The position of its first message ever.
    pub fn first(&self) -> u64 {
        match self {
            Self::JetStream(_) => 1,
            Self::Kafka(_) | Self::Nats(_) => 0,
        }
    }

    /// Removes every message before a position, as retention would.
    ///
    /// # Errors
    /// If the broker refuses; for a subject, which keeps nothing.
    pub async fn forget_before(&self, position: u64) -> Result<()> {
        match self {
            Self::Kafka(topic) => topic.forget_before(0, position).await,
            Self::Nats(_) => anyhow::bail!("a subject keeps nothing"),
            Self::JetStream(stream) => stream.forget_before(position).await,
        }
    }
}
