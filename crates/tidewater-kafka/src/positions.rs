//! Where writers keep their positions: a compacted topic of one partition, whose records have a writer and its sink for
//! a key. A position is written in the transaction of the messages before it.
//!
//! Not offsets of a consumer group: those that nobody renews are removed after a week (`offsets.retention.minutes`), so a
//! pipe that was stopped for longer, or whose source was silent, would write everything again.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{Bounds, Delivery, Error, ErrorKind, Result, Source as _, Subscription, TopicName};

use crate::{KafkaConfig, client::TIMEOUT, error, events::Events};

/// How long the positions of others may be in the way: a transaction of theirs that is open.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks for a topic that has just been made.
const PAUSE: Duration = Duration::from_millis(50);

/// The topic of positions.
pub(crate) struct Positions {
    config: KafkaConfig,
    /// It was there, and is compacted.
    seen: OnceLock<()>,
}

impl Positions {
    /// That of this configuration.
    pub(crate) fn new(config: &KafkaConfig) -> Self {
        Self { config: config.at_positions(), seen: OnceLock::new() }
    }

    pub(crate) fn topic(&self) -> &TopicName {
        &self.config.topics()[0]
    }

    /// Makes the topic if it isn't there.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is there and not compacted; [`ErrorKind::Denied`] if it isn't, and this user may not
    /// make it.
    pub(crate) async fn ensure(&self) -> Result<()> {
        if self.seen.get().is_some() {
            return Ok(());
        }
        match self.config.clone().source().bounds().await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => self.make().await?,
            Err(error) => return Err(self.context(error)),
        }
        self.check().await?;
        self.seen.get_or_init(|| ());
        Ok(())
    }

    /// The last position of this key; what transactions that are open now may have written is waited for.
    ///
    /// # Errors
    /// As a source's [`subscribe`](tidewater_core::Source::subscribe); [`ErrorKind::Unavailable`] too while another
    /// writer's transaction is open for long.
    pub(crate) async fn last(&self, key: &str) -> Result<Option<String>> {
        self.read(key).await.map_err(|error| self.context(error))
    }

    async fn read(&self, key: &str) -> Result<Option<String>> {
        let isolated = |level| self.config.clone().with_property("isolation.level", level);
        // What is committed ends before the first transaction that is open; what was written, behind it.
        let end = first_end(&isolated("read_uncommitted")?.source().bounds().await?);
        let mut subscribed = isolated("read_committed")?.source().subscribe(Subscription::earliest()).await?;
        let (mut cursor, mut found) = (subscribed.start, None);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while cursor.topics().first().is_none_or(|topic| topic.offset(0) < end) {
            let next = tokio::time::timeout_at(deadline, subscribed.deliveries.next()).await;
            let next = next.map_err(|_| {
                let waited = PATIENCE.as_secs();
                Error::new(
                    ErrorKind::Unavailable,
                    format!("a transaction of another writer was open for {waited} s, and ends in its time"),
                )
            })?;
            match next.transpose()? {
                Some(Delivery::Message(message)) => {
                    let epoch = cursor.topic(message.tag).map(|topic| topic.epoch).unwrap_or_default();
                    cursor.advance(message.tag, epoch, message.partition, &message.position);
                    if message.key.as_deref() == Some(key.as_bytes()) {
                        let text = message.payload.as_deref().map(String::from_utf8_lossy);
                        found = text.map(std::borrow::Cow::into_owned);
                    }
                }
                Some(Delivery::Progress(progress)) => cursor.merge(&progress),
                // Only the past can be removed, and the past of a compacted topic is in what follows.
                Some(Delivery::Gap(gap)) => {
                    let epoch = cursor.topic(gap.tag).map(|topic| topic.epoch).unwrap_or_default();
                    cursor.raise(gap.tag, epoch, gap.partition, gap.missing.map_or(0, |missing| missing.end));
                }
                Some(Delivery::Epoch(_)) | None => {
                    return Err(Error::new(ErrorKind::Unavailable, "it was made again while it was read"));
                }
            }
        }
        Ok(found)
    }

    async fn make(&self) -> Result<()> {
        let topic = self.topic().clone();
        let made = self.administer(move |admin, options| {
            let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(-1))
                .set("cleanup.policy", "compact")
                // A writer that begins reads all of it: it is kept small.
                .set("segment.bytes", "16777216")
                .set("min.cleanable.dirty.ratio", "0.1");
            let made = tokio::runtime::Handle::current().block_on(admin.create_topics([&new], options));
            made.map(|mut made| {
                made.pop().map_or(Err(Code::Fail), |made| made.map(drop).map_err(|(_, code)| code))
            })
        });
        match made.await? {
            Ok(()) | Err(Code::TopicAlreadyExists) => {}
            Err(code) => {
                let denied =
                    matches!(code, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed);
                let kind = if denied { ErrorKind::Denied } else { ErrorKind::Unavailable };
                let topic = self.topic();
                return Err(self.context(Error::new(
                    kind,
                    format!(
                        "it isn't there and can't be made ({code}): give this user the right Create on it, or make it: \
                         kafka-topics.sh --create --topic {topic} --partitions 1 --config cleanup.policy=compact"
                    ),
                ).with_retry(tidewater_core::Retry::Later)));
            }
        }
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.config.clone().source().bounds().await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::NotFound || Instant::now() >= deadline => {
                    return Err(self.context(error));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// One that isn't compacted would lose positions. Who may not look at its settings has to know.
    async fn check(&self) -> Result<()> {
        let topic = self.topic().clone();
        let policy = self.administer(move |admin, options| {
            let wanted = [ResourceSpecifier::Topic(&topic)];
            let described =
                tokio::runtime::Handle::current().block_on(admin.describe_configs(&wanted, options));
            described.map(|mut described| {
                let settings = described.pop().unwrap_or(Err(Code::Fail))?;
                Ok(settings.get("cleanup.policy").and_then(|policy| policy.value.clone()))
            })
        });
        match policy.await? {
            Ok(Some(policy)) if !policy.contains("compact") || policy.contains("delete") => {
                Err(self.context(Error::new(
                    ErrorKind::Config,
                    format!(
                        "it has cleanup.policy={policy}, by which positions would be lost: make it compact, or name \
                         another topic (positions=…)"
                    ),
                )))
            }
            _ => Ok(()),
        }
    }

    /// Asks the cluster's administration. The inner error is its answer.
    async fn administer<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&AdminClient<Events>, &AdminOptions) -> rdkafka::error::KafkaResult<Result<T, Code>>
        + Send
        + 'static,
    ) -> Result<Result<T, Code>> {
        let config = self.config.clone();
        let asked = move || {
            config.check()?;
            let events = Events::new(&config, config.to_string());
            let admin: AdminClient<Events> = config
                .metadata()
                .create_with_context(events.clone())
                .map_err(|error| error::no_client(&config, "a Kafka client", &error))?;
            let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
            ask(&admin, &options).map_err(|_| error::no_broker(&config.brokers(), events.last()))
        };
        tokio::task::spawn_blocking(asked).await.map_err(error::thread)?
    }

    fn context(&self, error: Error) -> Error {
        error.context(format!(
            "the topic of positions {:?} at {}",
            self.topic().as_str(),
            self.config.brokers()
        ))
    }
}

fn first_end(bounds: &Bounds) -> u64 {
    let topic = bounds.topics.first();
    topic.and_then(|topic| topic.partitions.first()).map_or(0, |partition| partition.end)
}
