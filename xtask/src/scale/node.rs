//! What of a node the simulation has: connections that wait to be accepted, and streams.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::returns::{self, Returns};

/// Clients who lost their streams in one moment, in milliseconds from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) at: u64,
    pub(super) count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) streams: u64,
    /// When it can be connected to: not while it is away.
    pub(super) ready: bool,
    queue: VecDeque<Lost>,
    queued: u64,
    /// What it may still accept in this millisecond, in thousandths of a connection.
    credit: u64,
    returns: Returns,
}

impl Node {
    pub(super) fn with(streams: u64) -> Self {
        Self { streams, ready: true, ..Self::default() }
    }

    /// Connections that wait.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// What of these fits into the queue; the rest is dropped.
    pub(super) fn come(&mut self, lost: Lost, backlog: u64) -> u64 {
        let fits = lost.count.min(backlog.saturating_sub(self.queued));
        match self.queue.back_mut() {
            Some(last) if last.at == lost.at => last.count += fits,
            _ => self.queue.push_back(Lost { count: fits, ..lost }),
        }
        self.queued += fits;
        fits
    }

    /// Accepts for a millisecond, those who waited longest first: as many as its rate lets.
    pub(super) fn accept(&mut self, rate: u64) -> Vec<Lost> {
        self.credit += rate;
        let mut left = (self.credit / 1000).min(self.queued);
        // What it could not use is no credit: nobody accepts those who are not there yet.
        self.credit = if left == self.queued { 0 } else { self.credit % 1000 };
        self.queued -= left;
        let mut accepted = Vec::new();
        while left > 0
            && let Some(first) = self.queue.front_mut()
        {
            let count = first.count.min(left);
            accepted.push(Lost { at: first.at, count });
            left -= count;
            first.count -= count;
            if first.count == 0 {
                self.queue.pop_front();
            }
        }
        accepted
    }

    /// When one that there is no place for is to come back (I10).
    pub(super) fn turn_away(&mut self, now: Instant, random: f64) -> Duration {
        returns::spread(self.returns.next(now, returns::OF_ALL), random)
    }

    /// Goes: its streams, and those who waited.
    pub(super) fn go(&mut self) -> (u64, Vec<Lost>) {
        let gone = std::mem::take(self);
        (gone.streams, gone.queue.into())
    }
}
