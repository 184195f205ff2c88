//! When a client is due a heartbeat (I6): one clock for a channel, not a timer for each client.
//!
//! The clock goes round in [`ROUND`] ticks for each heartbeat. A client is due at one of them, so that not all are at once,
//! and is woken then by the task that turns the clock.

use std::{
    sync::{Arc, Weak, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{select::expiry::Until, state::Shared};

/// Ticks from one heartbeat of a client to the next.
pub(crate) const ROUND: u64 = 16;
/// What tokio's timers tell apart.
const SHORTEST: Duration = Duration::from_millis(1);
/// More than a tick may be late without those after it being later too: tokio's intervals make up for 5 ms.
const LATE: Duration = Duration::from_millis(10);

/// A channel's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Ticks so far. Counted up while the channel's lock is held.
    ticks: AtomicU64,
    /// When it was made: what the ends of its clients are counted from, in milliseconds.
    made: Instant,
    pace: Pace,
}

/// How fast a clock goes: so many ticks, each time.
#[derive(Clone, Copy, Debug)]
struct Pace {
    every: Duration,
    ticks: u64,
}

impl Pace {
    fn new(heartbeat: Duration) -> Self {
        let every = (heartbeat / ROUND as u32).max(SHORTEST);
        // Of heartbeats that are shorter than what can be told apart, several ticks at once; a round at most.
        let ticks = (every.as_nanos() * u128::from(ROUND)).div_ceil(heartbeat.as_nanos().max(1));
        Self { every, ticks: u64::try_from(ticks).unwrap_or(ROUND).clamp(1, ROUND) }
    }
}

/// When a client's time is over, in milliseconds of its channel's clock. Eight bytes for each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End(u64);

impl End {
    pub(super) const NEVER: Self = Self(u64::MAX);
}

impl Clock {
    pub(crate) fn new(heartbeat: Duration) -> Self {
        Self { ticks: AtomicU64::new(0), made: Instant::now(), pace: Pace::new(heartbeat) }
    }

    pub(crate) fn now(&self) -> u64 {
        self.ticks.load(Ordering::Acquire)
    }

    /// Goes on, and gives the ticks that are reached.
    pub(crate) fn advance(&self, ticks: u64) -> std::ops::RangeInclusive<u64> {
        let before = self.ticks.fetch_add(ticks, Ordering::Release);
        before + 1..=before + ticks
    }

    /// The end of what lasts so long from now, and the tick that comes at it or next after it. The next tick may come at
    /// once, so one more is counted; and it may be due already, and those after it come sooner for that.
    pub(super) fn end_after(&self, time: Duration) -> (End, Until) {
        let end = (Instant::now() - self.made).saturating_add(time).as_millis();
        let end = u64::try_from(end).unwrap_or(u64::MAX - 1).min(u64::MAX - 1);
        let turns = time
            .saturating_add(LATE)
            .as_nanos()
            .div_ceil(self.pace.every.as_nanos().max(1))
            .saturating_add(1);
        let turns = u64::try_from(turns).unwrap_or(u64::MAX);
        (End(end), Until::tick(self.now().saturating_add(turns.saturating_mul(self.pace.ticks))))
    }

    pub(super) fn is_over(&self, end: End) -> bool {
        end != End::NEVER && (Instant::now() - self.made).as_millis() >= u128::from(end.0)
    }

    /// When a client that comes now is due first: after half a round at least, and at most after a whole one.
    pub(super) fn first(&self) -> u64 {
        self.now() + ROUND / 2 + fastrand::u64(1..=ROUND / 2)
    }
}

/// Turns a channel's clock, until the channel is gone.
pub(crate) async fn turn(shared: Weak<Shared>) {
    let Some(Pace { every, ticks }) = shared.upgrade().map(|shared| shared.clock.pace) else { return };
    let mut interval = interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is at once.
    interval.tick().await;
    loop {
        interval.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.beat(ticks);
        drop::<Arc<Shared>>(shared);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Nobody is woken for his end a second time, so he must not be woken before it.
    #[tokio::test(start_paused = true)]
    async fn the_tick_of_an_end_is_not_before_it() {
        let clock = Clock::new(Duration::from_secs(ROUND));
        // A tick is due, but not here yet: those that come after it make up for that.
        advance(Duration::from_millis(1004)).await;
        let (end, until) = clock.end_after(Duration::from_secs(1));
        let mut late = Duration::from_millis(4);
        while Until::tick(clock.now()) < until {
            clock.advance(1).for_each(drop);
            if clock.now() > 1 {
                advance(Duration::from_secs(1) - std::mem::take(&mut late)).await;
            }
        }
        assert!(clock.is_over(end), "at tick {}", clock.now());
    }
}
