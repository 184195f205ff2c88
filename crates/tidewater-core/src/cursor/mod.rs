//! Where a client stands: the whole of it, in one id.
//!
//! ```
//! use tidewater_core::{Cursor, Epoch, Position, TopicTag};
//!
//! let (orders, epoch) = (TopicTag::of("kafka", "orders"), Epoch(7).tag());
//! let mut cursor = Cursor::default();
//! cursor.advance(orders, epoch, 2, &Position::Offset(41));
//! assert_eq!(cursor.next_offset(orders, 2), Some(42));
//!
//! let id = cursor.to_string();
//! assert_eq!(id.parse::<Cursor>(), Ok(cursor));
//! ```
//!
//! A cursor names the *next* position wanted in every partition of every topic, so any node can resume from it,
//! whatever order that node saw the partitions in. It keeps 4-byte tags instead of names and epochs: it goes out
//! with every event.

mod text;

use std::cmp::Ordering;

use bytes::Bytes;

use crate::{EpochTag, Position, TopicTag};

pub use text::CursorError;

/// The next position wanted in every partition of every topic.
///
/// Within a topic that is named, a partition that is absent means offset 0; a topic that is absent means the
/// channel's default start. Comparable per topic, and only within one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Sorted by tag, no tag twice.
    topics: Vec<TopicCursor>,
}

/// The part of a cursor that is about one topic.
#[derive(Clone, Debug)]
pub struct TopicCursor {
    /// The topic.
    pub tag: TopicTag,
    /// The incarnation that the positions belong to.
    pub epoch: EpochTag,
    /// The positions.
    pub next: Next,
}

/// The positions of one topic.
#[derive(Clone, Debug)]
pub enum Next {
    /// The next offset of each partition.
    Offsets(Vec<u64>),
    /// Onwards after this id, for positions that are not numbers.
    After(Bytes),
}

impl Cursor {
    /// The topics, sorted by tag.
    pub fn topics(&self) -> &[TopicCursor] {
        &self.topics
    }

    /// Whether no topic is named.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The part about one topic.
    pub fn topic(&self, tag: TopicTag) -> Option<&TopicCursor> {
        self.find(tag).ok().map(|index| &self.topics[index])
    }

    /// The next offset of a partition of a topic that is named.
    pub fn next_offset(&self, tag: TopicTag, partition: u32) -> Option<u64> {
        self.topic(tag).map(|topic| topic.offset(partition))
    }

    /// Puts the part about one topic in place of what was there.
    pub fn set(&mut self, topic: TopicCursor) {
        match self.find(topic.tag) {
            Ok(index) => self.topics[index] = topic,
            Err(index) => self.topics.insert(index, topic),
        }
    }

    /// Takes a topic out.
    pub fn remove(&mut self, tag: TopicTag) -> Option<TopicCursor> {
        self.find(tag).ok().map(|index| self.topics.remove(index))
    }

    /// Moves to after a message at `position`. An offset never moves a partition back; another epoch than the
    /// topic's replaces the topic.
    pub fn advance(&mut self, tag: TopicTag, epoch: EpochTag, partition: u32, position: &Position) {
        match position {
            Position::Offset(offset) => self.raise(tag, epoch, partition, offset.saturating_add(1)),
            Position::Opaque(id) => {
                self.set(TopicCursor { tag, epoch, next: Next::After(id.as_bytes().clone()) })
            }
        }
    }

    /// Moves a partition to `next`, unless it is there or past it. Another epoch than the topic's replaces the
    /// topic.
    pub fn raise(&mut self, tag: TopicTag, epoch: EpochTag, partition: u32, next: u64) {
        let index = match self.find(tag) {
            Ok(index) => index,
            Err(index) => {
                self.topics.insert(index, TopicCursor { tag, epoch, next: Next::Offsets(Vec::new()) });
                index
            }
        };
        let topic = &mut self.topics[index];
        if topic.epoch != epoch {
            *topic = TopicCursor { tag, epoch, next: Next::Offsets(Vec::new()) };
        }
        if let Next::After(_) = topic.next {
            topic.next = Next::Offsets(Vec::new());
        }
        if let Next::Offsets(offsets) = &mut topic.next {
            let partition = partition as usize;
            if offsets.len() <= partition {
                offsets.resize(partition + 1, 0);
            }
            offsets[partition] = offsets[partition].max(next);
        }
    }

    /// The elementwise maximum: topics of the same epoch partition by partition. A topic that `other` has in
    /// another epoch, or that positions without an order, is taken from `other`.
    pub fn merge(&mut self, other: &Cursor) {
        for theirs in &other.topics {
            match self.find(theirs.tag) {
                Err(index) => self.topics.insert(index, theirs.clone()),
                Ok(index) => self.topics[index].merge(theirs),
            }
        }
    }

    /// Whether this one is at or past `other` in every partition of every topic that `other` names. Topics of
    /// different epochs, and ids without an order that differ, are not.
    pub fn dominates(&self, other: &Cursor) -> bool {
        other.topics.iter().all(|theirs| self.topic(theirs.tag).is_some_and(|ours| ours.dominates(theirs)))
    }

