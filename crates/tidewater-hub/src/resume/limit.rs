//! How far back clients may go, where that is a time (I3).
//!
//! The source says which position a time is; where it can't, the times at which this node got its messages decide. The answer is shared: clients that come back together ask once a second, not each for itself.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tidewater_core::{Cursor, Error, ErrorKind, Result};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use crate::{backfill, log::Log, settings::AllowedReplay, state::Shared};

/// How long an answer is good: by so much clients may go back further than they should.
const FRESH: Duration = Duration::from_secs(1);

/// The limit of a channel, as it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Limits(AsyncMutex<Last>);

#[derive(Debug, Default)]
struct Last {
    /// What the source has said. It never goes back.
    said: Cursor,
    /// What it answered last, and when it was asked; nothing if it didn't.
    given: Option<(Instant, Option<Arc<Cursor>>)>,
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
    let answer = |given: &Option<Arc<Cursor>>| match given {
        Some(given) => Ok(Some(given.clone())),
        None => {
            Err(Error::new(ErrorKind::Unavailable, "the source does not say how far back clients may go"))
        }
    };
    let mut last = shared.limits.0.lock().await;
    if let Some((since, given)) = &last.given
        && since.elapsed() < FRESH
    {
        return answer(given);
    }
    let asked = Instant::now();
    let time = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH);
    let given = match backfill::at(shared, time).await {
        Ok(said) => {
            last.said.merge(&said);
            Some(Arc::new(last.said.clone()))
        }
        Err(error) => {
            tracing::debug!(channel = &*shared.name, "how far back clients may go is not known: {error}");
            None
        }
    };
    let result = answer(&given);
    last.given = Some((asked, given));
    result
}
