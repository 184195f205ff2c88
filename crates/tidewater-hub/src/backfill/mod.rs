//! Readers of the past, shared by the clients of a source (I5).
//!
//! ```text
//! client ─> fetch ─> a segment that is there
//!                └─> queue ─> a reader's turn ─> segment ─> those who wait for it
//! ```
//!
//! A slot belongs to a reader, not to a client: a reader fills one bounded [`Segment`] and gives the slot back,
//! whoever waits for the segment and whether or not anybody still does. Segments are kept for a while, so clients
//! with neighbouring cursors read the same one; a client that stalls holds none (it has a [`Weak`] to it and asks
//! again), and can't hold up anybody.
//!
//! | file | holds |
//! |---|---|
//! | `queue` | who reads next: pure |
//! | `readers` | the readers of a source, and subscriptions that are kept open for a moment |
//! | `segment` | a piece of the past, and how it is read |
//! | `prewarm` | the past that a channel starts with |

pub(crate) mod prewarm;
mod queue;
mod readers;
mod segment;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tidewater_core::{Cursor, Result, Retry, Subscription};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tracing::{Instrument as _, debug_span, field::Empty};

use crate::{ask::answered, spans, state::Shared};
use queue::{Ask, NEAR, distance};
use readers::{Permit, Turn, WARM};
use segment::Reader;

pub(crate) use readers::{READERS, Readers};
pub(crate) use segment::Segment;

/// Segments that are kept, and for how long.
const KEPT_FOR: Duration = Duration::from_secs(30);
const KEPT: usize = if cfg!(test) { 2 } else { 16 };
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LAST_BACKOFF: Duration = Duration::from_secs(5);

/// The pieces of the past that a channel has at hand.
#[derive(Debug, Default)]
pub(crate) struct Backfill(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    segments: VecDeque<(Instant, Arc<Segment>)>,
    /// How often the upstream has begun anew.
    starts: u64,
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
            let found = tokio::select! {
                biased;
                found = look(&shared, &cursor) => found,
                () = sender.closed() => return,
            };
            let filled = match found {
                Found::Segment(segment) => break Ok(segment),
                Found::Turn(permit) => read(&shared, permit).await,
            };
            match filled {
                Err(error) if error.retry() == Retry::Later => {
                    tracing::debug!(channel = &*shared.name, "backfill waits for the broker: {error}");
                    tokio::select! {
                        biased;
                        () = sleep(backoff) => backoff = (backoff * 2).min(LAST_BACKOFF),
                        () = sender.closed() => return,
                    }
                }
                other => break other,
            }
        };
        // A client that is gone wants nothing more.
        drop(sender.send(result.map(|segment| Arc::downgrade(&segment))));
    });
    receiver
}

/// The cursor before the first message written at this time or later.
///
/// # Errors
/// [`Unavailable`](tidewater_core::ErrorKind::Unavailable) if neither a reader nor the source answers in time.
pub(crate) async fn at(shared: &Shared, time: SystemTime) -> Result<Cursor> {
    resolve(shared, time, NEAR).await
}

/// [`at`], for what everybody waits for: before what anybody wants for itself.
///
/// # Errors
/// As [`at`].
pub(crate) async fn limit(shared: &Shared, time: SystemTime) -> Result<Cursor> {
    resolve(shared, time, 0).await
}

async fn resolve(shared: &Shared, time: SystemTime, distance: u64) -> Result<Cursor> {
    let ask = Ask { channel: shared.name.clone(), wanted: None, distance, follows: false };
    let _permit = answered(async { Ok(shared.origin.readers.turn(ask).await) }).await?;
    Ok(answered(shared.source().subscribe(Subscription::at(time))).await?.start)
}

enum Found {
    Segment(Arc<Segment>),
    Turn(Box<Permit>),
}

