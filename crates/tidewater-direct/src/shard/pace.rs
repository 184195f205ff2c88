//! How long a pass waits for more to write. Pure.
//!
//! A write costs the kernel much more than the bytes in it. So where events come faster than passes go, it pays to wait a
//! moment and write several at once; where they don't, waiting brings nothing but delay. Which of the two it is shows
//! in the passes themselves: they run into each other, and find the same clients again.

use std::time::{Duration, Instant};

/// The first step, and the shortest wait that is worth a system call.
const STEP: Duration = Duration::from_micros(50);

/// Of one shard.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    hold: Duration,
    /// The number of this pass. Those that run into each other follow each other. A client that had none has 0.
    pass: u32,
    /// How many clients had a turn in it, and how many of them in the one before, too.
    turns: usize,
    again: usize,
    began: Instant,
    took: Duration,
}

impl Pace {
    pub(super) fn new(longest: Duration, now: Instant) -> Self {
        Self { longest, hold: Duration::ZERO, pass: 1, turns: 0, again: 0, began: now, took: Duration::ZERO }
    }

    /// The shard has had nothing to write since the last pass.
    pub(super) fn rested(&mut self, now: Instant) {
        self.pass = self.pass.wrapping_add(1);
        // Whoever rests for longer than it works has no need to save.
        let rest = now.saturating_duration_since(self.began + self.took);
        if rest > self.took + self.longest {
            self.hold = Duration::ZERO;
        }
    }

    /// How long the next pass waits.
    pub(super) fn hold(&self) -> Duration {
        self.hold
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.pass = self.pass.wrapping_add(1);
        (self.turns, self.again, self.began) = (0, 0, now);
    }

    /// A client has its turn; `last` is the pass of its last one.
    pub(super) fn turn(&mut self, last: &mut u32) {
        self.turns += 1;
        self.again += usize::from(last.wrapping_add(1) == self.pass);
        *last = self.pass;
    }

    /// Longer by half or more when it ran into the one before it; shorter again, and slowly, when it did not.
    pub(super) fn end(&mut self, now: Instant) {
        self.took = now.saturating_duration_since(self.began);
        if self.turns == 0 {
            return;
        }
        self.hold = if self.again * 2 > self.turns {
            (self.hold * 2).max(STEP).min(self.longest)
        } else {
            Some(self.hold - self.hold / 8).filter(|hold| *hold >= STEP).unwrap_or_default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(2);
    const PASS: Duration = Duration::from_millis(4);

    /// A shard of a few clients on a clock of its own.
    struct Shard {
        pace: Pace,
        now: Instant,
        last: [u32; 10],
    }

    impl Shard {
        fn new() -> Self {
            let now = Instant::now();
            Self { pace: Pace::new(LONGEST, now), now, last: [0; 10] }
        }

        /// A pass over these clients, and how long it waited.
        fn pass(&mut self, clients: std::ops::Range<usize>) -> Duration {
            let held = self.pace.hold();
            self.now += held;
            self.pace.begin(self.now);
            clients.for_each(|client| self.pace.turn(&mut self.last[client]));
            self.now += PASS;
            self.pace.end(self.now);
            held
        }

        fn rest(&mut self, time: Duration) {
            self.now += time;
            self.pace.rested(self.now);
        }
    }

    #[test]
    fn a_shard_that_rests_never_waits() {
        let mut shard = Shard::new();
        for _ in 0..100 {
            assert_eq!(shard.pass(0..10), Duration::ZERO);
            shard.rest(Duration::from_micros(100));
        }
    }

    #[test]
    fn passes_that_run_into_each_other_wait_up_to_the_bound() {
        let mut shard = Shard::new();
        let held: Vec<_> = (0..10).map(|_| shard.pass(0..10)).collect();
        assert_eq!(held[..2], [Duration::ZERO; 2]);
        assert!(held[1..].is_sorted(), "{held:?}");
        assert_eq!(held[9], LONGEST);
        // It goes down again where there is little to do, and at once where there is nothing.
        shard.rest(Duration::from_millis(1));
        shard.pass(0..10);
        assert!(shard.pace.hold() < LONGEST && shard.pace.hold() > LONGEST / 2);
        shard.rest(Duration::from_millis(7));
        assert_eq!(shard.pass(0..10), Duration::ZERO);
    }

    #[test]
    fn passes_over_others_say_nothing() {
        let mut shard = Shard::new();
        for _ in 0..100 {
            assert_eq!(shard.pass(0..5), Duration::ZERO);
            assert_eq!(shard.pass(5..10), Duration::ZERO);
        }
    }
}
