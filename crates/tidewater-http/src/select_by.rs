//! What clients of an endpoint may select by.

use std::{fmt, str::FromStr};

/// One thing that a client may select by.
///
/// ```
/// use tidewater_http::SelectBy;
///
/// assert_eq!("topic".parse(), Ok(SelectBy::Topic));
/// assert_eq!(SelectBy::Tag.to_string(), "tag");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SelectBy {
    /// `?topic=`
    Topic,
    /// `?key=`
    Key,
    /// `?tag=`
    Tag,
    /// `?event=`
    Event,
}

impl SelectBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Topic, Self::Key, Self::Tag, Self::Event];

    /// The name of its parameter: `topic`, `key`, `tag`, `event`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Key => "key",
            Self::Tag => "tag",
            Self::Event => "event",
        }
    }
}

impl fmt::Display for SelectBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SelectBy {
    type Err = UnknownSelectBy;

    fn from_str(text: &str) -> Result<Self, UnknownSelectBy> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or(UnknownSelectBy)
    }
}

/// A word that is no [`SelectBy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSelectBy;

impl fmt::Display for UnknownSelectBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = SelectBy::ALL.map(SelectBy::as_str).join(", ");
        write!(f, "nobody can select by that (there are: {all})")
    }
}

impl std::error::Error for UnknownSelectBy {}
