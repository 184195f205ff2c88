//! What all sources of one cluster share, read with the same properties: a client for questions, and consumers that wait
//! for the next subscription.
//!
//! A consumer costs threads, connections and some 100 ms, and a client that comes back to something older than the
//! log wants one for a moment only. So one that was read from without a fault is kept for [`IDLE`]. librdkafka keeps
//! apart what is fetched before and after an assignment (each partition has a version that is raised when it stops),
//! and forgets its position. What it does not forget is the incarnation of a topic: a consumer is never given to a
//! subscription of another incarnation of a topic that it has read.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{Epoch, Result, TopicName};

use crate::{KafkaConfig, client::drop_apart, error, events::Events};

/// The most consumers that wait.
const IDLE_MAX: usize = 4;

/// How long one waits.
const IDLE: Duration = Duration::from_secs(30);

/// How long the client for questions may be without an answer.
const STALE: Duration = Duration::from_secs(20);

/// What a consumer has read: a topic by that name has this incarnation for it.
pub(crate) type Known = HashMap<TopicName, Epoch>;

/// A consumer, and what it tells.
pub(crate) struct Pooled {
    pub(crate) client: BaseConsumer<Events>,
    pub(crate) events: Events,
    known: Known,
}

/// One cluster, read with the same properties.
pub(crate) struct Cluster {
    config: KafkaConfig,
    events: Events,
    client: Mutex<Option<Asked>>,
    idle: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    state: Mutex<Waiting>,
    closed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Since when each waits, the oldest first.
    consumers: Vec<(Instant, Pooled)>,
    /// There is a thread that ends the waiting.
    reaped: bool,
    closed: bool,
}

/// The client for questions.
struct Asked {
    client: Arc<BaseConsumer<Events>>,
    /// Since when it has had no answer.
    silent_since: Option<Instant>,
}

static ALL: Mutex<Vec<Weak<Cluster>>> = Mutex::new(Vec::new());

impl Cluster {
    /// The one of this configuration.
    pub(crate) fn of(config: &KafkaConfig) -> Arc<Self> {
        let mut all = lock(&ALL);
        all.retain(|cluster| cluster.strong_count() > 0);
        let found = all.iter().filter_map(Weak::upgrade).find(|cluster| cluster.config.same_cluster(config));
        found.unwrap_or_else(|| {
            let cluster = Arc::new(Self {
                config: config.clone(),
                events: Events::new(config, config.cluster_name()),
                client: Mutex::default(),
                idle: Arc::default(),
            });
            all.push(Arc::downgrade(&cluster));
            cluster
        })
    }

    /// The client for questions, made when the first one is asked, and what it tells.
    ///
    /// # Errors
    /// If librdkafka makes none of this configuration.
    pub(crate) fn client(&self) -> Result<Arc<BaseConsumer<Events>>> {
        let mut asked = lock(&self.client);
        if let Some(asked) = &*asked {
            return Ok(asked.client.clone());
        }
        self.config.check()?;
        let made: BaseConsumer<Events> = self
            .config
            .metadata()
            .create_with_context(self.events.clone())
            .map_err(|error| error::no_client(&self.config, "a Kafka client", &error))?;
        Ok(asked.insert(Asked { client: Arc::new(made), silent_since: None }).client.clone())
    }

    /// What came of a question. A client that has been silent for [`STALE`] is not asked again: the next question is
    /// another one's. (librdkafka has been seen to lose all its brokers when they stood still for half a minute, and to
    /// find none of them again while other clients did.)
    pub(crate) fn answered(&self, client: &Arc<BaseConsumer<Events>>, answered: bool, now: Instant) {
        let mut asked = lock(&self.client);
        let Some(one) = asked.as_mut().filter(|one| Arc::ptr_eq(&one.client, client)) else { return };
        if answered {
            one.silent_since = None;
        } else if now.duration_since(*one.silent_since.get_or_insert(now)) >= STALE
            && let Some(old) = asked.take()
        {
            drop_apart(old.client);
        }
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// A consumer without an assignment, for a subscription of `config` to these incarnations. Blocks.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub(crate) fn consumer(&self, config: &KafkaConfig, wanted: &Known) -> Result<Pooled> {
        if let Some(pooled) = self.idle.take(wanted)
            && pooled.begin(config)
        {
            return Ok(pooled);
        }
        config.check()?;
        let events = Events::new(config, config.to_string());
        let client = config
            .consumer()
            .create_with_context(events.clone())
            .map_err(|error| error::no_client(config, "a consumer", &error))?;
        Ok(Pooled { client, events, known: Known::new() })
    }

    /// Takes a consumer back that has read these incarnations, if it can be of use to another subscription. Blocks.
    pub(crate) fn give_back(&self, mut pooled: Pooled, read: Known) {
        pooled.known.extend(read);
        if pooled.end() {
            self.idle.put(pooled);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let client = lock(&self.client).take().map(|asked| asked.client);
        let consumers = self.idle.close();
        if client.is_some() || !consumers.is_empty() {
            drop_apart((client, consumers));
        }
    }
}

impl Pooled {
    /// Gives up what was assigned. Whether it went without a fault.
    fn end(&self) -> bool {
        let quiet = self.events.last().is_none() && self.events.is_settled();
        quiet && self.client.unassign().is_ok() && self.is_empty()
    }

    /// Makes it the one of this subscription, unless something has happened while it waited.
    fn begin(&self, config: &KafkaConfig) -> bool {
        let as_before = self.is_empty() && self.events.last().is_none() && self.events.is_settled();
        self.events.rename(config.to_string());
        as_before
    }

