//! Readers of the past, shared by the clients of a channel (I5).
//!
//! A slot belongs to a reader, not to a client: a reader fills one bounded [`Segment`] and gives the slot back,
//! whoever waits for the segment and whether or not anybody still does. Segments are kept for a while, so clients
//! with neighbouring cursors read the same one; a client that stalls holds none (it has a [`Weak`] to it and asks
//! again), and can't hold up anybody.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use tidewater_core::{Cursor, Deliveries, Result, Retry, Subscription};
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    frame::Batch,
    render::{Press, Pressed},
    state::Shared,
    upstream::answered,
};

/// Readers at a time, in each channel.
const READERS: usize = 4;
/// What a segment holds at most, about.
const SEGMENT_BYTES: usize = 1 << 20;
const SEGMENT_EVENTS: usize = 8192;
/// How long a reader fills one segment at most.
const SEGMENT_TIME: Duration = Duration::from_secs(2);
/// Segments that are kept.
const KEPT: usize = 16;
/// A reader that gets nothing for so long ends its segment; the first delivery may take longer.
const IDLE: Duration = Duration::from_millis(300);
const FIRST_IDLE: Duration = Duration::from_secs(5);
/// How long a subscription is kept open for whoever wants the next segment.
const WARM: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LAST_BACKOFF: Duration = Duration::from_secs(5);

/// A piece of the past.
#[derive(Debug)]
pub(crate) struct Segment {
    /// What it was read after.
    wanted: Cursor,
    /// Where it really starts.
    pub(crate) start: Cursor,
    pub(crate) batches: Vec<Batch>,
    pub(crate) end: Cursor,
}

impl Segment {
    /// Whether it holds something for a client with this cursor, and nothing before it is missing.
    fn suits(&self, cursor: &Cursor) -> bool {
        cursor.dominates(&self.wanted)
            && self.wanted.topics().len() == cursor.topics().len()
            && !cursor.dominates(&self.end)
    }
}

/// The readers of a channel.
#[derive(Debug)]
pub(crate) struct Backfill {
    readers: Semaphore,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    segments: VecDeque<Arc<Segment>>,
    filling: Vec<(Cursor, watch::Receiver<()>)>,
    warm: Vec<(Instant, Reader)>,
}

impl Default for Backfill {
    fn default() -> Self {
        Self { readers: Semaphore::new(READERS), cache: Mutex::default() }
    }
}

/// Fetches the segment after a cursor. A reader that has begun goes on when the receiver is dropped, up to the end of
/// the segment; while it waits for its turn, or for a broker that can't be reached, it ends with the receiver, so that
/// clients that come and go leave no queue behind.
pub(crate) fn fetch(shared: &Arc<Shared>, cursor: Cursor) -> oneshot::Receiver<Result<Weak<Segment>>> {
    let (mut sender, receiver) = oneshot::channel();
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut backoff = FIRST_BACKOFF;
        let result = loop {
            let turn = tokio::select! {
                turn = shared.backfill.turn(&cursor) => turn,
                () = sender.closed() => return,
            };
            match shared.backfill.take(turn, &shared, &cursor).await {
                Err(error) if error.retry() == Retry::Later => {
                    tracing::debug!(channel = &*shared.name, "backfill waits for the broker: {error}");
                    tokio::select! {
                        () = sleep(backoff) => backoff = (backoff * 2).min(LAST_BACKOFF),
                        () = sender.closed() => return,
                    }
                }
                other => break other,
            }
        };
        // A client that is gone wants nothing more.
        drop(sender.send(result.map(|segment| Arc::downgrade(&segment))));
        sleep(WARM).await;
        shared.backfill.cool();
    });
    receiver
}

impl Backfill {
    /// The cursor before the first message written at this time or later.
    pub(crate) async fn at(&self, shared: &Shared, time: SystemTime) -> Result<Cursor> {
        let _reader = answered(async { Ok(self.readers.acquire().await) }).await?;
        Ok(answered(shared.source().subscribe(Subscription::at(time))).await?.start)
    }

