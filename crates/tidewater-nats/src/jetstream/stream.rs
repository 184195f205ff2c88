//! One stream at the server: what it holds now.

use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
    response::Response,
    stream::{Info, RetentionPolicy},
};
use tidewater_core::{Epoch, Error, ErrorKind, Result, TopicName, TopicTag};

use crate::{JETSTREAM, connect::Connection, error};

/// How long a consumer that nobody pulls from lives on, if we don't get to removing it.
const INACTIVE: std::time::Duration = std::time::Duration::from_secs(30);

/// A stream, and what of it is read.
#[derive(Clone, Debug)]
pub(super) struct StreamRef {
    pub(super) connection: Connection,
    pub(super) name: TopicName,
    pub(super) tag: TopicTag,
    /// The subjects that are read; `None` is all.
    pub(super) filter: Option<String>,
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) epoch: Epoch,
    /// The first sequence that there is, or the end.
    pub(super) first: u64,
    /// The sequence after the last.
    pub(super) end: u64,
}

impl StreamRef {
    pub(super) fn new(connection: Connection, name: &str, filter: Option<String>) -> Self {
        Self { connection, name: name.into(), tag: TopicTag::of(JETSTREAM, name), filter }
    }

    /// Asks the server.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and others of [`error::api`]; [`ErrorKind::Unsupported`] for a stream that can't be read
    /// without taking from it.
    pub(super) async fn held(&self) -> Result<Held> {
        let context = self.connection.jetstream().await?;
        let servers = self.connection.servers.to_string();
        let answer: Response<Info> = context
            .request(format!("STREAM.INFO.{}", self.name), &())
            .await
            .map_err(|error| error::request(&servers, error))?;
        match answer {
            Response::Err { error } => Err(error::api(&servers, &self.name, error)),
            Response::Ok(info) => {
                self.check(&info)?;
                Ok(held(&info))
            }
        }
    }

    /// Makes a consumer of our own: pulled from, nothing acknowledged, in memory, gone when we are. Never the client's
    /// ordered one: that one recreates itself in silence and hides purges and recreations.
    pub(super) async fn consumer(&self, deliver_policy: DeliverPolicy) -> Result<Consumer<pull::Config>> {
        let context = self.connection.jetstream().await?;
        let config = pull::Config {
            description: Some("tidewater".into()),
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subject: self.filter.clone().unwrap_or_default(),
            inactive_threshold: INACTIVE,
            num_replicas: 1,
            memory_storage: true,
            ..Default::default()
        };
        context.create_consumer_on_stream(config, self.name.to_string()).await.map_err(|error| {
            let servers = self.connection.servers.to_string();
            match error.kind() {
                jetstream::stream::ConsumerErrorKind::JetStream(error) => {
                    error::api(&servers, &self.name, error)
                }
                _ => error::request(&servers, error),
            }
        })
    }

    /// Streams that remove a message when it is taken can't be read by looking on.
    fn check(&self, info: &Info) -> Result<()> {
        let why = match info.config.retention {
            RetentionPolicy::Limits => return Ok(()),
            RetentionPolicy::WorkQueue => "a work queue gives each message to one worker and then removes it",
            RetentionPolicy::Interest => {
                "with interest retention a message is removed when its consumers have had it"
            }
        };
        Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the stream {:?} can't be replayed to any number of readers: {why}. Read a stream with limits \
                 retention: one that mirrors or sources it, or a new one on the same subjects",
                self.name
            ),
        ))
    }
}

fn held(info: &Info) -> Held {
    let end = info.state.last_sequence + 1;
    let first = if info.state.messages == 0 { end } else { info.state.first_sequence };
    Held { epoch: epoch(info), first, end }
}

/// The time of the stream's creation is what tells it from another one of its name.
fn epoch(info: &Info) -> Epoch {
    let created = SystemTime::from(info.created).duration_since(UNIX_EPOCH);
    Epoch(created.map_or(0, |since| since.as_nanos()))
}