/// Waits until there is a segment for this cursor, or a reader's turn to fill one.
async fn look(shared: &Shared, cursor: &Cursor) -> Found {
    let mut follows = true;
    loop {
        if let Some(segment) = shared.backfill.find(cursor) {
            return Found::Segment(segment);
        }
        let tail = shared.lock().log.as_ref().map(|log| log.tail_cursor().clone()).unwrap_or_default();
        let distance = distance(cursor, &tail);
        let ask = Ask { channel: shared.name.clone(), wanted: Some(cursor.clone()), distance, follows };
        match shared.origin.readers.turn(ask).await {
            Turn::Follow(mut ended) => {
                // An error only says that it has ended.
                drop(ended.changed().await);
                follows = false;
            }
            // Another reader may have come by in the meantime.
            Turn::Read(permit) => match shared.backfill.find(cursor) {
                Some(segment) => return Found::Segment(segment),
                None => return Found::Turn(permit),
            },
        }
    }
}

/// Fills a segment, in a span of its own: clients share what is read, so that it is part of no client's request.
async fn read(shared: &Arc<Shared>, permit: Box<Permit>) -> Result<Arc<Segment>> {
    let span = debug_span!(
        "backfill",
        otel.kind = "client",
        otel.status_code = Empty,
        "error.type" = Empty,
        tidewater.channel = &*shared.name,
        tidewater.source = %shared.source(),
        tidewater.bytes = Empty,
    );
    let filled = fill(shared, permit).instrument(span.clone()).await;
    if !span.is_disabled() {
        match &filled {
            Ok(segment) => {
                let bytes: usize = segment.batches.iter().map(|batch| batch.bytes.len()).sum();
                span.record("tidewater.bytes", spans::count(bytes));
            }
            Err(error) => spans::failed(&span, error),
        }
    }
    filled
}

async fn fill(shared: &Arc<Shared>, mut permit: Box<Permit>) -> Result<Arc<Segment>> {
    let wanted = permit.wanted.clone().unwrap_or_default();
    let starts = shared.backfill.starts();
    let mut reader = match permit.warm.take() {
        Some(reader) => reader,
        None => Reader::open(shared, &wanted).await?,
    };
    let (segment, goes_on) = reader.fill(shared, &wanted).await?;
    shared.counts.segments.fetch_add(1, Ordering::Relaxed);
    let segment = Arc::new(segment);
    // One that is not kept is gone at once, and whoever waits for it asks again.
    if shared.backfill.keep(&segment, starts) && goes_on {
        permit.keep(&shared.name, reader);
    }
    tokio::spawn(clean_up(Arc::downgrade(shared)));
    Ok(segment)
}

/// Ends what nobody has gone on with, and forgets what has been kept for long enough.
async fn clean_up(shared: Weak<Shared>) {
    sleep(WARM).await;
    if let Some(shared) = shared.upgrade() {
        shared.origin.readers.cool();
    }
    sleep(KEPT_FOR - WARM).await;
    if let Some(shared) = shared.upgrade() {
        shared.backfill.expire();
    }
}

impl Backfill {
    /// The upstream begins anew: what it has may be shorter than it was, and other messages may have the same positions.
    pub(crate) fn forget(&self) {
        let mut kept = self.lock();
        kept.starts += 1;
        kept.segments.clear();
    }

    /// How often the upstream has begun anew.
    pub(crate) fn starts(&self) -> u64 {
        self.lock().starts
    }

    fn find(&self, cursor: &Cursor) -> Option<Arc<Segment>> {
        let kept = self.lock();
        kept.segments.iter().map(|(_, segment)| segment).find(|segment| segment.suits(cursor)).cloned()
    }

    /// Keeps one that was begun after so many starts, unless there was another since. Answers whether it did.
    fn keep(&self, segment: &Arc<Segment>, starts: u64) -> bool {
        let mut kept = self.lock();
        if kept.starts != starts {
            return false;
        }
        if kept.segments.len() >= KEPT {
            kept.segments.pop_front();
        }
        kept.segments.push_back((Instant::now(), segment.clone()));
        true
    }

    fn expire(&self) {
        self.lock().segments.retain(|(since, _)| since.elapsed() < KEPT_FOR);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
