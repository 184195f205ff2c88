//! [`EventName`] and [`EventId`]: texts that are known to fit one line of the stream.
//!
//! Both are parsed once, at the edge, and are cheap to clone: text that came in at run time is shared,
//! text of the program itself is borrowed for ever.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::error::{EncodeError, Field};

/// The type of an event: what a page passes to `addEventListener`.
///
/// Any UTF-8 text but the empty one and one that holds CR, LF or NUL. Case, spaces and dots are kept.
///
/// ```
/// use tidewater_core::sse::EventName;
///
/// let name: EventName = "order.created".parse()?;
/// assert_eq!(name.as_str(), "order.created");
/// assert!("order\ndata: forged".parse::<EventName>().is_err());
/// # Ok::<(), tidewater_core::sse::EncodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName(Text);

impl EventName {
    /// `message`: the type of an event that names none. The encoder leaves it out of the wire.
    pub const MESSAGE: Self = Self(Text::Static("message"));

    /// Checks a name.
    ///
    /// # Errors
    /// The empty name, and one that holds CR, LF or NUL.
    pub fn new(name: &str) -> Result<Self, EncodeError> {
        if name.is_empty() {
            return Err(EncodeError::Empty { field: Field::EventName });
        }
        check_line(Field::EventName, name)?;
        Ok(Self(Text::Shared(name.into())))
    }

    /// A name that the program itself states; costs nothing to make or clone.
    ///
    /// # Panics
    /// If the name is one that [`EventName::new`] refuses: in a `const`, that is an error of the compiler.
    pub const fn from_static(name: &'static str) -> Self {
        assert!(!name.is_empty(), "an event name must not be empty");
        assert!(is_one_line(name.as_bytes()), "an event name must not hold CR, LF or NUL");
        Self(Text::Static(name))
    }
}

/// The id of an event: what the client sends back as `Last-Event-ID`.
///
/// Any UTF-8 text that holds no CR, LF or NUL. The empty id is valid: it makes the client forget the last one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Text);

impl EventId {
    /// Checks an id.
    ///
    /// # Errors
    /// An id that holds CR, LF or NUL. (Chromium ignores an id with a NUL, Firefox drops the whole event.)
    pub fn new(id: &str) -> Result<Self, EncodeError> {
        check_line(Field::EventId, id)?;
        Ok(Self(Text::Shared(id.into())))
    }

    /// An id that the program itself states.
    ///
    /// # Panics
    /// If the id is one that [`EventId::new`] refuses: in a `const`, that is an error of the compiler.
    pub const fn from_static(id: &'static str) -> Self {
        assert!(is_one_line(id.as_bytes()), "an event id must not hold CR, LF or NUL");
        Self(Text::Static(id))
    }
}

/// Finds the first byte that would break out of a field's line.
pub(super) fn check_line(field: Field, text: &str) -> Result<(), EncodeError> {
    let bytes = text.as_bytes();
    match memchr::memchr3(b'\r', b'\n', 0, bytes) {
        None => Ok(()),
        Some(at) => Err(EncodeError::ForbiddenByte { field, byte: bytes[at], at }),
    }
}

/// [`check_line`] for constants, where `memchr` cannot run.
const fn is_one_line(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if matches!(bytes[at], b'\r' | b'\n' | 0) {
            return false;
        }
        at += 1;
    }
    true
}

/// Text that is cheap to clone; equal, ordered and hashed as the `str` it stands for.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

macro_rules! text_traits {
    ($type:ident) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        // Sound because equality and hash are those of the text: maps keyed by it answer to a `&str`.
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl FromStr for $type {
            type Err = EncodeError;

            fn from_str(text: &str) -> Result<Self, EncodeError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = EncodeError;

            fn try_from(text: &str) -> Result<Self, EncodeError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = EncodeError;

            fn try_from(text: String) -> Result<Self, EncodeError> {
                Self::new(&text)
            }
        }
    };
}

text_traits!(EventName);
text_traits!(EventId);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_name_must_be_one_line_of_something() {
        assert_eq!(EventName::new(""), Err(EncodeError::Empty { field: Field::EventName }));
        for (text, byte, at) in [("a\rb", b'\r', 1), ("ab\n", b'\n', 2), ("\0", 0, 0), ("é\r\n", b'\r', 2)] {
            let refused = EncodeError::ForbiddenByte { field: Field::EventName, byte, at };
            assert_eq!(EventName::new(text), Err(refused), "{text:?}");
        }
        for text in [" ", " x ", "a:b", "täg", "message", "error", "tidewater.cursor", "\u{feff}", "\u{2028}"]
        {
            assert_eq!(EventName::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_id_may_be_empty_but_must_be_one_line() {
        assert_eq!(EventId::new("").unwrap().as_str(), "");
        for text in ["1\n", "\r1", "a\0b"] {
            assert!(EventId::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn static_and_shared_text_are_the_same_key() {
        const CURSOR: EventName = EventName::from_static("tidewater.cursor");
        let parsed: EventName = "tidewater.cursor".parse().unwrap();
        assert_eq!(CURSOR, parsed);
        let map = HashMap::from([(CURSOR, 1)]);
        assert_eq!(map.get(&parsed), Some(&1));
        assert_eq!(map.get("tidewater.cursor"), Some(&1));
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_to_do() {
        let error = EventName::new("a\nb").unwrap_err().to_string();
        assert_eq!(
            error,
            "the event name holds a line feed at byte 1: it must fit one line of the stream, so remove it or send that text as data"
        );
    }
}
