//! When clients whose time is limited are over: by ticks of the channel's clock, not a timer for each. Pure.

use std::{cmp::Reverse, collections::BinaryHeap};

/// A tick at which a client's time is over; none for most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Until(u32);

impl Until {
    /// No end.
    pub(crate) const NEVER: Self = Self(0);

    /// What is further away than can be counted is looked at when it can be, and at each heartbeat.
    pub(crate) fn tick(tick: u64) -> Self {
        Self(u32::try_from(tick).unwrap_or(u32::MAX).max(1))
    }
}

/// Slots by the tick at which they are over: eight bytes for each.
///
/// A slot that has been left stays until its tick, or until those are the larger part.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    heap: BinaryHeap<Reverse<(Until, u32)>>,
    /// How many of them are somebody's.
    alive: usize,
}

/// So many may be nobody's, however few are somebody's.
const FEW: usize = 64;

impl Expiries {
    /// A client's end, the first one or another.
    pub(crate) fn add(&mut self, slot: usize, until: Until, first: bool) {
        // Whoever finds no room in the numbers is woken by heartbeats.
        if let Ok(slot) = u32::try_from(slot) {
            self.heap.push(Reverse((until, slot)));
        }
        self.alive += usize::from(first);
    }

    /// A client with an end has gone. `of` says what end a slot's client has.
    pub(crate) fn remove(&mut self, of: impl Fn(usize) -> Option<Until>) {
        self.alive = self.alive.saturating_sub(1);
        if self.heap.len() > self.alive * 2 + FEW {
            self.heap.retain(|Reverse((until, slot))| of(*slot as usize) == Some(*until));
            self.heap.shrink_to(self.alive * 2);
        }
    }

    /// The slots that are over by this tick, each once.
    pub(crate) fn due(&mut self, tick: u64) -> impl Iterator<Item = usize> {
        let now = Until::tick(tick);
        std::iter::from_fn(move || {
            let Reverse((until, _)) = self.heap.peek()?;
            if *until > now { None } else { self.heap.pop().map(|Reverse((_, slot))| slot as usize) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_at_their_tick() {
        let mut expiries = Expiries::default();
        for (slot, tick) in [(1, 7), (2, 3), (3, 5), (4, u64::MAX)] {
            expiries.add(slot, Until::tick(tick), true);
        }
        assert_eq!(expiries.due(2).count(), 0);
        assert_eq!(expiries.due(5).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(expiries.due(9).collect::<Vec<_>>(), [1]);
        assert_eq!(expiries.due(u64::MAX).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn those_who_go_are_forgotten() {
        let mut expiries = Expiries::default();
        for round in 0..10_000 {
            expiries.add(0, Until::tick(1_000_000 + round), true);
            expiries.remove(|_| None);
            assert!(expiries.heap.len() <= FEW, "{}", expiries.heap.len());
        }
        expiries.add(9, Until::tick(5), true);
        for _ in 0..FEW * 2 {
            expiries.add(0, Until::tick(9), true);
            expiries.remove(|slot| (slot == 9).then_some(Until::tick(5)));
        }
        assert_eq!(expiries.due(5).collect::<Vec<_>>(), [9], "who stays is not");
    }
}
