//! Names of topics, and the short tags that stand for them in cursors.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

/// The name of a topic: a Kafka topic, a NATS subject, a JetStream stream. Cloning copies no text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// A name of exactly this text.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for TopicName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TopicName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for TopicName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// What stands for a topic in a [`Cursor`](crate::Cursor): a 4-byte hash of the kind of source and the topic's
/// name. The same topic has the same tag on every node and in every version of this crate.
///
/// Two topics of one channel whose tags collide are refused when the channel is opened
/// ([`Bounds::check`](crate::Bounds::check)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicTag(pub u32);

impl TopicTag {
    /// The tag of `topic` at sources of `kind` (`"kafka"`, `"jetstream"`, `"memory"`, …).
    pub fn of(kind: &str, topic: &str) -> Self {
        Self(hash(&[kind.as_bytes(), topic.as_bytes()]))
    }
}

impl fmt::Display for TopicTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for TopicTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicTag({self})")
    }
}

/// FNV-1a of 64 bits, each part ended by a byte that UTF-8 never has, folded to 32 bits. Ids that are out in
/// browsers depend on it, so it never changes; it has to spread names, not to resist an attacker.
pub(crate) fn hash(parts: &[&[u8]]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    (hash >> 32) as u32 ^ hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_stable_because_ids_in_browsers_hold_them() {
        assert_eq!(TopicTag::of("kafka", "orders").to_string(), "95a68d38");
        assert_ne!(TopicTag::of("kafka", "orders"), TopicTag::of("jetstream", "orders"));
        assert_ne!(TopicTag::of("kafka", "orders"), TopicTag::of("kafkao", "rders"));
    }
}
