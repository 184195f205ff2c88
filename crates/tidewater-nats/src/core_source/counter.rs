//! The count of messages that stands in for the offsets NATS hasn't got.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use tidewater_core::Epoch;

/// A count that goes on from one subscription to the next.
#[derive(Debug)]
pub(super) struct Counter {
    epoch: Epoch,
    end: AtomicU64,
    /// The end up to which everything has come, or was told to be lost.
    settled: AtomicU64,
    begun: AtomicBool,
    busy: AtomicBool,
}

impl Counter {
    pub(super) fn new() -> Self {
        Self {
            epoch: Epoch::random(),
            end: AtomicU64::new(0),
            settled: AtomicU64::new(u64::MAX),
            begun: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn end(&self) -> u64 {
        self.end.load(SeqCst)
    }

    /// Goes on with this count, or begins another one while somebody is at it.
    pub(super) fn begin(shared: &Arc<Self>) -> Counting {
        let counter = if shared.busy.swap(true, SeqCst) { Arc::new(Self::new()) } else { shared.clone() };
        Counting(counter)
    }
}

/// The right to count, for as long as it lives.
#[derive(Debug)]
pub(super) struct Counting(Arc<Counter>);

impl Counting {
    pub(super) fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    pub(super) fn end(&self) -> u64 {
        self.0.end()
    }

    /// Takes the next number.
    pub(super) fn count(&self) -> u64 {
        self.0.end.fetch_add(1, SeqCst)
    }

    /// Says that the subscription has started. `true` if there was one before, after which messages may have been
    /// lost that nobody was told of.
    pub(super) fn start(&self) -> bool {
        self.0.begun.swap(true, SeqCst) && self.0.settled.load(SeqCst) != self.end()
    }

    /// Says that a loss up to this offset was told.
    pub(super) fn settle(&self, end: u64) {
        self.0.settled.store(end, SeqCst);
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.busy.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_counts_at_a_time_and_the_next_goes_on() {
        let counter = Arc::new(Counter::new());
        let first = Counter::begin(&counter);
        assert!(!first.start(), "nothing was lost before the first");
        assert_eq!((first.count(), first.count(), counter.end()), (0, 1, 2));

        let beside = Counter::begin(&counter);
        assert_ne!(beside.epoch(), counter.epoch());
        assert_eq!((beside.count(), counter.end()), (0, 2));
        drop(beside);

        drop(first);
        let second = Counter::begin(&counter);
        assert_eq!((second.epoch(), second.end()), (counter.epoch(), 2));
        assert!(second.start(), "messages may have come in between");
        let gap = second.count();
        second.settle(gap + 1);
        drop(second);
        assert!(!Counter::begin(&counter).start(), "that loss was told, and nothing came since");
    }
}
