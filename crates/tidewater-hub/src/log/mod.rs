//! The bounded log of a channel: batches in this node's order. Pure; the clock comes in.

pub(crate) mod frame;
pub(crate) mod latest;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidewater_core::{Cursor, EpochTag, Gap, Position, TopicCursor, TopicTag};
use tokio::time::Instant;

use crate::log::{
    frame::{Batch, Kind},
    latest::Latest,
};

/// Batches below this many bytes are put together once there are [`COALESCE_RUN`] of them in a row, so that a
/// client that is far behind takes few large slices. Each byte is copied at most once for it.
const COALESCE_BYTES: usize = 4 << 10;
const COALESCE_RUN: usize = if cfg!(test) { 4 } else { 32 };
/// The number of the first entry. Those below are for what is put in front.
pub(crate) const FIRST: u64 = 1 << 32;

/// How much a channel keeps in memory for clients that come back or fall behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// The most events.
    pub events: usize,
    /// The most bytes: of wire text, of what it is compressed to for clients that want that, and of book-keeping.
    pub bytes: usize,
    /// How long an event stays at most.
    pub age: Duration,
}

impl Default for LogBounds {
    /// 65,536 events, 64 MiB, 10 minutes.
    fn default() -> Self {
        Self { events: 65_536, bytes: 64 << 20, age: Duration::from_secs(600) }
    }
}

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    bounds: LogBounds,
    batches: VecDeque<Arc<Batch>>,
    head: Arc<Cursor>,
    next: u64,
    bytes: usize,
    events: usize,
    /// Batches at the end that may still be put together.
    small: usize,
    /// Where topics were made anew, as far as the log goes back.
    epochs: VecDeque<Begin>,
    /// Gaps of unknown extent that the log has let go, the last one of each topic: they move no cursor.
    lost: BTreeMap<TopicTag, Lost>,
    /// Only where clients can be told the newest of each key.
    latest: Option<Box<Latest>>,
    /// Bytes of what batches have become in encodings that clients want.
    packed: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Lost {
    seq: u64,
    gap: Arc<Gap>,
    /// Where the topic was then.
    at: Option<TopicCursor>,
}

/// A place where a topic was made anew.
#[derive(Debug)]
struct Begin {
    seq: u64,
    start: TopicCursor,
    /// The incarnation that was there before.
    after: EpochTag,
}

impl Log {
    /// An empty log that starts at a cursor.
    pub(crate) fn new(bounds: LogBounds, start: Cursor) -> Self {
        Self {
            bounds,
            batches: VecDeque::new(),
            head: Arc::new(start),
            next: FIRST,
            bytes: 0,
            events: 0,
            small: 0,
            epochs: VecDeque::new(),
            lost: BTreeMap::new(),
            latest: None,
            packed: Arc::default(),
        }
    }

    /// The same, of which the newest message of each key is known and kept.
    pub(crate) fn conflating(mut self) -> Self {
        self.latest = Some(Box::new(Latest::new(self.bounds)));
        self
    }

    /// The number of the first entry that is kept.
    pub(crate) fn tail(&self) -> u64 {
        self.batches.front().map_or(self.next, |batch| batch.first)
    }

    /// The cursor before the first entry that is kept.
    pub(crate) fn tail_cursor(&self) -> &Arc<Cursor> {
        self.batches.front().map_or(&self.head, |batch| &batch.start)
    }

    /// The number that the next entry will have.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The cursor after the last entry, and after any progress since.
    pub(crate) fn head(&self) -> &Arc<Cursor> {
        &self.head
    }

