//! What is never shown.

use std::fmt;

use super::super::{
    given::{Given, Wrong},
    reader::Reader,
    setting::{Setting, quoted},
};

/// Larger than any key or set of keys.
const MOST_BYTES: u64 = 1 << 20;

/// A text that nobody sees.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl Setting for Secret {
    const REDACTED: bool = true;

    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(Self(given.expanded("a text, such as \"${JWT_SECRET}\"")?))
    }

    fn show(&self) -> String {
        quoted("…")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the file that a key names holds.
pub(super) fn file(table: &mut Reader<'_>, key: &'static str) -> Option<Secret> {
    let path: String = table.find(key)?;
    let read = || {
        let length = std::fs::metadata(&path)?.len();
        if length > MOST_BYTES {
            let what = format!("it has {length} bytes, {MOST_BYTES} at most");
            return Err(std::io::Error::other(what));
        }
        std::fs::read_to_string(&path)
    };
    match read() {
        Ok(text) => Some(Secret(text)),
        Err(error) => {
            table.refuse(key, format_args!("the file can't be read: {error}"));
            None
        }
    }
}
