//! Subjects and JetStream streams of a real nats-server.

use anyhow::Result;

pub use crate::nats_client::{Listener, Published};
use crate::{NatsProducer, env, nats_client};

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
    pub async fn listen(&self) -> Result<Listener> {
        Listener::start(&self.server, &self.name).await
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
        nats_client::create(&self.server, &self.name, self.subject()).await
    }

    /// Deletes the stream and makes it again: another incarnation under the same name.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn recreate(&self) -> Result<()> {
        nats_client::delete(&self.server, &self.name).await?;
        self.make().await
    }

    /// Removes every message before a sequence, as the stream's limits would.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn forget_before(&self, sequence: u64) -> Result<()> {
        nats_client::forget_before(&self.server, &self.name, sequence).await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `nats://host:port`.
    pub fn server(&self) -> &str {
        &self.server
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
    pub async fn message(&self, sequence: u64) -> Result<Published> {
        nats_client::message(&self.server, &self.name, sequence).await
    }

    /// All that it holds, in its order, with the client library.
    ///
    /// # Errors
    /// If there is no such stream.
    pub async fn messages(&self) -> Result<Vec<Published>> {
        nats_client::messages(&self.server, &self.name).await
    }
}
