//! A broker in this process whose partitions every node sees in an order of its own, and a client that keeps books.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, missing_docs, unreachable_pub)]

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tidewater_core::{
    Bounds, Capabilities, Cursor, Delivery, Epoch, Error, ErrorKind, Gap, GapReason, Message, NewEpoch, Next,
    Position, Result, ShareKey, Source, Start, Subscribed, Subscription, TopicBounds, TopicCursor, TopicTag,
    sse::{Decoder, Event},
};
use tidewater_hub::{Channel, ChannelBuilder, EventStream, Hub, LogBounds, Resume, Select};
use tokio::sync::watch;

pub const KIND: &str = "test";
pub const TOPIC: &str = "t";

pub fn tag() -> TopicTag {
    TopicTag::of(KIND, TOPIC)
}

/// One topic. Message `n` of a partition has the payload `epoch/partition/offset`.
#[derive(Debug)]
pub struct Broker {
    log: Mutex<Topic>,
    changed: watch::Sender<u64>,
    away: AtomicBool,
    /// How often open streams were cut.
    cuts: AtomicUsize,
    /// Partitions of which open streams get nothing more, and the subscription from which on they do again.
    stalled: Mutex<(Vec<usize>, usize)>,
    /// Whether the next stream that is polled panics.
    panics: AtomicBool,
    /// Subscriptions so far.
    pub subscriptions: AtomicUsize,
    /// Subscriptions that are open.
    pub readers: AtomicUsize,
    /// How often it was asked for its bounds.
    pub asked: AtomicUsize,
    /// How long each message takes, in milliseconds.
    pub delay: AtomicU64,
}

#[derive(Clone, Debug)]
struct Topic {
    incarnation: u64,
    partitions: Vec<Range<u64>>,
}

impl Broker {
    pub fn new(partitions: usize) -> Arc<Self> {
        let log = Mutex::new(Topic { incarnation: 1, partitions: vec![0..0; partitions] });
        Arc::new(Self {
            log,
            changed: watch::Sender::new(0),
            away: AtomicBool::new(false),
            cuts: AtomicUsize::new(0),
            stalled: Mutex::default(),
            panics: AtomicBool::new(false),
            subscriptions: AtomicUsize::new(0),
            readers: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            delay: AtomicU64::new(0),
        })
    }

    /// Whether nobody can reach it. Streams that are open wait until it is back, as those of Kafka's client do.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Ends every open stream with an error.
    pub fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Keeps open streams from these partitions, in silence; those of later subscriptions get them, or none ever does.
    pub fn stall(&self, partitions: impl IntoIterator<Item = usize>, for_ever: bool) {
        let until = if for_ever { usize::MAX } else { self.subscriptions.load(Ordering::Relaxed) };
        *self.stalled.lock().unwrap() = (partitions.into_iter().collect(), until);
    }

    /// Makes the stream that is open panic, once.
    pub fn break_down(&self) {
        self.panics.store(true, Ordering::Relaxed);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Forgets a partition's tail, as a broker does that had not written it down.
    pub fn lose_tail(&self, partition: usize, end: u64) {
        self.log.lock().unwrap().partitions[partition].end = end;
    }

    pub fn publish(&self, partition: usize) {
        self.log.lock().unwrap().partitions[partition].end += 1;
        self.changed.send_modify(|n| *n += 1);
    }

    /// So many more messages at once.
    pub fn grow(&self, partition: usize, messages: u64) {
        self.log.lock().unwrap().partitions[partition].end += messages;
        self.changed.send_modify(|n| *n += 1);
    }

    pub fn ranges(&self) -> Vec<Range<u64>> {
        self.log.lock().unwrap().partitions.clone()
    }

    pub fn truncate(&self, partition: usize, first: u64) {
        self.log.lock().unwrap().partitions[partition].start = first;
    }

    pub fn recreate(&self) {
        let mut log = self.log.lock().unwrap();
        log.incarnation += 1;
        log.partitions.fill(0..0);
        drop(log);
        self.changed.send_modify(|n| *n += 1);
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.log.lock().unwrap().incarnation.into())
    }

    /// A node's view, with an order of its own.
    pub fn source(self: &Arc<Self>, seed: u64) -> Arc<dyn Source> {
        self.view(seed, true, None)
    }

    /// The same; with equal accounts, sources are shared.
    pub fn shared_source(self: &Arc<Self>, account: &str) -> Arc<dyn Source> {
        self.view(1, true, Some(ShareKey::new(KIND, [account])))
    }

    fn view(self: &Arc<Self>, seed: u64, replay: bool, key: Option<ShareKey>) -> Arc<dyn Source> {
        let rng = Mutex::new(fastrand::Rng::with_seed(seed));
        Arc::new(View { broker: self.clone(), replay, key, rng })
    }

    /// A node's view of a broker that keeps nothing.
    pub fn live_source(self: &Arc<Self>) -> Arc<dyn Source> {
        self.view(1, false, None)
    }
}

