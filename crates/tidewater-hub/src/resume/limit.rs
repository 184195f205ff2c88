//! How far back clients may go, where that is a time (I3).
//!
//! The source says which position a time is; where it can't, the times at which this node got its messages decide. The answer
//! is shared: clients that come back together ask once a second, not each for itself.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tidewater_core::{Cursor, Result, TopicCursor};
use tokio::time::Instant;

use crate::{ask::Question, backfill, log::Log, settings::AllowedReplay, state::Shared};

/// How long an answer is good: by so much clients may go back further than they should.
const FRESH: Duration = Duration::from_secs(1);

/// The limit of a channel, as the source says it.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    question: Question<Arc<Cursor>>,
    /// It never goes back, but with the source itself: since which start of the upstream, by its number.
    said: Mutex<(u64, Cursor)>,
}

impl Limits {
    fn lock(&self) -> MutexGuard<'_, (u64, Cursor)> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What bounds a client that comes.
#[derive(Debug)]
pub(crate) struct Limit {
    /// The positions before which nobody gets anything.
    pub(crate) cursor: Arc<Cursor>,
    /// The same by the log's own times: for incarnations that the source no longer has, and ids without an order.
    pub(crate) log: Arc<Cursor>,
    /// The entry of the log that this is before.
    pub(crate) seq: u64,
}

impl Limit {
    /// The limit now, from what the source said, if it was to be asked.
    pub(crate) fn of(replay: AllowedReplay, log: &Log, said: Option<&Arc<Cursor>>) -> Option<Self> {
        let AllowedReplay::Age(age) = replay else { return None };
        let (seq, own) = log.since(Instant::now().checked_sub(age));
        Some(Self { cursor: said.unwrap_or(own).clone(), log: own.clone(), seq })
    }
}

/// The limit by the source's times. `None` where there is none, or where the log's own times are all there is.
///
/// # Errors
/// Where the source doesn't answer. What is within the limit by the log's own times can be had all the same.
///
/// # Cancel safety
/// Safe: the next one asks again.
pub(crate) async fn said(shared: &Shared) -> Result<Option<Arc<Cursor>>> {
    let AllowedReplay::Age(age) = shared.settings.replay else { return Ok(None) };
    let can = shared.source().capabilities();
    if !can.replay || !can.from_time {
        return Ok(None);
    }
    let fresh = if is_current(shared) { FRESH } else { Duration::ZERO };
    shared.limits.question.ask(fresh, ask(shared, age)).await.map(Some)
}

/// Whether what was said last is of this start of the upstream, and of the incarnations that this node is in.
fn is_current(shared: &Shared) -> bool {
    let head = shared.lock().log.as_ref().map(|log| log.head().clone()).unwrap_or_default();
    let (start, said) = &*shared.limits.lock();
    let same = |own: &TopicCursor| said.topic(own.tag).is_none_or(|said| said.epoch == own.epoch);
    *start == shared.backfill.starts() && head.topics().iter().all(same)
}

async fn ask(shared: &Shared, age: Duration) -> Result<Arc<Cursor>> {
    let start = shared.backfill.starts();
    let time = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH);
    let now = backfill::limit(shared, time).await?;
    let mut said = shared.limits.lock();
    if said.0 != start {
        *said = (start, Cursor::default());
    }
    said.1.merge(&now);
    Ok(Arc::new(said.1.clone()))
}
