//! What happens to a client that fell off the log (I7).

use std::{sync::atomic::Ordering, task::Poll};

use bytes::BytesMut;
use tidewater_core::{Cursor, GapReason};

use super::{
    client::{Client, OWN_BYTES, Phase, Step},
    conflate::Conflation,
    observed::Ending,
    past::Past,
};
use crate::{
    resume::walk::Walk,
    settings::{AllowedReplay, LagPolicy},
    wire::{self, Told, gaps_between},
};

/// How many entries are looked at while the channel's lock is held.
const HELD: usize = 256;

impl Client {
    /// The client has fallen behind the log (I7): it has everything that it wants before `next`, and this cursor.
    pub(super) fn lag(&mut self, at: Cursor, next: u64) -> Step {
        self.shared.counts.lagged.fetch_add(1, Ordering::Relaxed);
        match self.lag {
            LagPolicy::Disconnect => self.give_up(),
            LagPolicy::Conflate => self.conflate(at, next),
            LagPolicy::Backfill => self.fill_up(at, next),
            LagPolicy::Skip => self.skip(&at, next),
        }
    }

    /// Ends the stream of a client that can't keep up.
    pub(super) fn give_up(&self) -> Step {
        self.shared.counts.lag_disconnects.fetch_add(1, Ordering::Relaxed);
        Step::End(Ending::Lagged)
    }

    /// Goes on from the broker, as far back as the channel allows.
    fn fill_up(&mut self, at: Cursor, next: u64) -> Step {
        let can = self.shared.source().capabilities();
        if !can.replay {
            return self.skip(&at, next);
        }
        let head = self.shared.lock().log.as_ref().map(|log| log.head().clone()).unwrap_or_default();
        let past = Past::new(at, head);
        self.phase = match self.shared.settings.replay {
            AllowedReplay::Everything => Phase::fetch(&self.shared, past),
            AllowedReplay::Age(_) if can.from_time => Phase::limit(&self.shared, past),
            AllowedReplay::Age(_) | AllowedReplay::Log => return self.skip(&past.walk.cursor, next),
        };
        Step::Again
    }

    /// Goes on with the newest of each key from `next` on.
    pub(super) fn conflate(&mut self, at: Cursor, next: u64) -> Step {
        let mut out = BytesMut::new();
        {
            let state = self.shared.lock();
            let Some(log) = state.log.as_ref().filter(|log| Conflation::is_possible(log)) else {
                drop(state);
                return self.skip(&at, next);
            };
            let lost: Vec<_> = log.lost_since(next).map(|gap| (Told::gap(gap), at.clone())).collect();
            self.tell(&mut out, &lost);
        }
        self.phase = Phase::Conflated(Box::new(Conflation::new(next, at)));
        Step::own(out, 0)
    }

    pub(super) fn conflated(&mut self, steps: &mut usize) -> Poll<Step> {
        let Phase::Conflated(conflation) = &mut self.phase else { return Poll::Ready(Step::Again) };
        let mut out = BytesMut::new();
        let (written, caught_up) = {
            let state = self.shared.lock();
            if let Some(why) = state.ends(self.generation) {
                return Poll::Ready(Step::End(why));
            }
            let Some(log) = &state.log else { return Poll::Ready(Step::End(Ending::Reset)) };
            if conflation.is_stranded(log) {
                return Poll::Ready(Step::End(Ending::Reset));
            }
            let mut few = HELD.min(*steps);
            *steps -= few;
            let written = conflation.write(log, &state.topics, &self.select, &mut out, OWN_BYTES, &mut few);
            (written, conflation.caught_up(log))
        };
        self.shared.counts.gaps.add_all(written.gaps);
        if let Some((next, walk)) = caught_up {
            self.phase = Phase::Own { next, walk };
        }
        Poll::Ready(Step::own(out, written.events))
    }

    /// Goes on where the log starts, and tells what that leaves out, from `next` on.
    pub(super) fn skip(&mut self, from: &Cursor, next: u64) -> Step {
        let (tail, mut start, topics, mut gaps) = {
            let state = self.shared.lock();
            let Some(log) = &state.log else { return Step::End(Ending::Reset) };
            let Some(start) = log.skip_to(from) else { return Step::End(Ending::Reset) };
            let lost: Vec<_> = log.lost_since(next).map(|gap| (Told::gap(gap), from.clone())).collect();
            (log.tail(), Walk { cursor: start }, state.topics.clone(), lost)
        };
        gaps.extend(gaps_between(from, &start.cursor, GapReason::Lag, |tag| topics.name(tag)));
        // A client that another node had taken further in some partition stays there.
        start.reach(from);
        let mut out = BytesMut::new();
        self.tell(&mut out, &gaps);
        self.phase = Phase::Own { next: tail, walk: start };
        Step::own(out, 0)
    }

    pub(super) fn tell(&self, out: &mut BytesMut, gaps: &[(Told, Cursor)]) {
        for (told, cursor) in gaps {
            self.shared.counts.gaps.add(told.reason, 1);
            wire::gap(out, told, cursor);
        }
    }
}