    /// Takes what still lies in its queue: the log, ends of partitions, what is said of the group. Whether nothing but
    /// that came.
    fn is_empty(&self) -> bool {
        // A poll that doesn't wait at all stops behind the first line of the log.
        while let Some(event) = self.client.poll(Duration::from_millis(1)) {
            let harmless = event.is_err_and(|error| {
                matches!(error, KafkaError::PartitionEOF(_))
                    || error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed)
            });
            if !harmless {
                return false;
            }
        }
        true
    }
}

impl Pool {
    fn take(&self, wanted: &Known) -> Option<Pooled> {
        let mut state = lock(&self.state);
        let fits = |(_, pooled): &(Instant, Pooled)| {
            wanted.iter().all(|(topic, epoch)| pooled.known.get(topic).is_none_or(|known| known == epoch))
        };
        let index = state.consumers.iter().rposition(fits)?;
        Some(state.consumers.remove(index).1)
    }

    fn put(self: &Arc<Self>, pooled: Pooled) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        state.consumers.push((Instant::now(), pooled));
        let surplus = (state.consumers.len() > IDLE_MAX).then(|| state.consumers.remove(0));
        if !mem::replace(&mut state.reaped, true) {
            let pool = self.clone();
            let reaper = thread::Builder::new().name("tw-kafka-idle".to_owned()).spawn(move || pool.reap());
            if let Err(error) = reaper {
                tracing::warn!(%error, "no thread for consumers that wait: they don't");
                state.reaped = false;
                let all = mem::take(&mut state.consumers);
                drop(state);
                drop(all);
                return;
            }
        }
        drop(state);
        drop(surplus);
    }

    /// Drops what has waited for long enough, until nothing waits. Blocks.
    fn reap(&self) {
        let mut state = lock(&self.state);
        loop {
            let Some((since, _)) = state.consumers.first() else {
                state.reaped = false;
                return;
            };
            let left = IDLE.saturating_sub(since.elapsed());
            if left.is_zero() {
                let old = state.consumers.remove(0);
                drop(state);
                drop(old);
                state = lock(&self.state);
            } else {
                let waited = self.closed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn close(&self) -> Vec<(Instant, Pooled)> {
        let mut state = lock(&self.state);
        state.closed = true;
        self.closed.notify_all();
        mem::take(&mut state.consumers)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> KafkaConfig {
        KafkaConfig::from_url(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn topics_of_one_cluster_share_and_others_do_not() {
        let one = Cluster::of(&config("kafka://share:1/t?sasl.password=x"));
        assert!(Arc::ptr_eq(&one, &Cluster::of(&config("kafka://share:1/u,v?sasl.password=x"))));
        for other in
            ["kafka://share:1/t?sasl.password=y", "kafka://share:2/t?sasl.password=x", "kafka://share:1/t"]
        {
            assert!(!Arc::ptr_eq(&one, &Cluster::of(&config(other))), "{other}");
        }
    }

    #[test]
    fn a_client_that_stays_silent_is_replaced() {
        let cluster = Cluster::of(&config("kafka://silent:1/t"));
        let (first, now) = (cluster.client().unwrap(), Instant::now());
        let is_first = || Arc::ptr_eq(&first, &cluster.client().unwrap());
        cluster.answered(&first, false, now);
        cluster.answered(&first, false, now + STALE / 2);
        cluster.answered(&first, true, now + STALE / 2);
        cluster.answered(&first, false, now + STALE);
        cluster.answered(&first, false, now + STALE * 2 - Duration::from_millis(1));
        assert!(is_first(), "it has answered meanwhile");
        cluster.answered(&first, false, now + STALE * 2);
        assert!(!is_first());
        let second = cluster.client().unwrap();
        cluster.answered(&first, false, now + STALE * 9);
        assert!(Arc::ptr_eq(&second, &cluster.client().unwrap()), "what the old one says is of no interest");
    }

    fn pooled(config: &KafkaConfig, topic: &str, epoch: u128) -> Pooled {
        let pooled = Cluster::of(config).consumer(config, &known("other", 1)).unwrap();
        Pooled { known: known(topic, epoch), ..pooled }
    }

    fn known(topic: &str, epoch: u128) -> Known {
        [(TopicName::new(topic), Epoch(epoch))].into()
    }

    #[test]
    fn a_consumer_is_not_given_to_another_incarnation_of_what_it_has_read() {
        let config = config("kafka://127.0.0.1:1/t");
        let pool = Arc::new(Pool::default());
        pool.put(pooled(&config, "t", 7));
        assert!(pool.take(&known("t", 8)).is_none());
        assert!(pool.take(&known("t", 7)).is_some());
        assert!(pool.take(&known("t", 7)).is_none(), "only once");
        pool.put(pooled(&config, "t", 7));
        assert!(pool.take(&known("u", 8)).is_some(), "it has never read that");
    }

    #[test]
    fn few_wait_and_none_when_it_is_closed() {
        let config = config("kafka://127.0.0.1:1/t");
        let pool = Arc::new(Pool::default());
        for epoch in 0..6 {
            pool.put(pooled(&config, "t", epoch));
        }
        assert!(pool.take(&known("t", 1)).is_none() && lock(&pool.state).consumers.len() == IDLE_MAX);
        assert_eq!(pool.close().len(), IDLE_MAX);
        pool.put(pooled(&config, "t", 9));
        assert!(lock(&pool.state).consumers.is_empty());
    }
}
