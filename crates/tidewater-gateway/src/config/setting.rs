//! One setting: how its text is read, and how it is shown.

use std::{num::NonZeroUsize, time::Duration};

use super::given::{Given, Value, Wrong};

/// A value that a key can have.
pub(crate) trait Setting: Sized {
    /// Whether [`show`](Self::show) leaves secrets out itself, so that nothing else is shown for it.
    const REDACTED: bool = false;

    /// Reads it; errors say what to write instead.
    fn read(given: &Given) -> Result<Self, Vec<Wrong>>;

    /// As TOML writes it, without anything secret.
    fn show(&self) -> String;
}

impl Setting for bool {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        match &given.value {
            Value::Boolean(value) => Ok(*value),
            Value::Text(_) if given.is_loose() => Ok(given.parsed("true or false", |text| {
                text.parse().map_err(|_| "it is neither true nor false".to_owned())
            })?),
            _ => Err(vec![given.not("true or false")]),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        const WANTED: &str = "a whole number";
        if matches!(given.value, Value::Text(_)) && !given.is_loose() {
            return Err(vec![given.not("a whole number, without quotes")]);
        }
        let parse = |text: &str| text.parse().map_err(|_| format!("it is not {WANTED} from 0 on"));
        Ok(given.parsed(WANTED, parse)?)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for NonZeroUsize {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Self::new(usize::read(given)?).ok_or_else(|| vec![given.wrong("0: it has to be 1 at least")])
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.expanded("a text")?)
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

/// Seconds, or a number with its unit.
impl Setting for Duration {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("a duration, such as \"10s\"", duration)?)
    }

    fn show(&self) -> String {
        quoted(&humantime::format_duration(*self).to_string())
    }
}

/// A number of bytes, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl Setting for Size {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| {
            size(text).filter(|bytes| *bytes > 0).ok_or_else(|| {
                "it is not a size: write a number of bytes from 1 on, or one with a unit such as 64KiB, 1MiB, 2GiB"
                    .to_owned()
            })
        };
        Ok(Self(given.parsed("a size, such as \"1MiB\"", parse)?))
    }

    fn show(&self) -> String {
        let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
            .into_iter()
            .find(|(_, shift)| self.0 > 0 && self.0.is_multiple_of(1 << shift));
        unit.map_or_else(|| self.0.to_string(), |(unit, shift)| quoted(&format!("{}{unit}", self.0 >> shift)))
    }
}

/// A list; one value is a list of one.
impl<T: Setting> Setting for Vec<T> {
    const REDACTED: bool = T::REDACTED;

    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let Value::List(list) = &given.value else { return Ok(vec![T::read(given)?]) };
        let (mut values, mut wrongs) = (Vec::new(), Vec::new());
        for given in list {
            match T::read(given) {
                Ok(value) => values.push(value),
                Err(wrong) => wrongs.extend(wrong),
            }
        }
        if wrongs.is_empty() { Ok(values) } else { Err(wrongs) }
    }

    fn show(&self) -> String {
        match self.as_slice() {
            [one] => one.show(),
            all => format!("[{}]", all.iter().map(Setting::show).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// For `?` on a text.
impl From<Wrong> for Vec<Wrong> {
    fn from(wrong: Wrong) -> Self {
        vec![wrong]
    }
}

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Seconds, or a number with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    seconds.or_else(|| humantime::parse_duration(text).ok()).ok_or_else(|| {
        "it is not a duration: write seconds, or a number with a unit such as 500ms, 10s, 1m".into()
    })
}

/// A number of bytes, with or without a unit.
pub(crate) fn size(text: &str) -> Option<usize> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let with_unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = with_unit.unwrap_or((text, 0));
    number.trim().parse::<usize>().ok()?.checked_mul(1 << shift)
}