    fn find(&self, tag: TopicTag) -> Result<usize, usize> {
        self.topics.binary_search_by_key(&tag, |topic| topic.tag)
    }
}

impl PartialOrd for Cursor {
    /// `Equal`, `Less` or `Greater` where one dominates the other; `None` where neither does.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.dominates(other), other.dominates(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl FromIterator<TopicCursor> for Cursor {
    fn from_iter<I: IntoIterator<Item = TopicCursor>>(topics: I) -> Self {
        let mut cursor = Self::default();
        for topic in topics {
            cursor.set(topic);
        }
        cursor
    }
}

impl TopicCursor {
    /// The next offset of a partition; 0 if it is absent or has no number.
    pub fn offset(&self, partition: u32) -> u64 {
        self.offsets().get(partition as usize).copied().unwrap_or(0)
    }

    /// The next offset of each partition; empty where positions are not numbers.
    pub fn offsets(&self) -> &[u64] {
        match &self.next {
            Next::Offsets(offsets) => offsets,
            Next::After(_) => &[],
        }
    }

    /// Whether it goes on after this very id; never where positions are numbers.
    pub fn is_after(&self, id: &[u8]) -> bool {
        matches!(&self.next, Next::After(own) if own == id)
    }

    /// Whether both are after an id without an order and not after the same one, or only one of them is.
    pub fn is_elsewhere(&self, other: &Self) -> bool {
        match (&self.next, &other.next) {
            (Next::Offsets(_), Next::Offsets(_)) => false,
            (Next::After(own), _) => !other.is_after(own),
            (Next::Offsets(_), Next::After(_)) => true,
        }
    }

    fn dominates(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && match (&self.next, &other.next) {
                (Next::After(ours), Next::After(theirs)) => ours == theirs,
                (Next::Offsets(_), Next::Offsets(theirs)) => {
                    theirs.iter().zip(0..).all(|(next, partition)| self.offset(partition) >= *next)
                }
                _ => false,
            }
    }

    fn merge(&mut self, other: &Self) {
        match (&mut self.next, &other.next) {
            (Next::Offsets(ours), Next::Offsets(theirs)) if self.epoch == other.epoch => {
                if ours.len() < theirs.len() {
                    ours.resize(theirs.len(), 0);
                }
                for (ours, theirs) in ours.iter_mut().zip(theirs) {
                    *ours = (*ours).max(*theirs);
                }
            }
            _ => *self = other.clone(),
        }
    }
}

impl PartialEq for TopicCursor {
    /// An absent partition equals one at offset 0.
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag && self.dominates(other) && other.dominates(self)
    }
}

impl Eq for TopicCursor {}

impl std::hash::Hash for TopicCursor {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.tag, self.epoch).hash(state);
        match &self.next {
            Next::Offsets(offsets) => trimmed(offsets).hash(state),
            Next::After(id) => id.hash(state),
        }
    }
}

/// Without the zeros at the end, which say nothing.
fn trimmed(offsets: &[u64]) -> &[u64] {
    &offsets[..offsets.iter().rposition(|offset| *offset != 0).map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TopicTag = TopicTag(1);
    const E: EpochTag = EpochTag(10);

    fn at(offsets: &[u64]) -> Cursor {
        [TopicCursor { tag: T, epoch: E, next: Next::Offsets(offsets.to_vec()) }].into_iter().collect()
    }

    #[test]
    fn absent_partitions_are_at_zero() {
        assert_eq!(at(&[3, 0, 0]), at(&[3]));
        assert_eq!(at(&[3]).next_offset(T, 9), Some(0));
        assert_eq!(at(&[3]).next_offset(TopicTag(2), 0), None);
    }

    #[test]
    fn order_is_per_partition() {
        assert_eq!(at(&[3, 1]).partial_cmp(&at(&[2, 1])), Some(Ordering::Greater));
        assert_eq!(at(&[3, 1]).partial_cmp(&at(&[2, 2])), None);
        assert!(at(&[3]).dominates(&Cursor::default()));
        assert!(!Cursor::default().dominates(&at(&[])));
    }

    #[test]
    fn epochs_are_compared_first() {
        let mut newer = at(&[]);
        newer.raise(T, EpochTag(11), 0, 1);
        assert_eq!(newer.partial_cmp(&at(&[5])), None);
        let mut merged = at(&[5, 5]);
        merged.merge(&newer);
        assert_eq!(merged, newer, "the other epoch replaces the topic, offsets are not mixed");
    }

    #[test]
    fn merging_takes_the_elementwise_maximum() {
        let mut cursor = at(&[3, 1]);
        cursor.merge(&at(&[2, 2, 7]));
        assert_eq!(cursor, at(&[3, 2, 7]));
    }

    #[test]
    fn advancing_never_goes_back() {
        let mut cursor = at(&[5]);
        cursor.advance(T, E, 0, &Position::Offset(2));
        assert_eq!(cursor, at(&[5]));
        cursor.advance(T, E, 0, &Position::Offset(u64::MAX));
        assert_eq!(cursor, at(&[u64::MAX]));
    }
}
