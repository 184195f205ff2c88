//! When a client is due a heartbeat (I6): one clock for a channel, not a timer for each client.
//!
//! The clock goes round in [`ROUND`] ticks for each heartbeat. A client is due at one of them, so that not all are at once,
//! and is woken then by the task that turns the clock.

use std::{
    sync::{Arc, Weak, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::state::Shared;

/// Ticks from one heartbeat of a client to the next.
pub(crate) const ROUND: u64 = 16;
/// What tokio's timers tell apart.
const SHORTEST: Duration = Duration::from_millis(1);

/// Ticks so far. Counted up while the channel's lock is held.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Goes on, and gives the ticks that are reached.
    pub(crate) fn advance(&self, ticks: u64) -> std::ops::RangeInclusive<u64> {
        let before = self.0.fetch_add(ticks, Ordering::Release);
        before + 1..=before + ticks
    }

    /// When a client that comes now is due first: after half a round at least, and at most after a whole one.
    pub(super) fn first(&self) -> u64 {
        self.now() + ROUND / 2 + fastrand::u64(1..=ROUND / 2)
    }
}

/// Turns a channel's clock, until the channel is gone.
pub(crate) async fn turn(shared: Weak<Shared>, heartbeat: Duration) {
    let every = (heartbeat / ROUND as u32).max(SHORTEST);
    // Of heartbeats that are shorter than what can be told apart, several ticks at once; a round at most.
    let ticks = (every.as_nanos() * u128::from(ROUND)).div_ceil(heartbeat.as_nanos().max(1));
    let ticks = u64::try_from(ticks).unwrap_or(ROUND).clamp(1, ROUND);
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
