//! A client that is behind the log: it waits for a piece of the past, reads it, and joins the log where that reaches
//! back far enough (I5).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use tidewater_core::{Cursor, GapReason};
use tokio::{sync::oneshot, time::Instant};

use super::{
    client::{Client, OWN_BYTES, Phase, Step},
    observed::Ending,
};
use crate::{
    backfill,
    resume::{Place, limit, open::known, walk::Walk},
    settings::LagPolicy,
    state::Shared,
    wire::gaps_between,
};

/// How often a client may reach the live edge by backfill and find that the log has moved on, before the lag policy
/// decides.
const ROUNDS: usize = 4;
/// How long a backfill may bring nothing.
const STUCK: Duration = Duration::from_secs(30);

/// A client that is behind the log.
pub(super) struct Past {
    pub(super) walk: Walk,
    /// The live edge when this round began.
    pub(super) target: Arc<Cursor>,
    pub(super) rounds: usize,
    /// When the client last got on.
    pub(super) moved: Instant,
}

impl Past {
    pub(super) fn new(cursor: Cursor, target: Arc<Cursor>) -> Box<Self> {
        Box::new(Self { walk: Walk { cursor }, target, rounds: 0, moved: Instant::now() })
    }
}

impl Phase {
    pub(super) fn limit(shared: &Arc<Shared>, past: Box<Past>) -> Self {
        let (sender, said) = oneshot::channel();
        let shared = shared.clone();
        // Others wait for the same answer, so it is asked for to its end; the source's answers have an end.
        tokio::spawn(async move { drop(sender.send(limit::said(&shared).await)) });
        Self::Limit { past, said }
    }

    pub(super) fn fetch(shared: &Arc<Shared>, past: Box<Past>) -> Self {
        let segment = backfill::fetch(shared, past.walk.cursor.clone());
        Self::Fetch { past, segment }
    }
}

impl Client {
    pub(super) fn limited(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(end) = self.watch(cx) {
            return Poll::Ready(end);
        }
        let Phase::Limit { said, .. } = &mut self.phase else { return Poll::Ready(Step::Again) };
        let Ok(Ok(said)) = ready!(Pin::new(said).poll(cx)) else {
            return Poll::Ready(Step::End(Ending::Unavailable));
        };
        let Phase::Limit { mut past, .. } = self.take_phase() else { return Poll::Ready(Step::Again) };
        let gaps = {
            let state = self.shared.lock();
            let Some(log) = &state.log else { return Poll::Ready(Step::End(Ending::Reset)) };
            let known = known(&self.shared, &state, log, None, said.as_ref());
            let limited = known.limited(&past.walk.cursor);
            let gaps = known.replay_gaps(&past.walk.cursor, &limited);
            past.walk.cursor = limited;
            gaps
        };
        let mut out = BytesMut::new();
        self.tell(&mut out, &gaps);
        Poll::Ready(match self.join(past) {
            Step::Again => Step::own(out, 0),
            // A stream that ends says nothing more: the client comes back with the id that it has.
            other => other,
        })
    }

    pub(super) fn fetched(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(end) = self.watch(cx) {
            return Poll::Ready(end);
        }
        let Phase::Fetch { segment, .. } = &mut self.phase else { return Poll::Ready(Step::Again) };
        let fetched = ready!(Pin::new(segment).poll(cx));
        let Phase::Fetch { mut past, .. } = self.take_phase() else { return Poll::Ready(Step::Again) };
        let segment = match fetched {
            Ok(Ok(segment)) => segment,
            Ok(Err(error)) => {
                tracing::debug!(channel = &*self.shared.name, "a client's backfill failed: {error}");
                return Poll::Ready(Step::End(Ending::Unavailable));
            }
            Err(_) => return Poll::Ready(Step::End(Ending::Unavailable)),
        };
        let mut out = BytesMut::new();
        if let Some(segment) = segment.upgrade() {
            let topics = self.shared.lock().topics.clone();
            let gaps =
                gaps_between(&past.walk.cursor, &segment.start, GapReason::Retention, |tag| topics.name(tag));
            self.tell(&mut out, &gaps);
            if let Some((_, cursor)) = gaps.into_iter().next_back() {
                past.walk.cursor = cursor;
            }
        }
        self.phase = Phase::Read { past, segment, batch: 0, index: 0 };
        Poll::Ready(Step::own(out, 0))
    }

    pub(super) fn read(&mut self, steps: &mut usize) -> Poll<Step> {
        let Phase::Read { past, segment, batch, index } = &mut self.phase else {
            return Poll::Ready(Step::Again);
        };
        let Some(segment) = segment.upgrade() else {
            // It was pushed out while this client didn't read.
            return Poll::Ready(self.go_on());
        };
        let Some(reading) = segment.batches.get(*batch) else {
            if past.walk.cursor != segment.end {
                past.walk.arrive(&segment.end);
                past.moved = Instant::now();
            }
            return Poll::Ready(self.go_on());
        };
        let mut out = BytesMut::new();
        let written = past.walk.write(reading, *index, &self.select, &mut out, OWN_BYTES, steps);
        *index = written.next;
        if *index == reading.frames.len() {
            (*batch, *index) = (*batch + 1, 0);
            past.moved = Instant::now();
        }
        Poll::Ready(Step::own(out, written.events))
    }

    /// Joins the log if it reaches back far enough by now; else goes on in the past.
    pub(super) fn go_on(&mut self) -> Step {
        let Phase::Read { past, .. } = self.take_phase() else { return Step::Again };
        self.join(past)
    }

    fn join(&mut self, mut past: Box<Past>) -> Step {
        let (place, head) = {
            let state = self.shared.lock();
            if let Some(why) = state.ends(self.generation) {
                return Step::End(why);
            }
            let Some(log) = &state.log else { return Step::End(Ending::Reset) };
            (known(&self.shared, &state, log, None, None).find(&past.walk.cursor), log.head().clone())
        };
        match place {
            Some(Place::Shared(next)) => self.phase = Phase::Shared { next, at: Arc::new(past.walk.cursor) },
            Some(Place::Own(next)) => self.phase = Phase::Own { next, walk: past.walk },
            Some(Place::Backfill) | None => {
                if past.walk.cursor.dominates(&past.target) {
                    (past.rounds, past.target) = (past.rounds + 1, head);
                }
                if past.rounds >= ROUNDS || past.moved.elapsed() > STUCK {
                    return match self.lag {
                        // A source that can be read backwards loses nothing of unknown extent.
                        LagPolicy::Skip => self.skip(&past.walk.cursor, u64::MAX),
                        LagPolicy::Conflate => self.conflate(past.walk.cursor, 0),
                        LagPolicy::Backfill | LagPolicy::Disconnect => self.give_up(),
                    };
                }
                self.phase = Phase::fetch(&self.shared, past);
            }
        }
        Step::Again
    }

    /// Waits for something else than the log. The end, if there is nothing to wait for any more.
    fn watch(&self, cx: &mut Context<'_>) -> Option<Step> {
        let mut state = self.shared.lock();
        if let Some(why) = state.ends(self.generation) {
            return Some(Step::End(why));
        }
        state.waiters.watch(self.slot, cx.waker());
        None
    }
}
