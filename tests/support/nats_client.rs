//! What takes a NATS client: listening, and JetStream's administration.
//!
//! The client is a feature: without `nats` nothing here builds ring, and each call is an error that says so.

#[cfg(feature = "nats")]
pub use real::Listener;
#[cfg(feature = "nats")]
pub(crate) use real::{answers, create, delete, forget_before, message, messages};
#[cfg(not(feature = "nats"))]
pub use without::Listener;
#[cfg(not(feature = "nats"))]
pub(crate) use without::{answers, create, delete, forget_before, message, messages};

/// A message as another client of the server sees it.
#[derive(Debug)]
pub struct Published {
    /// What was sent.
    pub payload: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Published {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(feature = "nats")]
mod real {
    use std::time::{Duration, Instant};

    use anyhow::{Context, Result};
    use async_nats::{
        HeaderMap,
        jetstream::{self, ErrorCode, context::CreateStreamErrorKind, stream},
    };
    use futures_util::StreamExt;
    use tokio::time::timeout;

    use super::Published;
    use crate::PATIENCE;

    /// A subscription of another client than Tidewater's.
    #[derive(Debug)]
    pub struct Listener(async_nats::Subscriber);

    impl Listener {
        pub(crate) async fn start(server: &str, subject: &str) -> Result<Self> {
            let client = async_nats::connect(server).await?;
            let subscriber = client.subscribe(subject.to_owned()).await?;
            client.flush().await?;
            Ok(Self(subscriber))
        }

        /// The next message.
        ///
        /// # Errors
        /// If none comes.
        pub async fn next(&mut self) -> Result<Published> {
            let message = timeout(PATIENCE, self.0.next()).await?.context("no message")?;
            Ok(published(message.payload.into(), message.headers.as_ref()))
        }
    }

    /// Whether JetStream has read what it has stored.
    pub(crate) async fn answers(server: &str) -> Result<()> {
        context(server).await?.query_account().await.context("asking JetStream").map(drop)
    }

    /// A stream in file storage. After a deletion the server may find its own files in the way for a moment.
    pub(crate) async fn create(server: &str, name: &str, subject: String) -> Result<()> {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subject],
            storage: stream::StorageType::File,
            ..Default::default()
        };
        let context = context(server).await?;
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

    pub(crate) async fn delete(server: &str, name: &str) -> Result<()> {
        context(server).await?.delete_stream(name).await.context("deleting the stream").map(drop)
    }

    pub(crate) async fn forget_before(server: &str, name: &str, sequence: u64) -> Result<()> {
        let stream = context(server).await?.get_stream(name).await?;
        stream.purge().sequence(sequence).await.context("purging the stream").map(drop)
    }

    pub(crate) async fn message(server: &str, name: &str, sequence: u64) -> Result<Published> {
        let stream = context(server).await?.get_stream(name).await?;
        let message = stream.get_raw_message(sequence).await.context("reading the message")?;
        Ok(published(message.payload.into(), Some(&message.headers)))
    }

    pub(crate) async fn messages(server: &str, name: &str) -> Result<Vec<Published>> {
        let mut stream = context(server).await?.get_stream(name).await?;
        let held = stream.info().await?.state.clone();
        let mut messages = Vec::new();
        for sequence in held.first_sequence.max(1)..=held.last_sequence {
            let message = stream.get_raw_message(sequence).await.context("reading the message")?;
            messages.push(published(message.payload.into(), Some(&message.headers)));
        }
        Ok(messages)
    }

    async fn context(server: &str) -> Result<jetstream::Context> {
        let client = async_nats::connect(server).await.with_context(|| server.to_owned())?;
        Ok(jetstream::new(client))
    }

    fn published(payload: Vec<u8>, headers: Option<&HeaderMap>) -> Published {
        let headers = headers.into_iter().flat_map(HeaderMap::iter);
        let headers = headers
            .flat_map(|(name, values)| values.iter().map(|value| (name.to_string(), value.to_string())));
        Published { payload, headers: headers.collect() }
    }
}

#[cfg(not(feature = "nats"))]
mod without {
    use anyhow::{Result, bail};

    use super::Published;

    const WITHOUT: &str = "the tests are built without their feature `nats`";

    /// There is none.
    #[derive(Debug)]
    pub struct Listener(());

    impl Listener {
        pub(crate) async fn start(_: &str, subject: &str) -> Result<Self> {
            bail!("cannot listen to {subject}: {WITHOUT}")
        }

        /// There is none.
        ///
        /// # Errors
        /// Always.
        pub async fn next(&mut self) -> Result<Published> {
            bail!(WITHOUT)
        }
    }

    pub(crate) async fn answers(server: &str) -> Result<()> {
        bail!("cannot ask {server}: {WITHOUT}")
    }

    pub(crate) async fn create(_: &str, name: &str, _: String) -> Result<()> {
        bail!("cannot create {name}: {WITHOUT}")
    }

    pub(crate) async fn delete(_: &str, name: &str) -> Result<()> {
        bail!("cannot delete {name}: {WITHOUT}")
    }

    pub(crate) async fn forget_before(_: &str, name: &str, _: u64) -> Result<()> {
        bail!("cannot shorten {name}: {WITHOUT}")
    }

    pub(crate) async fn message(_: &str, name: &str, _: u64) -> Result<Published> {
        bail!("cannot read {name}: {WITHOUT}")
    }

    pub(crate) async fn messages(_: &str, name: &str) -> Result<Vec<Published>> {
        bail!("cannot read {name}: {WITHOUT}")
    }
}
