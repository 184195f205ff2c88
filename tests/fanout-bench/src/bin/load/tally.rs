//! What has arrived, and whether it is what should.

use hdrhistogram::Histogram;

use crate::sse::Event;

/// The longest time that is told apart: 10 minutes, in microseconds.
const LONGEST: u64 = 600_000_000;

/// What arrived at all clients, since it was last cleared.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    /// Events that a client has not got, and was not told of.
    pub(crate) lost: u64,
    /// Events that came twice, or behind later ones.
    pub(crate) repeated: u64,
    /// Events that a gap told of.
    pub(crate) told: u64,
    /// Data that no one sent.
    pub(crate) strange: u64,
    pub(crate) bytes: u64,
    /// Microseconds from when an event was due.
    pub(crate) latency: Histogram<u64>,
    /// When the last event came.
    pub(crate) last: u64,
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            deliveries: 0,
            lost: 0,
            repeated: 0,
            told: 0,
            strange: 0,
            bytes: 0,
            latency: Histogram::new_with_max(LONGEST, 3)?,
            last: 0,
        })
    }

    /// Forgets what was counted.
    pub(crate) fn clear(&mut self) {
        (self.deliveries, self.lost, self.repeated, self.told) = (0, 0, 0, 0);
        (self.strange, self.bytes) = (0, 0);
        self.latency.reset();
    }

    /// An event arrives at a client that waits for `next`; answers how many it has.
    pub(crate) fn event(&mut self, event: Event, next: u64, now: u64, timed: bool) -> u64 {
        match event {
            Event::Numbered(number, _) if number < next => {
                self.repeated += 1;
                next
            }
            Event::Numbered(number, due) => {
                self.lost += number - next;
                self.deliveries += 1;
                if timed {
                    self.latency.saturating_record(now.saturating_sub(due) / 1000);
                }
                self.last = now;
                number + 1
            }
            Event::Gap(Some(missing)) if missing.start == next && missing.end > next => {
                self.told += missing.end - next;
                self.last = now;
                missing.end
            }
            Event::Gap(_) | Event::Strange => {
                self.strange += 1;
                next
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted() {
        let mut tally = Tally::new().unwrap();
        let mut next = 0;
        for (event, then) in [
            (Event::Numbered(0, 5), 1),
            (Event::Numbered(3, 5), 4),
            (Event::Numbered(2, 5), 4),
            (Event::Gap(Some(4..6)), 6),
            (Event::Gap(Some(4..7)), 6),
            (Event::Strange, 6),
        ] {
            next = tally.event(event, next, 9, true);
            assert_eq!(next, then);
        }
        let counts = [tally.deliveries, tally.lost, tally.repeated, tally.told, tally.strange];
        assert_eq!(counts, [2, 2, 1, 2, 2]);
    }
}
