//! How a stream begins: what has to be asked for, the plan, and the first block.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tidewater_core::{Bounds, Cursor, Error, ErrorKind, Result, Start, TopicCursor};
use tokio::time::timeout;

use crate::{
    ask::ASK,
    backfill,
    log::Log,
    resume::{
        Known, Plan, Resume,
        limit::{self, Limit},
    },
    settings::AllowedReplay,
    state::{Shared, State},
    wire,
};

/// What is known of a client's start before the log is looked at.
pub(crate) enum Begun {
    Latest,
    Unreadable,
    /// Onwards from a cursor. With the broker's bounds where they had to be asked for, and its limit if it has one.
    At {
        cursor: Cursor,
        bounds: Option<Arc<Bounds>>,
        limit: Option<Arc<Cursor>>,
    },
}

/// How a client begins that has nothing and wants what comes from now on, if the channel has a position.
pub(crate) fn begin_now(shared: &Shared, resume: &Resume) -> Option<Begun> {
    let latest = resume.start.unwrap_or(shared.settings.start) == Start::Latest
        || !shared.source().capabilities().replay;
    (latest && resume.last_event_id.is_none() && *shared.positioned.borrow()).then_some(Begun::Latest)
}

/// Finds out what has to be asked for: the channel's position, the broker's bounds, a time's position.
pub(crate) async fn begin(shared: &Shared, resume: &Resume) -> Result<Begun> {
    let mut positioned = shared.positioned.subscribe();
    if !matches!(timeout(ASK, positioned.wait_for(|positioned| *positioned)).await, Ok(Ok(_))) {
        return Err(Error::new(ErrorKind::Unavailable, "the source has not been reached yet"));
    }
    let start = resume.start.unwrap_or(shared.settings.start);
    let cursor = match &resume.last_event_id {
        Some(id) => match id.parse::<Cursor>() {
            Ok(cursor) => with_start(shared, cursor, start).await?,
            Err(_) => return Ok(Begun::Unreadable),
        },
        None => match start {
            _ if !shared.source().capabilities().replay => return Ok(Begun::Latest),
            Start::Latest => return Ok(Begun::Latest),
            Start::Earliest => earliest(shared).await?,
            Start::Time(time) => backfill::at(shared, time).await?,
        },
    };
    warmed(shared, &cursor).await;
    let (decided, at_head) = {
        let state = shared.lock();
        let log = state.log.as_ref();
        let decided = log.is_none_or(|log| known(shared, &state, log, None, None).plan(&cursor).is_ok());
        (decided, log.is_some_and(|log| **log.head() == cursor))
    };
    let bounds = if decided { None } else { Some(shared.origin.bounds().await?) };
    // Who misses nothing goes nowhere back.
    let said = if at_head { Ok(None) } else { limit::said(shared).await };
    let limit = match said {
        Ok(limit) => limit,
        // An outage keeps nobody from what is in memory.
        Err(_) if is_in_log(shared, &cursor) => None,
        Err(error) => return Err(error),
    };
    Ok(Begun::At { cursor, bounds, limit })
}

/// Whoever comes while the past is read into the log waits for it, unless the log goes back far enough already.
async fn warmed(shared: &Shared, cursor: &Cursor) {
    let mut warm = shared.warm.subscribe();
    let in_log = || {
        let state = shared.lock();
        state.log.as_ref().is_some_and(|log| known(shared, &state, log, None, None).find(cursor).is_some())
    };
    // Nothing is held of it while the log is looked at: it changes under the log's lock.
    let warming = !*warm.borrow();
    if warming && !in_log() {
        // However it ends, the client goes on.
        drop(timeout(ASK, warm.wait_for(|warm| *warm)).await);
    }
}

/// Whether everything that a client with this cursor misses is in the log, and young enough.
pub(crate) fn is_in_log(shared: &Shared, cursor: &Cursor) -> bool {
    let state = shared.lock();
    state.log.as_ref().is_some_and(|log| {
        let known = known(shared, &state, log, None, None);
        known.find(cursor).is_some() && known.limited(cursor) == *cursor
    })
}

/// An id's topics, and those that it hasn't got at the channel's start.
async fn with_start(shared: &Shared, mut cursor: Cursor, start: Start) -> Result<Cursor> {
    let complete = {
        let state = shared.lock();
        state
            .log
            .as_ref()
            .is_none_or(|log| log.head().topics().iter().all(|topic| cursor.topic(topic.tag).is_some()))
    };
    if complete || !shared.source().capabilities().replay {
        return Ok(cursor);
    }
    let start = match start {
        Start::Latest => return Ok(cursor),
        Start::Earliest => earliest(shared).await?,
        Start::Time(time) => backfill::at(shared, time).await?,
    };
    let missing: Vec<TopicCursor> =
        start.topics().iter().filter(|topic| cursor.topic(topic.tag).is_none()).cloned().collect();
    for topic in missing {
        cursor.set(topic);
    }
    Ok(cursor)
}

/// The first position of each topic at the broker; where positions are no numbers, of what this node has.
async fn earliest(shared: &Shared) -> Result<Cursor> {
    let first = shared.origin.bounds().await?.first();
    let state = shared.lock();
    let Some(log) = &state.log else { return Ok(first) };
    let own = |topic: &TopicCursor| {
        log.tail_cursor().topic(topic.tag).filter(|own| own.is_elsewhere(topic)).cloned()
    };
    Ok(first.topics().iter().map(|topic| own(topic).unwrap_or_else(|| topic.clone())).collect())
}

/// Where it starts, now that the log is held.
pub(crate) fn plan(shared: &Shared, state: &State, begun: &Begun) -> Option<Plan> {
    let log = state.log.as_ref()?;
    match begun {
        Begun::Latest => Some(known(shared, state, log, None, None).plan_latest()),
        Begun::Unreadable => Some(known(shared, state, log, None, None).plan_unreadable()),
        // What had not to be asked for a moment ago may have to be now: the client comes back at once.
        Begun::At { cursor, bounds, limit } => {
            known(shared, state, log, bounds.as_deref(), limit.as_ref()).plan(cursor).ok()
        }
    }
}

/// What is known now, and what decides where a client starts.
pub(crate) fn known<'a>(
    shared: &Shared,
    state: &'a State,
    log: &'a Log,
    bounds: Option<&'a Bounds>,
    said: Option<&Arc<Cursor>>,
) -> Known<'a> {
    let can = shared.source().capabilities();
    Known {
        log,
        topics: &state.topics,
        bounds,
        replay: can.replay,
        behind_log: match shared.settings.replay {
            AllowedReplay::Everything => true,
            AllowedReplay::Log => false,
            AllowedReplay::Age(_) => can.from_time,
        },
        limit: Limit::of(shared.settings.replay, log, said),
    }
}

/// `retry:`, what has to be told first, and the effective start (I6). A client that is cut off in the middle of it
/// has either been told, or comes back with the id that it had.
pub(crate) fn first_block(retry: Duration, plan: &Plan) -> Bytes {
    let mut out = BytesMut::new();
    wire::retry_line(&mut out, retry);
    for (told, cursor) in &plan.gaps {
        wire::gap(&mut out, told, cursor);
    }
    wire::cursor(&mut out, &plan.cursor);
    out.freeze()
}
