//! A log in this process: the source and sink for trying things, for tests, and for feeds that live as long as
//! their process.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use futures_util::StreamExt as _;
//! use tidewater_core::{Delivery, Message, Sink as _, Source as _, Subscription, memory::MemoryLog};
//!
//! let log = MemoryLog::new("demo");
//! log.sink().send(Message::new("demo", "hello")).await?;
//!
//! let mut subscribed = log.source().subscribe(Subscription::earliest()).await?;
//! let Some(Ok(Delivery::Message(message))) = subscribed.deliveries.next().await else { panic!() };
//! assert_eq!(message.payload.as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), tidewater_core::Error>(()) }).unwrap();
//! ```
//!
//! It is bounded by events and bytes; the oldest go first. Its epoch is a random number of this log, so an id that
//! outlives the process is told as a gap of reason `epoch`.

mod sink;
mod source;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tokio::sync::watch;

use crate::{
    Capabilities, Epoch, Error, ErrorKind, Message, Place, Plugin, Position, Result, SourceUrl, TopicName,
    TopicTag,
};

pub use sink::MemorySink;
pub use source::MemorySource;

/// The kind of source, as its tags are made from.
pub const KIND: &str = "memory";

const CAPABILITIES: Capabilities =
    Capabilities { replay: true, from_time: true, partitioned: false, mergeable: true };

inventory::submit! {
    Plugin {
        name: KIND,
        schemes: &[KIND],
        about: "a bounded log in this process; gone when the process ends",
        example: "memory:demo?events=100000&bytes=67108864",
        capabilities: CAPABILITIES,
        source: Some(|url| Ok(Arc::new(MemoryLog::open(url)?.source()))),
        sink: Some(|url| Ok(Arc::new(MemoryLog::open(url)?.sink()))),
    }
}

/// How many logs there have been.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// How much a [`MemoryLog`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// The most messages.
    pub events: usize,
    /// The most bytes of topics, keys, headers and payloads. The newest message is kept whatever its size.
    pub bytes: usize,
}

impl Default for MemoryBounds {
    /// 100,000 messages, 64 MiB.
    fn default() -> Self {
        Self { events: 100_000, bytes: 64 << 20 }
    }
}

/// A bounded, replayable log with one partition. Cloning shares it.
#[derive(Clone)]
pub struct MemoryLog(Arc<Shared>);

struct Shared {
    name: TopicName,
    /// Tells this log from every other of this process.
    number: u64,
    bounds: MemoryBounds,
    kept: Mutex<Kept>,
    /// The end offset and the incarnation's number, for those who wait.
    moved: watch::Sender<(u64, u64)>,
}

struct Kept {
    epoch: Epoch,
    incarnation: u64,
    first: u64,
    bytes: usize,
    messages: VecDeque<Message>,
}

impl Kept {
    fn new(incarnation: u64) -> Self {
        Self { epoch: Epoch::random(), incarnation, first: 0, bytes: 0, messages: VecDeque::new() }
    }

    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }
}

impl MemoryLog {
    /// A log that is known by this value only, with the default bounds.
    pub fn new(name: impl Into<TopicName>) -> Self {
        Self::with_bounds(name, MemoryBounds::default())
    }

