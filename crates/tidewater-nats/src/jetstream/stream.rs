//! One stream at the server: what it holds now.

use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
    response::Response,
    stream::{Info, RetentionPolicy},
};
use tidewater_core::{Epoch, Error, ErrorKind, Result, TopicName, TopicTag};

use crate::{
    JETSTREAM, error,
    link::{Connection, Link},
};

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
        self.held_at(&*self.connection.link().await?).await
    }

    async fn held_at(&self, link: &Link) -> Result<Held> {
        let info = self.info(link).await?;
        self.check(&info)?;
        Ok(held(&info))
    }

    /// What the server says of it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and others of [`error::api`].
    pub(super) async fn info(&self, link: &Link) -> Result<Info> {
        let (api, profile) = (self.connection.api(), &self.connection.profile);
        let context = link.jetstream(self.connection.api_prefix.as_deref());
        let question = format!("STREAM.INFO.{}", self.name);
        let answer: Result<Response<Info>, _> =
            link.ask(&format!("{api}.{question}"), context.request(question.clone(), &())).await?;
        match answer.map_err(|error| error::request(profile, api, error))? {
            Response::Err { error } => Err(error::api(profile, &self.name, error)),
            Response::Ok(info) => Ok(info),
        }
    }

    /// Makes a consumer of our own: pulled from, nothing acknowledged, in memory, gone when we are. Never the client's
    /// ordered one: that one recreates itself in silence and hides purges and recreations.
    ///
    /// Its name is chosen here, as the name and the filter stand in the subject of the request then: permissions can
    /// allow this filter and no other.
    pub(super) async fn consumer(
        &self,
        link: &Link,
        deliver_policy: DeliverPolicy,
    ) -> Result<Consumer<pull::Config>> {
        let (api, profile) = (self.connection.api(), &self.connection.profile);
        let context = link.jetstream(self.connection.api_prefix.as_deref());
        let inbox = link.client().new_inbox();
        let name = format!("tidewater-{}", inbox.rsplit('.').next().unwrap_or_default());
        let filter = self.filter.as_ref().map(|filter| format!(".{filter}")).unwrap_or_default();
        let subject = format!("{api}.CONSUMER.CREATE.{}.{name}{filter}", self.name);
        let config = pull::Config {
            name: Some(name),
            description: Some("tidewater".into()),
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subject: self.filter.clone().unwrap_or_default(),
            inactive_threshold: INACTIVE,
            num_replicas: 1,
            memory_storage: true,
            ..Default::default()
        };
        let made = context.create_consumer_on_stream(config, self.name.to_string());
        link.ask(&subject, made).await?.map_err(|error| match error.kind() {
            jetstream::stream::ConsumerErrorKind::JetStream(error) => error::api(profile, &self.name, error),
            _ => error::request(profile, api, error),
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
                 retention that sources it, or change its retention",
                self.name
            ),
        ))
    }
}

/// What a stream of this information holds.
pub(super) fn held(info: &Info) -> Held {
    let end = info.state.last_sequence + 1;
    let first = if info.state.messages == 0 { end } else { info.state.first_sequence };
    Held { epoch: epoch(info), first, end }
}

/// The time of the stream's creation is what tells it from another one of its name.
fn epoch(info: &Info) -> Epoch {
    let created = SystemTime::from(info.created).duration_since(UNIX_EPOCH);
    Epoch(created.map_or(0, |since| since.as_nanos()))
}
