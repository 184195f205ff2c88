//! Subjects and JetStream streams of a real nats-server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream::{self, ErrorCode, context::CreateStreamErrorKind, stream};

use crate::{NatsProducer, env};

/// A subject that only one test knows.
#[derive(Clone, Debug)]
pub struct Subject {
    server: String,
    name: String,
}

impl Subject {
    /// A subject whose name begins with `base`.
    ///
    /// # Errors
    /// If there is no nats-server.
    pub fn new(base: &str) -> Result<Self> {
        Ok(Self { server: env::nats()?, name: format!("{base}.{:08x}", fastrand::u32(..)) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source's and sink's URL.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// A producer, connected to its server.
    ///
    /// # Errors
    /// If there is no server.
    pub async fn producer(&self) -> Result<NatsProducer> {
        NatsProducer::connect(&self.server).await
    }

    /// Listens to it, with the client library: for what the gateway publishes.
    ///
    /// # Errors
    /// If there is no server.
    pub async fn listen(&self) -> Result<async_nats::Subscriber> {
        let client = async_nats::connect(&self.server).await?;
        let subscriber = client.subscribe(self.name.clone()).await?;
        client.flush().await?;
        Ok(subscriber)
    }
}

/// A stream that only one test knows, in file storage. It has one subject.
#[derive(Clone, Debug)]
pub struct Stream {
    server: String,
    name: String,
}

impl Stream {
    /// Makes a stream whose name begins with `base`.
    ///
    /// # Errors
    /// If there is no nats-server, or it refuses.
    pub async fn create(base: &str) -> Result<Self> {
        Self::create_at(&env::nats()?, base).await
    }

    /// Makes a stream on this server, `nats://host:port`.
    ///
    /// # Errors
    /// If there is no such server, or it refuses.
    pub async fn create_at(server: &str, base: &str) -> Result<Self> {
        let stream = Self::absent_at(server, base);
        stream.make().await?;
        Ok(stream)
    }

    /// A name that nobody has used, and no stream yet: [`make`](Self::make) it.
    pub fn absent_at(server: &str, base: &str) -> Self {
        Self { server: server.to_owned(), name: format!("{base}-{:08x}", fastrand::u32(..)) }
    }

    /// Makes the stream of this name. After a deletion the server may find its own files in the way for a moment.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn make(&self) -> Result<()> {
        let config = stream::Config {
            name: self.name.clone(),
            subjects: vec![self.subject()],
            storage: stream::StorageType::File,
            ..Default::default()
        };
        let context = self.context().await?;
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let Err(error) = context.create_stream(config.clone()).await else { return Ok(()) };
            let in_the_way = matches!(error.kind(), CreateStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_CREATE);
            if !in_the_way || Instant::now() > deadline {
                return Err(error).context("creating the stream");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deletes the stream and makes it again: another incarnation under the same name.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn recreate(&self) -> Result<()> {
        self.context().await?.delete_stream(&self.name).await.context("deleting the stream")?;
        self.make().await
    }

    /// Removes every message before a sequence, as the stream's limits would.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn forget_before(&self, sequence: u64) -> Result<()> {
        let stream = self.context().await?.get_stream(&self.name).await?;
        stream.purge().sequence(sequence).await.context("purging the stream")?;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its only subject.
    pub fn subject(&self) -> String {
        format!("{}.events", self.name)
    }

    /// The source's and sink's URL.
    pub fn url(&self) -> String {
        format!("{}/{}/{}", self.server.replacen("nats:", "jetstream:", 1), self.name, self.subject())
    }

    /// A producer, connected to its server.
    ///
    /// # Errors
    /// If there is no server.
    pub async fn producer(&self) -> Result<NatsProducer> {
        NatsProducer::connect(&self.server).await
    }

    /// The message at a sequence, with the client library.
    ///
    /// # Errors
    /// If there is none.
    pub async fn message(&self, sequence: u64) -> Result<jetstream::message::StreamMessage> {
        let stream = self.context().await?.get_stream(&self.name).await?;
        stream.get_raw_message(sequence).await.context("reading the message")
    }

    async fn context(&self) -> Result<jetstream::Context> {
        let client = async_nats::connect(&self.server).await.with_context(|| self.server.clone())?;
        Ok(jetstream::new(client))
    }
}
