//! What tells one incarnation of a topic from the next.

use std::fmt;

use crate::topic::hash;

/// One incarnation of a topic: a Kafka topic id, a JetStream stream's creation time, a random number for a log
/// that lives in one process. Offsets of two epochs have nothing to do with each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epoch(pub u128);

impl Epoch {
    /// An epoch that nothing had before: for logs that begin and end with this process.
    pub fn random() -> Self {
        Self(fastrand::u128(..))
    }

    /// What stands for this epoch in a cursor.
    pub fn tag(self) -> EpochTag {
        EpochTag(hash(&[&self.0.to_be_bytes()]))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// A 4-byte hash of an [`Epoch`]: what a [`Cursor`](crate::Cursor) keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EpochTag(pub u32);

impl fmt::Display for EpochTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for EpochTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochTag({self})")
    }
}
