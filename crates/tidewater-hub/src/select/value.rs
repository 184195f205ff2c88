//! Keys and tags by pattern.

use tidewater_core::{Error, ErrorKind, Result};

/// Keys or tags that somebody may want: one value, or all that begin alike.
///
/// ```
/// use tidewater_hub::{Pattern, Select};
///
/// let own = Pattern::parse("user.ada.*")?;
/// assert!(own.matches(b"user.ada.inbox") && !own.matches(b"user.adam"));
/// let select = Select::keys_like([own, Pattern::exact("public")]);
/// # Ok::<(), tidewater_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: Box<str>,
    whole: bool,
}

/// What the end of a pattern that is not a whole value looks like.
const REST: char = '*';

impl Pattern {
    /// This value and no other, whatever stands in it.
    pub fn exact(value: impl Into<Box<str>>) -> Self {
        Self { text: value.into(), whole: true }
    }

    /// Every value that begins so, whatever stands in it; all of them, if it is empty.
    pub fn prefix(beginning: impl Into<Box<str>>) -> Self {
        Self { text: beginning.into(), whole: false }
    }

    /// Reads one: a `*` at the end stands for any rest, also an empty one; without it the text is the value.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an empty text, or a `*` before the end.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            let how = "give a value, or a beginning with \"*\" behind it: user.7, user.*";
            Err(Error::new(ErrorKind::Config, format!("the pattern {text:?}: {what}: {how}")))
        };
        let (text, whole) = match text.strip_suffix(REST) {
            Some(beginning) => (beginning, false),
            None => (text, true),
        };
        match text {
            "" if whole => wrong("it is empty"),
            text if text.contains(REST) => wrong("\"*\" stands before the end"),
            text => Ok(Self { text: text.into(), whole }),
        }
    }

    /// Whether it is one value.
    pub fn is_exact(&self) -> bool {
        self.whole
    }

    /// Whether a value fits it.
    pub fn matches(&self, value: &[u8]) -> bool {
        if self.whole { value == self.text.as_bytes() } else { value.starts_with(self.text.as_bytes()) }
    }

    /// The value, or how it begins.
    pub(crate) fn into_text(self) -> String {
        self.text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_value_or_a_beginning() {
        for (text, fits, fits_not) in [
            ("a", &["a"][..], &["", "ab", "A"][..]),
            ("a.*", &["a.", "a.b", "a.b.c"], &["a", "b.a."]),
            ("*", &["", "a"], &[]),
            ("a>", &["a>"], &["ab"]),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            for value in fits {
                assert!(pattern.matches(value.as_bytes()), "{text} and {value}");
            }
            for value in fits_not {
                assert!(!pattern.matches(value.as_bytes()), "{text} and not {value}");
            }
        }
        for text in ["", "*a", "a*b", "**", "a.*.*"] {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("user.*"), "{error}");
        }
    }

    #[test]
    fn what_is_no_text_of_a_pattern_is_taken_as_it_is() {
        assert!(Pattern::exact("*").matches(b"*") && !Pattern::exact("*").matches(b"a"));
        assert!(Pattern::prefix("*").matches(b"*a") && !Pattern::prefix("*").matches(b"a"));
    }
}