    /// Waits until there is a segment for this cursor, or a reader's slot to fill one.
    async fn turn(&self, cursor: &Cursor) -> Turn<'_> {
        loop {
            let filling = match self.look(cursor) {
                Looked::Found(segment) => return Turn::Found(segment),
                Looked::Ours(filling) => filling,
                Looked::Others(mut other) => {
                    // An error only says that the one who fills it has ended.
                    drop(other.changed().await);
                    continue;
                }
            };
            // Never closed; without a permit it would only be one reader more.
            let reader = self.readers.acquire().await.ok();
            return Turn::Ours(filling, reader);
        }
    }

    async fn take(&self, turn: Turn<'_>, shared: &Shared, cursor: &Cursor) -> Result<Arc<Segment>> {
        let (_filling, _reader) = match turn {
            Turn::Found(segment) => return Ok(segment),
            Turn::Ours(filling, reader) => (filling, reader),
        };
        let mut reader = match self.take_warm(cursor) {
            Some(reader) => reader,
            None => Reader::open(shared, cursor).await?,
        };
        let (segment, goes_on) = reader.fill(shared, cursor).await?;
        let segment = Arc::new(segment);
        let mut cache = self.cache();
        if cache.segments.len() >= KEPT {
            cache.segments.pop_front();
        }
        cache.segments.push_back(segment.clone());
        if goes_on && cache.warm.len() < READERS {
            cache.warm.push((Instant::now(), reader));
        }
        Ok(segment)
    }

    /// A segment that is there; or somebody who fills one that may do; or the right to fill it.
    fn look(&self, cursor: &Cursor) -> Looked<'_> {
        let mut cache = self.cache();
        if let Some(found) = cache.segments.iter().find(|segment| segment.suits(cursor)) {
            return Looked::Found(found.clone());
        }
        let similar = |own: &Cursor| cursor.dominates(own) && own.topics().len() == cursor.topics().len();
        if let Some((_, other)) = cache.filling.iter().find(|(own, _)| similar(own)) {
            return Looked::Others(other.clone());
        }
        let (sender, receiver) = watch::channel(());
        cache.filling.push((cursor.clone(), receiver));
        Looked::Ours(Filling { backfill: self, cursor: cursor.clone(), _ended: sender })
    }

    fn take_warm(&self, cursor: &Cursor) -> Option<Reader> {
        let mut cache = self.cache();
        let index = cache.warm.iter().position(|(_, reader)| reader.press.cursor() == cursor)?;
        Some(cache.warm.swap_remove(index).1)
    }

    /// Ends subscriptions that nobody has gone on with.
    fn cool(&self) {
        self.cache().warm.retain(|(since, _)| since.elapsed() < WARM);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Looked<'a> {
    Found(Arc<Segment>),
    Others(watch::Receiver<()>),
    Ours(Filling<'a>),
}

/// What a client's turn brings.
enum Turn<'a> {
    Found(Arc<Segment>),
    Ours(Filling<'a>, Option<SemaphorePermit<'a>>),
}

/// The right to fill a segment; whoever waits for it looks again when it is dropped.
struct Filling<'a> {
    backfill: &'a Backfill,
    cursor: Cursor,
    _ended: watch::Sender<()>,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        let mut cache = self.backfill.cache();
        if let Some(index) = cache.filling.iter().position(|(own, _)| *own == self.cursor) {
            cache.filling.swap_remove(index);
        }
    }
}

/// A subscription in the past.
struct Reader {
    start: Cursor,
    press: Press,
    deliveries: Deliveries,
}

impl Reader {
    async fn open(shared: &Shared, cursor: &Cursor) -> Result<Self> {
        let subscription = Subscription { start: shared.settings.start, after: Some(cursor.clone()) };
        let subscribed = shared.source().subscribe(subscription).await?;
        let start = subscribed.start;
        Ok(Self { press: Press::new(start.clone()), start, deliveries: subscribed.deliveries })
    }

    /// Reads up to the live edge or a segment's bounds, and tells whether the subscription is good for more.
    async fn fill(&mut self, shared: &Shared, wanted: &Cursor) -> Result<(Segment, bool)> {
        let until = shared.lock().log.as_ref().map(|log| (**log.head()).clone()).unwrap_or_default();
        let began = Instant::now();
        let start = std::mem::take(&mut self.start);
        let (mut batches, mut bytes, mut events) = (Vec::new(), 0, 0);
        let mut good = true;
        while bytes < SEGMENT_BYTES && events < SEGMENT_EVENTS && began.elapsed() < SEGMENT_TIME {
            if self.press.cursor().dominates(&until) {
                break;
            }
            let patience = if events == 0 { FIRST_IDLE } else { IDLE };
            let delivery = match timeout(patience, self.deliveries.next()).await {
                Err(_) => break,
                Ok(Some(Ok(delivery))) => delivery,
                Ok(Some(Err(error))) if batches.is_empty() => return Err(error),
                Ok(_) => {
                    good = false;
                    break;
                }
            };
            self.press.add(&delivery, &shared.render, SEGMENT_BYTES / 16);
            for pressed in self.press.take_full() {
                if let Pressed::Batch(batch) = pressed {
                    bytes += batch.bytes.len();
                    batches.push(batch);
                }
            }
            events += 1;
        }
        batches.extend(self.press.take().into_iter().filter_map(|pressed| match pressed {
            Pressed::Batch(batch) => Some(batch),
            Pressed::Progress(_) => None,
        }));
        let end = self.press.cursor().clone();
        self.start = end.clone();
        Ok((Segment { wanted: wanted.clone(), start, batches, end }, good))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("at", self.press.cursor()).finish_non_exhaustive()
    }
}