    /// A log that is known by this value only.
    pub fn with_bounds(name: impl Into<TopicName>, bounds: MemoryBounds) -> Self {
        Self(Arc::new(Shared {
            name: name.into(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            bounds,
            kept: Mutex::new(Kept::new(0)),
            moved: watch::Sender::new((0, 0)),
        }))
    }

    /// The log of this name in this process: the same name is the same log, as long as anybody holds it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is there with other bounds.
    pub fn named(name: &str, bounds: MemoryBounds) -> Result<Self> {
        static NAMED: LazyLock<Mutex<HashMap<String, Weak<Shared>>>> = LazyLock::new(Mutex::default);
        let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = named.get(name).and_then(Weak::upgrade) {
            if shared.bounds != bounds {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "memory:{name} is open with other bounds ({:?}, and now {bounds:?})",
                        shared.bounds
                    ),
                ));
            }
            return Ok(Self(shared));
        }
        named.retain(|_, log| log.strong_count() > 0);
        let log = Self::with_bounds(name, bounds);
        named.insert(name.to_owned(), Arc::downgrade(&log.0));
        Ok(log)
    }

    /// Its source. Each call gives another view of the same log.
    pub fn source(&self) -> MemorySource {
        MemorySource(self.clone())
    }

    /// Its sink.
    pub fn sink(&self) -> MemorySink {
        MemorySink(self.clone())
    }

    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.0.name
    }

    /// Appends a message and tells where it stands. The message's topic becomes the log's name.
    pub fn publish(&self, mut message: Message) -> Place {
        let mut kept = self.kept();
        let offset = kept.end();
        message.topic = self.0.name.clone();
        message.tag = self.tag();
        message.partition = 0;
        message.position = Position::Offset(offset);
        message.timestamp.get_or_insert_with(SystemTime::now);
        kept.bytes += message.size();
        kept.messages.push_back(message);
        while kept.messages.len() > 1
            && (kept.messages.len() > self.0.bounds.events || kept.bytes > self.0.bounds.bytes)
        {
            let Some(oldest) = kept.messages.pop_front() else { break };
            kept.bytes -= oldest.size();
            kept.first += 1;
        }
        self.0.moved.send_replace((kept.incarnation, offset + 1));
        Place { tag: self.tag(), epoch: Some(kept.epoch), partition: 0, position: Position::Offset(offset) }
    }

    /// Removes everything before `offset`, as a broker's retention would.
    pub fn truncate_before(&self, offset: u64) {
        let mut kept = self.kept();
        while kept.first < offset.min(kept.end()) {
            let Some(oldest) = kept.messages.pop_front() else { break };
            kept.bytes -= oldest.size();
            kept.first += 1;
        }
    }

    /// Throws everything away and begins a new incarnation at offset 0, as if a topic were removed and made again.
    pub fn recreate(&self) {
        let mut kept = self.kept();
        *kept = Kept::new(kept.incarnation + 1);
        self.0.moved.send_replace((kept.incarnation, 0));
    }

    fn open(url: &SourceUrl) -> Result<Self> {
        let mut params = url.params()?;
        let default = MemoryBounds::default();
        let bounds = MemoryBounds {
            events: params.parse("events", "a number of messages")?.unwrap_or(default.events),
            bytes: params.parse("bytes", "a number of bytes")?.unwrap_or(default.bytes),
        };
        params.finish(&["events", "bytes"])?;
        if !url.authority().is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                format!("a memory log has a name and no host: write memory:{}", url.authority()),
            ));
        }
        let name = url.decoded_path()?;
        Self::named(if name.is_empty() { "default" } else { &name }, bounds)
    }

    fn tag(&self) -> TopicTag {
        TopicTag::of(KIND, &self.0.name)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}:{}", self.0.name)
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryLog({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source as _;

    #[test]
    fn the_oldest_go_first() {
        let log = MemoryLog::with_bounds("m", MemoryBounds { events: 3, bytes: 1000 });
        for n in 0..5 {
            log.publish(Message::new("m", format!("{n}")));
        }
        let range = || {
            let kept = log.kept();
            kept.first..kept.end()
        };
        assert_eq!(range(), 2..5);
        log.publish(Message::new("m", "x".repeat(2000)));
        assert_eq!(range(), 5..6, "the newest is kept whatever its size");
    }

    #[test]
    fn a_log_is_shared_with_itself_alone() {
        let key = |log: &MemoryLog| log.source().share_key().unwrap();
        let log = MemoryLog::new("m");
        assert_eq!(key(&log), key(&log.clone()));
        assert_ne!(key(&log), key(&MemoryLog::new("m")));
    }

    #[test]
    fn one_name_is_one_log() {
        let bounds = MemoryBounds::default();
        let log = MemoryLog::named("one-name", bounds).unwrap();
        log.publish(Message::new("", "x"));
        assert_eq!(MemoryLog::named("one-name", bounds).unwrap().kept().end(), 1);
        let other = MemoryLog::named("one-name", MemoryBounds { events: 1, bytes: 1 }).unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Config);
    }

    #[test]
    fn urls_are_checked() {
        for (url, what) in [
            ("memory://demo", "memory:demo"),
            ("memory:demo?events=many", "events=\"many\""),
            ("memory:demo?size=3", "events, bytes"),
        ] {
            let error = crate::plugin::open_source(url).unwrap_err().to_string();
            assert!(error.contains(what), "{url}: {error}");
        }
    }
}
