//! How the channels are, as a feed of Tidewater's own: one event for each channel and second, keyed by its name, as JSON;
//! a tombstone for one that is gone.
//!
//! Two channels, because not everybody may know everything: one tells an operator all, the other tells names and states
//! alone, each viewer those that they may read. They are in a hub of their own, so that nobody finds them among what is
//! served. Nothing is looked at or written while nobody follows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tidewater::{
    Channel, Hub, LagPolicy, LogBounds, Message, Result, Select,
    http::{Ask, Authorizer, Endpoint, Grant, Refusal},
    memory::{MemoryBounds, MemoryLog},
};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use crate::serve::{
    routes::{granted, named, whole},
    site::{Now, Served, Site},
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How many rounds without a viewer until the next one has to wake it: longer than it may take to find out who comes.
const PATIENCE: u32 = 60;
/// Some seconds of a gateway with many channels, for viewers who were cut off.
const KEPT: LogBounds = LogBounds { events: 4_096, bytes: 4 << 20, age: Duration::from_secs(60) };

/// The feed.
#[derive(Debug)]
pub(in crate::serve) struct Feed {
    hub: Hub,
    whole: Lane,
    named: Lane,
    /// Somebody comes.
    comes: Arc<Notify>,
}

impl Feed {
    /// Without a viewer yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(in crate::serve) fn open() -> Result<Self> {
        let hub = Hub::new();
        let (whole, named) = (Lane::open(&hub, "console.all")?, Lane::open(&hub, "console.named")?);
        Ok(Self { hub, whole, named, comes: Arc::default() })
    }

    /// The hub of its channels, to be drained with that of the others.
    pub(in crate::serve) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// All, for an operator.
    pub(in crate::serve) fn for_operator(&self) -> Endpoint {
        self.comes.notify_one();
        Endpoint::new(self.whole.channel())
    }

    /// What the asker may know, of what holds now.
    pub(in crate::serve) fn for_anybody(&self, now: impl FnOnce() -> Arc<Now>) -> Endpoint {
        self.comes.notify_one();
        // In this order: who gets what held before a change is on the channel that the change ends.
        let channel = self.named.channel();
        Endpoint::new(channel).authorize(Watcher(now()))
    }

    /// Others may be granted something now: who follows by name comes back, and is asked for anew.
    pub(in crate::serve) fn grants_changed(&self) {
        self.named.ask_anew(&self.hub);
    }

    /// It is others now who may know all: who follows that comes back, too.
    pub(in crate::serve) fn operators_changed(&self) {
        self.whole.ask_anew(&self.hub);
    }

    /// Tells how the channels are, once a second while anybody follows, as long as the site is there.
    pub(in crate::serve) fn run(site: &Arc<Site>) {
        let (comes, site) = (site.feed().comes.clone(), Arc::downgrade(site));
        tokio::spawn(async move {
            loop {
                comes.notified().await;
                let mut alone = 0;
                let mut seconds = interval(EVERY);
                seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while alone < PATIENCE {
                    seconds.tick().await;
                    let Some(site) = site.upgrade() else { return };
                    alone = if site.feed().tell(&site.now()) { 0 } else { alone + 1 };
                }
            }
        });
    }

    /// Answers whether anybody follows.
    fn tell(&self, now: &Now) -> bool {
        let told = |say: fn(&Served) -> Value| {
            move || now.channels.iter().map(|served| (served.name().to_owned(), say(served))).collect()
        };
        let is_watched = self.whole.tell(told(whole));
        self.named.tell(told(named)) || is_watched
    }
}

/// One of its channels.
#[derive(Debug)]
struct Lane {
    log: MemoryLog,
    channel: RwLock<Channel>,
    /// The channels that were told last.
    told: Mutex<BTreeSet<String>>,
}

impl Lane {
    fn open(hub: &Hub, name: &str) -> Result<Self> {
        let log = MemoryLog::with_bounds(name, MemoryBounds { events: KEPT.events, bytes: KEPT.bytes });
        let channel = RwLock::new(follow(hub, &log)?);
        Ok(Self { log, channel, told: Mutex::default() })
    }

    fn channel(&self) -> Channel {
        self.channel.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends every stream. Who comes back is authorized anew, and goes on in the same log.
    fn ask_anew(&self, hub: &Hub) {
        let mut channel = self.channel.write().unwrap_or_else(PoisonError::into_inner);
        hub.close(channel.name());
        match follow(hub, &self.log) {
            Ok(next) => *channel = next,
            // It drains: nobody needs it any more.
            Err(error) => tracing::debug!("the console's feed ends: {error}"),
        }
    }

    /// Writes what there is to say of each channel, if anybody follows: else nobody is asked.
    fn tell(&self, say: impl FnOnce() -> BTreeMap<String, Value>) -> bool {
        if self.channel().status().clients == 0 {
            return false;
        }
        let said = say();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let names = said.keys().cloned().collect();
        for gone in told.difference(&names) {
            let mut message = Message::new(self.log.name().clone(), "").with_key(gone.clone());
            message.payload = None;
            self.log.publish(message);
        }
        *told = names;
        let at = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as u64;
        for (name, mut said) in said {
            said["at"] = json!(at);
            self.log.publish(Message::new(self.log.name().clone(), said.to_string()).with_key(name));
        }
        true
    }
}

/// A channel of this log, called as the log is.
fn follow(hub: &Hub, log: &MemoryLog) -> Result<Channel> {
    let channel = hub.channel(log.name().as_str()).source(log.source()).log(KEPT).prewarm(None);
    channel.lag(LagPolicy::Conflate).open()
}

/// Grants the states of the channels that the asker may read, for as long as all of that is granted.
#[derive(Debug)]
struct Watcher(Arc<Now>);

#[async_trait]
impl Authorizer for Watcher {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        let granted = granted(&self.0, ask.head).await?;
        let names = granted.iter().map(|(served, _)| served.name().to_owned());
        let grant = Grant::new().reading(Select::keys(names));
        let until = granted.iter().filter_map(|(_, grant)| grant.expiry()).min();
        // Whose streams these are, for limits.
        let subject = granted.iter().find_map(|(_, grant)| grant.subject().cloned());
        let grant = until.into_iter().fold(grant, Grant::until);
        Ok(subject.into_iter().fold(grant, Grant::with_subject))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tidewater::Resume;

    use super::*;

    #[tokio::test]
    async fn nothing_is_looked_at_while_nobody_follows() {
        let lane = Lane::open(&Hub::new(), "all").unwrap();
        assert!(!lane.tell(|| unreachable!("nobody follows")));
        let mut stream = lane.channel().stream(Resume::default(), Select::all()).await;
        assert!(text(stream.next().await).contains("event: tidewater.cursor"));
        let say = |names: &[&str]| {
            let said = names.iter().map(|name| ((*name).to_owned(), json!({ "name": name })));
            lane.tell(|| said.collect())
        };
        assert!(say(&["a", "b"]));
        // What is gone is told once, by a tombstone of its name.
        assert!(say(&["b"]) && say(&["b"]));
        let mut told = String::new();
        while told.matches("\"name\":\"b\"").count() < 3 {
            told.push_str(&text(stream.next().await));
        }
        assert_eq!(told.matches("\"name\":\"a\"").count(), 1, "{told}");
        assert_eq!(told.matches("event: tidewater.tombstone\ndata: a\n").count(), 1, "{told}");
        drop(stream);
        assert!(!lane.tell(|| unreachable!("nobody follows any more")));
    }

    fn text(item: Option<bytes::Bytes>) -> String {
        String::from_utf8(item.unwrap().to_vec()).unwrap()
    }
}