struct View {
    broker: Arc<Broker>,
    replay: bool,
    key: Option<ShareKey>,
    rng: Mutex<fastrand::Rng>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("test:t")
    }
}

fn cursor(epoch: Epoch, next: Vec<u64>) -> Cursor {
    [TopicCursor { tag: tag(), epoch: epoch.tag(), next: Next::Offsets(next) }].into_iter().collect()
}

#[async_trait]
impl Source for View {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replay: self.replay, from_time: false, partitioned: true, mergeable: true }
    }

    async fn bounds(&self) -> Result<Bounds> {
        self.broker.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1)).await;
        if self.broker.away.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the broker is away"));
        }
        let (epoch, mut partitions) = (self.broker.epoch(), self.broker.ranges());
        if !self.replay {
            partitions.iter_mut().for_each(|range| range.start = range.end);
        }
        Ok(Bounds { topics: vec![TopicBounds { name: TOPIC.into(), tag: tag(), epoch, partitions }] })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let number = self.broker.subscriptions.fetch_add(1, Ordering::Relaxed);
        let (epoch, ranges) = (self.broker.epoch(), self.broker.ranges());
        let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(tag()));
        let next: Vec<u64> = (0..)
            .zip(&ranges)
            .map(|(partition, range)| match (wanted, subscription.start) {
                (Some(own), _) if own.epoch == epoch.tag() => {
                    own.offset(partition).clamp(range.start, range.end)
                }
                (Some(_), _) | (None, Start::Earliest) => range.start,
                (None, _) => range.end,
            })
            .collect();
        let start = cursor(epoch, next.clone());
        let rng = fastrand::Rng::with_seed(self.rng.lock().unwrap().u64(..));
        let changed = self.broker.changed.subscribe();
        let cuts = self.broker.cuts.load(Ordering::Relaxed);
        self.broker.readers.fetch_add(1, Ordering::Relaxed);
        let reader = Reader { broker: self.broker.clone(), number, cuts, epoch, next, rng, changed };
        let deliveries = stream::unfold(reader, async |mut reader| Some((reader.next().await, reader)));
        Ok(Subscribed { start, deliveries: deliveries.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        self.key.clone()
    }
}

struct Reader {
    broker: Arc<Broker>,
    number: usize,
    cuts: usize,
    epoch: Epoch,
    next: Vec<u64>,
    rng: fastrand::Rng,
    changed: watch::Receiver<u64>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.broker.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reader {
    async fn next(&mut self) -> Result<Delivery> {
        loop {
            // Some nodes are slower than others.
            for _ in 0..self.rng.usize(..4) {
                tokio::task::yield_now().await;
            }
            let delay = self.broker.delay.load(Ordering::Relaxed);
            if delay > 0 {
                tokio::time::sleep(Duration::from_millis(delay)).await;
            }
            self.changed.borrow_and_update();
            assert!(!self.broker.panics.swap(false, Ordering::Relaxed), "the source panics");
            if self.broker.cuts.load(Ordering::Relaxed) != self.cuts {
                return Err(Error::new(ErrorKind::Unavailable, "the stream was cut"));
            }
            if let Some(delivery) = self.take() {
                return Ok(delivery);
            }
            self.changed.changed().await.unwrap();
        }
    }

    fn take(&mut self) -> Option<Delivery> {
        if self.broker.away.load(Ordering::Relaxed) {
            return None;
        }
        let (epoch, ranges) = (self.broker.epoch(), self.broker.ranges());
        if epoch != self.epoch {
            self.epoch = epoch;
            self.next.fill(0);
            let start = self.next.clone();
            return Some(Delivery::Epoch(NewEpoch { topic: TOPIC.into(), tag: tag(), epoch, start }));
        }
        let (stalled, until) = self.broker.stalled.lock().unwrap().clone();
        let comes =
            |p: &usize| self.next[*p] < ranges[*p].end && !(self.number < until && stalled.contains(p));
        let ready: Vec<usize> = (0..ranges.len()).filter(comes).collect();
        let partition = *ready.get(self.rng.usize(..ready.len().max(1)))?;
        let next = &mut self.next[partition];
        if *next < ranges[partition].start {
            let missing = Some(*next..ranges[partition].start);
            *next = ranges[partition].start;
            let gap = Gap {
                topic: TOPIC.into(),
                tag: tag(),
                partition: partition as u32,
                missing,
                reason: GapReason::Retention,
            };
            return Some(Delivery::Gap(gap));
        }
        let payload = format!("{}/{partition}/{next}", epoch.0);
        let mut message = Message::new(TOPIC, payload).with_key(format!("k{}", *next % 3));
        message.tag = tag();
        message.partition = partition as u32;
        message.position = Position::Offset(*next);
        *next += 1;
        Some(Delivery::Message(message))
    }
}

/// A log that clients fall off soon.
pub const TINY: LogBounds = LogBounds { events: 10, bytes: 1 << 20, age: Duration::from_secs(600) };

/// A channel of a node's own.
pub fn channel(broker: &Arc<Broker>, with: impl FnOnce(ChannelBuilder) -> ChannelBuilder) -> Channel {
    with(Hub::new().channel("c").source(broker.source(1))).open().unwrap()
}

/// What a chunk holds.
pub fn events(chunk: &[u8]) -> Vec<Event> {
    let mut decoder = Decoder::new();
    decoder.feed(chunk);
    std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
}

/// What is on its way arrives.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// A browser that keeps books: what it got, what it was told is missing, and whether ids ever went down.
#[derive(Debug, Default)]
pub struct Books {
    pub last_id: Option<String>,
    /// Where it started, at its first block.
    pub start: Option<Cursor>,
    /// Per incarnation and partition: the offsets received or told missing, in their order.
    pub got: Vec<(u64, u32, u64)>,
    pub gaps: Vec<serde_json::Value>,
    pub cursors: usize,
    pub began: Option<Cursor>,
}

impl Books {
    pub async fn open(&self, channel: &Channel, select: Select) -> EventStream {
        channel.stream(Resume { last_event_id: self.last_id.clone(), ..Resume::default() }, select).await
    }

