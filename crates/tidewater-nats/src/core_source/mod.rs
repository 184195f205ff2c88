//! Core NATS: subjects, at most once.
//!
//! NATS keeps nothing, so this source counts: its offsets are the numbers of the messages that it has received, its
//! epoch is a random number. Sources of the same subjects, servers and settings in one process have one count while one
//! of them lives. It goes on when one is subscribed again, behind a
//! [`Gap`](tidewater_core::Gap) of unknown extent and reason `lost`, as after a lost connection. Such a gap takes an
//! offset of its own (told as `Progress` behind it), so that a cursor stands clearly before or after it.
//!
//! One subscription counts at a time. A second one beside it has a count and an epoch of its own, and the two can't be
//! resumed from one another: there is nothing at the broker that could be the same in both.
//!
//! Each subscription has a connection of its own. The server cuts off a connection that does not keep up, and that
//! should hit nobody else. A lost connection is made again for some seconds; then the stream ends with an error that
//! says that it can be retried, so that whoever reads it knows that the source is down.

mod counter;
mod feed;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tidewater_core::{
    Bounds, Capabilities, Cursor, Error, ErrorKind, Next, Result, ShareKey, Source, SourceUrl, Start,
    Subscribed, Subscription, TopicBounds, TopicCursor, TopicName, TopicTag,
};

use self::{counter::Counter, feed::Feed};
use crate::{
    NATS,
    config::{NatsConfig, Profile},
    names::Subject,
};

pub(crate) const CAPABILITIES: Capabilities =
    Capabilities { replay: false, from_time: false, partitioned: false, mergeable: true };

/// The bytes of messages that are kept for a reader that is slow, unless the URL says otherwise.
const BUFFER: usize = 16 << 20;

/// Reads the messages of a subject, or of all subjects that a pattern matches, from the moment of subscribing on.
///
/// `nats://host:4222,host2/orders.>?buffer=16777216`. The parameter `buffer` is how many bytes of messages may wait
/// for a reader that is slow (a message that is larger is let in alone); what comes on top is lost and told as a gap.
#[derive(Clone, Debug)]
pub struct NatsSource {
    profile: Arc<Profile>,
    topic: Topic,
    buffer: usize,
    key: ShareKey,
    counter: Arc<Counter>,
}

/// The one topic of the cursor.
#[derive(Clone, Debug)]
struct Topic {
    name: TopicName,
    tag: TopicTag,
}

impl NatsSource {
    /// Reads the URL. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], saying what is wrong with it.
    pub fn open(url: &SourceUrl) -> Result<Self> {
        let (config, mut params) = NatsConfig::from_url(url, &["buffer"])?;
        Self::new(&config, &url.decoded_path()?, params.parse("buffer", "a number of bytes")?)
    }

    pub(crate) fn new(config: &NatsConfig, subject: &str, buffer: Option<usize>) -> Result<Self> {
        let name = TopicName::new(Subject::pattern(subject)?.as_str());
        config.without_jetstream()?;
        let profile = Arc::new(config.profile()?);
        let topic = Topic { tag: TopicTag::of(NATS, &name), name };
        let buffer = buffer.unwrap_or(BUFFER);
        let mut parts = profile.parts();
        parts.extend([topic.name.as_bytes().to_vec(), buffer.to_be_bytes().to_vec()]);
        let key = ShareKey::new(NATS, parts);
        Ok(Self { profile, topic, buffer, counter: counter(&key), key })
    }
}

#[async_trait]
impl Source for NatsSource {
    fn kind(&self) -> &'static str {
        NATS
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    /// Answered without the broker, which holds nothing.
    async fn bounds(&self) -> Result<Bounds> {
        let end = self.counter.end();
        let nothing = end..end;
        Ok(Bounds {
            topics: vec![TopicBounds {
                name: self.topic.name.clone(),
                tag: self.topic.tag,
                epoch: self.counter.epoch(),
                partitions: vec![nothing],
            }],
        })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(self.topic.tag));
        if let (Start::Time(_), None) = (subscription.start, wanted) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{self}: NATS keeps no messages, so there is no starting at a time; JetStream does"),
            ));
        }
        let counting = Counter::begin(&self.counter);
        let start = TopicCursor {
            tag: self.topic.tag,
            epoch: counting.epoch().tag(),
            next: Next::Offsets(vec![counting.end()]),
        };
        let feed = Feed::open(&self.profile, self.topic.clone(), self.buffer, counting).await?;
        let deliveries = futures_util::stream::unfold(feed, async |mut feed| {
            let delivery = feed.next().await?;
            Some((delivery, feed))
        });
        Ok(Subscribed { start: Cursor::from_iter([start]), deliveries: deliveries.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        Some(self.key.clone())
    }
}

/// Sources that are the same have one count: whoever shares a subscription has its positions.
fn counter(key: &ShareKey) -> Arc<Counter> {
    static COUNTERS: LazyLock<Mutex<HashMap<ShareKey, Weak<Counter>>>> = LazyLock::new(Mutex::default);
    let mut counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    counters.retain(|_, counter| counter.strong_count() > 0);
    let there = counters.get(key).and_then(Weak::upgrade);
    there.unwrap_or_else(|| {
        let counter = Arc::new(Counter::new());
        counters.insert(key.clone(), Arc::downgrade(&counter));
        counter
    })
}

impl fmt::Display for NatsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NATS}://{}/{}", self.profile, self.topic.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_shown_without_secrets() {
        let open = |url: &str| NatsSource::open(&url.parse().unwrap());
        let source = open("nats://me:hunter2@a:4222,b/orders.%3E?buffer=1000").unwrap();
        assert_eq!(source.to_string(), "nats://a:4222,b/orders.>");
        assert!(!format!("{source:?}").contains("hunter2"));
        for (url, what) in [
            ("nats://a/", "orders.new"),
            ("nats://a/x?bufer=3", "there are: buffer"),
            ("nats://a/x?domain=hub", "domain"),
            ("nats://a/x?buffer=much", "a number of bytes"),
            ("nats:x", "HOST:4222"),
        ] {
            let error = open(url).unwrap_err();
            assert!(error.to_string().contains(what), "{url}: {error}");
            assert_eq!(error.kind(), ErrorKind::Config);
        }
    }
}
