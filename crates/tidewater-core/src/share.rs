//! What tells whether two sources are the same.

use std::{fmt, sync::Arc};

/// What tells whether two sources are one and the same for whoever reads them: the same topics, at the same broker,
/// with the same credentials and settings. See [`Source::share_key`](crate::Source::share_key).
///
/// It is made of everything that makes a source what it is, secrets among it, and compared in full: a source that
/// only resembles another never gets its messages. So it can't be read, and its `Debug` shows nothing of it.
///
/// ```
/// use tidewater_core::ShareKey;
///
/// let key = |password: &str| ShareKey::new("kafka", ["a:9092,b:9092", "orders", "alice", password]);
/// assert_eq!(key("secret"), key("secret"));
/// assert_ne!(key("secret"), key("other"));
/// assert_ne!(ShareKey::new("kafka", ["ab", "c"]), ShareKey::new("kafka", ["a", "bc"]));
/// assert_eq!(format!("{:?}", key("secret")), "ShareKey(..)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ShareKey(Arc<[u8]>);

impl ShareKey {
    /// A key of the kind of source and its parts. Their order counts: sort what has none, as topics or properties.
    ///
    /// What can't be compared (a function that hands out tokens) has no place in it: give each such source a part of
    /// its own, as a number that is counted up, or no key.
    pub fn new(kind: &str, parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut key = Vec::new();
        let mut add = |part: &[u8]| {
            key.extend_from_slice(&(part.len() as u64).to_be_bytes());
            key.extend_from_slice(part);
        };
        add(kind.as_bytes());
        for part in parts {
            add(part.as_ref());
        }
        Self(key.into())
    }

    /// The key of all of these together, in whatever order they come.
    pub(crate) fn of_all(mut keys: Vec<Self>) -> Self {
        keys.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Self::new("combined", keys.iter().map(|key| &key.0))
    }
}

impl fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareKey(..)")
    }
}