    /// Events kept.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Bytes kept, with those that are compressed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.packed.load(Ordering::Relaxed)
    }

    /// What counts the bytes that are compressed.
    pub(crate) fn packed(&self) -> &Arc<AtomicUsize> {
        &self.packed
    }

    /// The newest message of each key, if it is known.
    pub(crate) fn latest(&self) -> Option<&Latest> {
        self.latest.as_deref()
    }

    pub(crate) fn batches(&self) -> &VecDeque<Arc<Batch>> {
        &self.batches
    }

    /// Appends a batch; its numbers are set here.
    pub(crate) fn append(&mut self, mut batch: Batch) -> Arc<Batch> {
        batch.first = self.next;
        self.next = batch.next();
        self.head = batch.end.clone();
        self.bytes += batch.size();
        self.events += batch.frames.len();
        for (frame, seq) in batch.frames.iter().zip(batch.first..) {
            if let Kind::Epoch(anew) = &frame.kind {
                self.epochs.push_back(Begin { seq, start: anew.new.cursor(), after: anew.after });
            }
        }
        if let Some(latest) = &mut self.latest {
            latest.appended(&batch);
        }
        let now = batch.at;
        let batch = Arc::new(batch);
        self.batches.push_back(batch.clone());
        self.coalesce();
        self.evict(now);
        batch
    }

    /// Puts batches in front that end where the log began. Answers whether it could: not once something was evicted, or
    /// put in front already.
    pub(crate) fn prepend(&mut self, batches: impl DoubleEndedIterator<Item = Batch>) -> bool {
        if self.tail() != FIRST {
            return false;
        }
        for mut batch in batches.rev() {
            batch.first = self.tail() - batch.frames.len() as u64;
            self.bytes += batch.size();
            self.events += batch.frames.len();
            if let Some(latest) = &mut self.latest {
                latest.preceded(&batch);
            }
            self.batches.push_front(Arc::new(batch));
        }
        true
    }

    /// Moves the head without an entry.
    pub(crate) fn progress(&mut self, head: Cursor) {
        self.head = Arc::new(head);
        // What comes next starts at another cursor than the last batch ends at.
        self.small = 0;
    }

    /// Removes what is past the bounds. The newest batch stays, whatever its size, until it is too old.
    pub(crate) fn evict(&mut self, now: Instant) {
        while let Some(oldest) = self.batches.front() {
            let full = self.batches.len() > 1
                && (self.events > self.bounds.events || self.bytes() > self.bounds.bytes);
            if !full && now.duration_since(oldest.at) <= self.bounds.age {
                break;
            }
            self.bytes -= oldest.size();
            self.events -= oldest.frames.len();
            if let Some(latest) = &mut self.latest {
                latest.evicted(oldest);
            }
            for (index, frame) in oldest.frames.iter().enumerate() {
                if let Kind::Gap(gap, _) = &frame.kind
                    && gap.missing.is_none()
                {
                    let at = oldest.cursor_at(index).topic(gap.tag).cloned();
                    let lost = Lost { seq: oldest.first + index as u64, gap: gap.clone(), at };
                    self.lost.insert(gap.tag, lost);
                }
            }
            self.batches.pop_front();
            self.small = self.small.min(self.batches.len());
        }
        if let Some(latest) = &mut self.latest {
            latest.expire(now);
        }
        let tail = self.tail();
        while self.epochs.front().is_some_and(|begin| begin.seq < tail) {
            self.epochs.pop_front();
        }
    }

    /// The batch that holds an entry, if it is kept.
    pub(crate) fn find(&self, seq: u64) -> Option<&Arc<Batch>> {
        if seq < self.tail() || seq >= self.next {
            return None;
        }
        // Nearly everybody wants the newest.
        if let Some(newest) = self.batches.back().filter(|newest| newest.first <= seq) {
            return Some(newest);
        }
        let after = self.batches.partition_point(|batch| batch.first <= seq);
        self.batches.get(after.checked_sub(1)?)
    }

    /// The first entry that was appended at this time or later, and the cursor before it; the tail for a time before
    /// time itself. Batches that were put together are as old as the oldest.
    pub(crate) fn since(&self, time: Option<Instant>) -> (u64, &Arc<Cursor>) {
        let first = self.batches.partition_point(|batch| time.is_some_and(|time| batch.at < time));
        self.batches.get(first).map_or((self.next, &self.head), |batch| (batch.first, &batch.start))
    }

    /// What was lost from an entry on, and of which the log knows no more than that. A client that has everything before
    /// the entry misses it.
    pub(crate) fn lost_since(&self, seq: u64) -> impl Iterator<Item = &Gap> {
        self.lost.values().filter(move |lost| lost.seq >= seq).map(|lost| &*lost.gap)
    }

    /// The same just where a client is: it may have been told, or not.
    pub(crate) fn lost_at<'a>(&'a self, cursor: &'a Cursor) -> impl Iterator<Item = &'a Gap> {
        let here = |lost: &&Lost| lost.at.as_ref().is_some_and(|at| cursor.topic(at.tag) == Some(at));
        self.lost.values().filter(here).map(|lost| &*lost.gap)
    }

    /// Whether `epoch` of a topic begins inside the log.
    pub(crate) fn begins(&self, tag: TopicTag, epoch: EpochTag) -> bool {
        self.begin_of(tag, epoch).is_some()
    }

    /// Where `epoch` of a topic begins inside the log.
    pub(crate) fn begin_of(&self, tag: TopicTag, epoch: EpochTag) -> Option<&TopicCursor> {
        self.epochs.iter().map(|begin| &begin.start).find(|start| (start.tag, start.epoch) == (tag, epoch))
    }

    /// Whether a client that reads on from `next` can't be told where it belongs: a topic is made anew there, and that
    /// neither follows the client's incarnation nor does the client's begin in the log. Only the broker knows which of
    /// the two is over.
    pub(crate) fn strands(&self, next: u64, cursor: &Cursor) -> bool {
        let ahead = || self.epochs.iter().filter(|begin| begin.seq >= next);
        ahead().any(|begin| {
            cursor.topic(begin.start.tag).is_some_and(|own| {
                let follows = |one: &Begin| one.start.tag == own.tag && one.after == own.epoch;
                !self.begins(own.tag, own.epoch) && !ahead().any(follows)
            })
        })
    }

    /// Whether one incarnation of a topic begins before another, both inside the log.
    pub(crate) fn begins_before(&self, one: &TopicCursor, other: &TopicCursor) -> bool {
        let at = |topic: &TopicCursor| {
            self.epochs
                .iter()
                .position(|begin| (begin.start.tag, begin.start.epoch) == (topic.tag, topic.epoch))
        };
        at(one) < at(other)
    }

    /// Where a client that has fallen behind goes on: where the log begins, but for topics of which the client is in an
    /// incarnation that begins later. `None` if it is in one that the log hasn't got: only the broker knows whether
    /// that is over, or is yet to come here.
    pub(crate) fn skip_to(&self, from: &Cursor) -> Option<Cursor> {
        let start = self.tail_cursor().topics().iter().map(|tail| match from.topic(tail.tag) {
            Some(own) if own.epoch != tail.epoch => self.begins(own.tag, own.epoch).then(|| own.clone()),
            _ => Some(tail.clone()),
        });
        start.collect()
    }

    /// The number of the entry that comes after this id without an order: the id of an entry, or one that was reached
    /// without an entry.
    pub(crate) fn after_opaque(&self, tag: TopicTag, id: &[u8]) -> Option<u64> {
        self.batches.iter().rev().find_map(|batch| {
            let index = batch.frames.iter().rposition(|frame| match &frame.kind {
                Kind::Message(at, _) | Kind::Skip(at) => {
                    at.tag == tag && matches!(&at.position, Position::Opaque(own) if own.as_bytes() == id)
                }
                _ => false,
            });
            match index {
                Some(index) => Some(batch.first + index as u64 + 1),
                None => batch.start.topic(tag).is_some_and(|topic| topic.is_after(id)).then_some(batch.first),
            }
        })
    }

    fn coalesce(&mut self) {
        let is_small = self.batches.back().is_some_and(|batch| batch.bytes.len() < COALESCE_BYTES);
        self.small = if is_small { self.small + 1 } else { 0 };
        if self.small < COALESCE_RUN {
            return;
        }
        self.small = 0;
        let from = self.batches.len() - COALESCE_RUN;
        let run: Vec<_> = self.batches.drain(from..).collect();
        if let Some(merged) = Batch::merged(&run) {
            self.batches.push_back(Arc::new(merged));
        }
    }
}
