//! What happens to a client that fell off the log (I7).

use std::sync::atomic::Ordering;

use bytes::BytesMut;
use tidewater_core::{Cursor, GapReason};

use super::{
    client::{Client, Phase, Step},
    past::Past,
};
use crate::{
    settings::{AllowedReplay, LagPolicy},
    walk::Walk,
    wire::{self, Told, gaps_between},
};

impl Client {
    /// The client has fallen behind the log (I7).
    pub(super) fn lag(&mut self, at: Cursor) -> Step {
        self.shared.counts.lagged.fetch_add(1, Ordering::Relaxed);
        let can_backfill = self.shared.source().capabilities().replay
            && self.shared.settings.replay == AllowedReplay::Everything;
        match self.shared.settings.lag {
            LagPolicy::Disconnect => Step::End(wire::come_back(self.shared.jittered_retry())),
            LagPolicy::Backfill if can_backfill => {
                let head = self.shared.lock().log.as_ref().map(|log| log.head().clone()).unwrap_or_default();
                self.phase = Phase::fetch(&self.shared, Past::new(at, head));
                Step::Again
            }
            LagPolicy::Backfill | LagPolicy::Skip => self.skip(&at),
        }
    }

    /// Goes on where the log starts, and tells what that leaves out.
    pub(super) fn skip(&mut self, from: &Cursor) -> Step {
        let (tail, mut start, topics) = {
            let state = self.shared.lock();
            let Some(log) = &state.log else {
                return Step::End(wire::come_back(self.shared.jittered_retry()));
            };
            (log.tail(), Walk { cursor: (**log.tail_cursor()).clone() }, state.topics.clone())
        };
        let gaps = gaps_between(from, &start.cursor, GapReason::Lag, |tag| topics.name(tag));
        // A client that another node had taken further in some partition stays there.
        start.reach(from);
        let mut out = BytesMut::new();
        self.tell(&mut out, &gaps);
        self.phase = Phase::Own { next: tail, walk: start };
        if out.is_empty() { Step::Again } else { Step::Bytes(out.freeze()) }
    }

    pub(super) fn tell(&self, out: &mut BytesMut, gaps: &[(Told, Cursor)]) {
        self.shared.counts.gaps.fetch_add(gaps.len() as u64, Ordering::Relaxed);
        for (told, cursor) in gaps {
            wire::gap(out, told, cursor);
        }
    }
}
