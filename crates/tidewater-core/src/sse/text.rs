//! [`Utf8Bytes`]: text that shares the bytes it came in.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

/// UTF-8 text over [`Bytes`]: a slice of the chunk it came in, or bytes of its own. Cloning copies no text.
///
/// Reads as a `str`. A slice keeps the whole chunk alive: who keeps few of many texts for long takes a
/// [`compact`](Utf8Bytes::compact) copy, or a `String`.
///
/// ```
/// use bytes::Bytes;
/// use tidewater_core::sse::Utf8Bytes;
///
/// let text = Utf8Bytes::try_from(Bytes::from_static(b"12.50"))?;
/// assert_eq!(text, "12.50");
/// assert_eq!(text.parse::<f64>()?, 12.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Utf8Bytes(Text);

/// A text of the program itself is told apart, because most events have one or two: their clones and drops are the
/// better part of what a small event costs.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(ByteString),
}

impl Utf8Bytes {
    /// The empty text.
    pub const fn new() -> Self {
        Self::from_static("")
    }

    /// Text of the program itself; costs nothing to make or clone.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Text::Static(text))
    }

    /// A copy in bytes of its own.
    pub fn copy_from_str(text: &str) -> Self {
        if text.is_empty() { Self::new() } else { Self(Text::Shared(ByteString::from(text))) }
    }

    /// A copy that shares nothing, so that the chunk it was cut from can go.
    #[must_use]
    pub fn compact(&self) -> Self {
        Self::copy_from_str(self)
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// The bytes, shared.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Text::Static(text) => Bytes::from_static(text.as_bytes()),
            Text::Shared(text) => text.into_bytes(),
        }
    }

    /// A part of it, which shares its bytes, unless they are the program's own: those are copied.
    ///
    /// # Panics
    /// If `part` is not a slice of this very text.
    #[inline(always)]
    pub(super) fn share(&self, part: &str) -> Self {
        match &self.0 {
            Text::Shared(text) if !part.is_empty() => Self(Text::Shared(text.slice_ref(part))),
            _ => Self::copy_from_str(part),
        }
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Default for Utf8Bytes {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Utf8Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Utf8Bytes {}

impl PartialOrd for Utf8Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Utf8Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other)
    }
}

impl Hash for Utf8Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Utf8Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

// Sound because equality, order and hash are those of the text: maps keyed by it answer to a `&str`.
impl Borrow<str> for Utf8Bytes {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Utf8Bytes {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(Text::Shared(text.into()))
    }
}

/// Copies the text: [`Utf8Bytes::from_static`] does not.
impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self::copy_from_str(text)
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        ByteString::try_from(bytes).map(|text| Self(Text::Shared(text)))
    }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.into_bytes()
    }
}

impl From<Utf8Bytes> for String {
    fn from(text: Utf8Bytes) -> Self {
        match text.0 {
            Text::Static(text) => text.to_owned(),
            Text::Shared(text) => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_part_shares_and_a_compact_copy_does_not() {
        let text = Utf8Bytes::from("a long enough text".to_owned());
        let part = text.share(&text[2..6]);
        assert_eq!(part, "long");
        assert_eq!(part.as_ptr(), text[2..].as_ptr());
        assert_ne!(part.compact().as_ptr(), part.as_ptr());
        assert_eq!(part.compact(), part);
    }

    #[test]
    fn it_is_the_text_it_holds() {
        let text = Utf8Bytes::from_static("täg");
        assert_eq!((format!("{text:?}"), format!("{text:>5}")), ("\"täg\"".into(), "  täg".into()));
        assert_eq!(HashMap::from([(text.clone(), 1)]).get("täg"), Some(&1));
        assert_eq!(String::from(text.clone()), "täg");
        assert_eq!(Bytes::from(text), "täg".as_bytes());
        assert!(Utf8Bytes::try_from(Bytes::from_static(b"\xff")).is_err());
    }
}
