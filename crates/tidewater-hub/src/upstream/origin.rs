//! Where the channels of one upstream read, and what they ask it together.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use tidewater_core::{Bounds, Cursor, Next, Result, Source};
use tokio::time::Instant;

use crate::{
    ask::{Question, answered},
    backfill::Readers,
    status::Lag,
};

/// What a look at the broker's bounds has found.
#[derive(Debug)]
struct Looked {
    offsets: u64,
    at: Instant,
}

/// A source, with its readers of the past and the last reading of its bounds.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) readers: Arc<Readers>,
    /// How often the subscription had stalled, and was made anew.
    pub(crate) stalls: AtomicU64,
    /// How often the subscription was made, the first time among them.
    pub(crate) subscriptions: AtomicU64,
    looked: Mutex<Option<Looked>>,
    bounds: Question<Arc<Bounds>>,
}

impl Origin {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            readers: Arc::default(),
            stalls: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
            looked: Mutex::default(),
            bounds: Question::default(),
        }
    }

    /// The broker's bounds were read, and the subscription is here.
    pub(super) fn look(&self, position: &Cursor, bounds: &Bounds) {
        let behind = if self.source.capabilities().replay { behind(position, bounds) } else { None };
        *self.lock() = behind.map(|offsets| Looked { offsets, at: Instant::now() });
    }

    /// How far the subscription was behind at the last look.
    pub(crate) fn lag(&self) -> Option<Lag> {
        let looked = self.lock();
        looked.as_ref().map(|looked| Lag { offsets: looked.offsets, age: looked.at.elapsed() })
    }

    /// The broker's bounds, read after this call began. Callers at the same time share one reading, whichever of the
    /// upstream's channels they come from.
    pub(crate) async fn bounds(&self) -> Result<Arc<Bounds>> {
        self.bounds.ask(Duration::ZERO, async { answered(self.source.bounds()).await.map(Arc::new) }).await
    }

    fn lock(&self) -> MutexGuard<'_, Option<Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many offsets the broker has past a position; of an incarnation that the position is not in, all that there is.
/// `None` where positions are no numbers.
fn behind(position: &Cursor, bounds: &Bounds) -> Option<u64> {
    let mut behind: u64 = 0;
    for now in &bounds.topics {
        let own = position.topic(now.tag);
        if own.is_some_and(|own| matches!(own.next, Next::After(_))) {
            return None;
        }
        let own = own.filter(|own| own.epoch == now.epoch.tag());
        for (partition, range) in (0..).zip(&now.partitions) {
            let at = own.map_or(range.start, |own| own.offset(partition).max(range.start));
            behind = behind.saturating_add(range.end.saturating_sub(at));
        }
    }
    Some(behind)
}

#[cfg(test)]
mod tests {
    use tidewater_core::{Epoch, TopicBounds, TopicCursor, TopicTag};

    use super::*;

    #[test]
    fn behind_is_what_can_be_read_and_was_not() {
        let bounds = Bounds {
            topics: vec![TopicBounds {
                name: "t".into(),
                tag: TopicTag(1),
                epoch: Epoch(1),
                partitions: vec![5..10, 0..3, 4..4],
            }],
        };
        let at = |epoch: u128, next| -> Cursor {
            [TopicCursor { tag: TopicTag(1), epoch: Epoch(epoch).tag(), next }].into_iter().collect()
        };
        let offsets = |next: &[u64]| Next::Offsets(next.to_vec());
        assert_eq!(behind(&at(1, offsets(&[10, 3, 4])), &bounds), Some(0));
        assert_eq!(behind(&at(1, offsets(&[7, 3])), &bounds), Some(3), "the third has nothing");
        assert_eq!(behind(&at(1, offsets(&[2, 1])), &bounds), Some(5 + 2), "what is gone is not behind");
        assert_eq!(behind(&at(1, offsets(&[12, 3])), &bounds), Some(0), "it has got on since");
        assert_eq!(behind(&at(2, offsets(&[9, 9, 9])), &bounds), Some(8), "all of another incarnation");
        assert_eq!(behind(&at(1, Next::After("x".into())), &bounds), None);
    }
}
