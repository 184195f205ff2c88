//! How far a pipe is, for those who look on: the engine writes it, the display and the lag's watch read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidewater::{Bounds, Cursor};
use tokio::sync::Notify;

use super::checkpoint::Counts;

/// How far a pipe is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    seen: Mutex<Seen>,
    /// Told when the source's subscription has stalled.
    pub(super) stalled: Notify,
}

/// What is seen of it at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// In this run.
    pub(super) counts: Counts,
    /// The sink has everything before this.
    pub(super) cursor: Cursor,
    /// What is away.
    pub(super) away: Option<&'static str>,
    /// What the source held when it was asked last, if it has answered.
    pub(super) bounds: Option<Arc<Bounds>>,
}

impl Seen {
    /// How many positions the source is ahead, as far as it was asked.
    pub(super) fn behind(&self) -> Option<u64> {
        behind(&self.cursor, self.bounds.as_ref()?)
    }
}

impl Progress {
    pub(super) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    pub(super) fn moved(&self, cursor: &Cursor, counts: Counts) {
        let mut seen = self.lock();
        seen.counts = counts;
        seen.cursor.clone_from(cursor);
    }

    pub(super) fn away(&self, what: Option<&'static str>) {
        self.lock().away = what;
    }

    /// The source was asked what it holds.
    pub(super) fn asked(&self, bounds: Option<Bounds>) {
        self.lock().bounds = bounds.map(Arc::new);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many positions lie between; `None` where they can't be counted.
fn behind(cursor: &Cursor, bounds: &Bounds) -> Option<u64> {
    let mut sum = 0_u64;
    for topic in &bounds.topics {
        let own = cursor.topic(topic.tag).filter(|own| own.epoch == topic.epoch.tag())?;
        if topic.partitions.is_empty() {
            return None;
        }
        for (partition, range) in (0..).zip(&topic.partitions) {
            sum = sum.saturating_add(range.end.saturating_sub(own.offset(partition).max(range.start)));
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use tidewater::{Epoch, TopicBounds, TopicTag};

    use super::*;

    #[test]
    fn what_lies_between_is_counted_from_what_can_be_read() {
        let (tag, epoch) = (TopicTag(1), Epoch(1));
        let topic = |partitions| TopicBounds { name: "a".into(), tag, epoch, partitions };
        let bounds = Bounds { topics: vec![topic(vec![3..7, 0..2, 5..5])] };
        let mut cursor = Cursor::default();
        assert_eq!(behind(&cursor, &bounds), None);
        cursor.raise(tag, epoch.tag(), 0, 1);
        assert_eq!(behind(&cursor, &bounds), Some(6));
        cursor.raise(tag, epoch.tag(), 1, 9);
        assert_eq!(behind(&cursor, &bounds), Some(4));
        assert_eq!(behind(&cursor, &Bounds { topics: vec![topic(vec![])] }), None);
        cursor.raise(tag, Epoch(2).tag(), 0, 1);
        assert_eq!(behind(&cursor, &bounds), None);
    }
}