    /// Reads up to so many chunks, or until `done`.
    pub async fn read(
        &mut self,
        stream: &mut EventStream,
        chunks: usize,
        done: impl Fn(&Self) -> bool,
    ) -> bool {
        let mut decoder = Decoder::new();
        let mut before: Option<Cursor> = None;
        for _ in 0..chunks {
            if done(self) {
                return true;
            }
            let Some(chunk) = stream.next().await else { return false };
            decoder.feed(&chunk);
            while let Some(event) = decoder.next_event().unwrap() {
                self.take(&event, &mut before);
            }
            assert_eq!(decoder.buffered(), 0, "a chunk ends at an event boundary");
        }
        done(self)
    }

    fn take(&mut self, event: &Event, before: &mut Option<Cursor>) {
        let id: Cursor = event.last_event_id.parse().expect("an id that reads");
        if let (Some(before), Some(own)) = (&before, id.topic(tag())) {
            let old = before.topic(tag()).unwrap();
            let lower =
                old.epoch == own.epoch && (0..).zip(old.offsets()).any(|(p, next)| own.offset(p) < *next);
            assert!(!lower, "I6: an id went down within a stream: {before:?} -> {id:?}");
        }
        self.last_id = Some(event.last_event_id.to_string());
        match &*event.event_type {
            "tidewater.cursor" => {
                self.cursors += 1;
                self.start.get_or_insert_with(|| id.clone());
                self.began = Some(id.clone());
            }
            "tidewater.gap" => self.gaps.push(serde_json::from_str(&event.data).unwrap()),
            _ => {
                let mut parts = event.data.split('/').map(|part| part.parse::<u64>().unwrap());
                let (epoch, partition, offset) =
                    (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
                assert_eq!(
                    id.next_offset(tag(), partition as u32),
                    Some(offset + 1),
                    "I2: the id is the cursor after it"
                );
                let expected = self.of(epoch, partition as u32).last().map_or(offset, |last| last + 1);
                assert_eq!(
                    offset, expected,
                    "I1: partition {partition}, stream began at {:?}, before {before:?}",
                    self.began
                );
                self.got.push((epoch, partition as u32, offset));
            }
        }
        *before = Some(id);
    }

    /// The offsets received of a partition, in the order in which they came.
    pub fn of(&self, epoch: u64, partition: u32) -> Vec<u64> {
        self.got
            .iter()
            .filter(|(e, p, _)| (*e, *p) == (epoch, partition))
            .map(|(_, _, offset)| *offset)
            .collect()
    }

    /// I1: everything from the start to the broker's end, once each, in order.
    pub fn assert_exact(&self, broker: &Broker) {
        let start = self.start.as_ref().expect("a first block");
        for (partition, range) in (0..).zip(broker.ranges()) {
            let from = start.next_offset(tag(), partition).unwrap();
            let expected: Vec<u64> = (from..range.end).collect();
            let got = self.of(broker.epoch().0 as u64, partition);
            let at = got.iter().zip(&expected).take_while(|(got, expected)| got == expected).count();
            let (got, expected) = (&got[at..], &expected[at..]);
            let show = |offsets: &[u64]| format!("{:?}", &offsets[..offsets.len().min(8)]);
            assert_eq!(
                show(got),
                show(expected),
                "partition {partition}: {} and {}",
                got.len(),
                expected.len()
            );
        }
        assert!(self.gaps.is_empty(), "a gap where everything is still there: {:?}", self.gaps);
    }
}

/// Whether the id stands at the broker's end.
pub fn at_end(books: &Books, broker: &Broker) -> bool {
    let id: Option<Cursor> = books.last_id.as_ref().and_then(|id| id.parse().ok());
    id.is_some_and(|id| {
        let Some(topic) = id.topic(tag()) else { return false };
        topic.epoch == broker.epoch().tag()
            && (0..).zip(broker.ranges()).all(|(p, range)| topic.offset(p) >= range.end)
    })
}
