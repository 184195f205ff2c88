//! Reads settings out of a table: what is not asked for is unknown, and all that is wrong is told at once.
//!
//! A table of settings is a function of a [`Reader`] to a value of the library. The names that it asks for are the
//! names that there are, with their defaults; so errors, `check --show` and the test of the sample know them too.
//!
//! ```ignore
//! fn read(table: &mut Reader<'_>) -> LogBounds {
//!     let default = LogBounds::default();
//!     LogBounds { events: table.get("events", default.events), age: table.get("age", default.age), .. }
//! }
//! ```

use std::{cell::RefCell, fmt, time::Duration};

use super::{
    given::{Entry, Given, Origin, Table, Value, Wrong},
    nearest::nearest,
    setting::Setting,
};

/// One thing that is wrong: `FILE:LINE:COLUMN: key: what is wrong, what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    at: Origin,
    key: String,
    what: String,
}

impl Finding {
    pub(crate) fn new(key: impl Into<String>, wrong: Wrong) -> Self {
        Self { at: wrong.at, key: key.into(), what: wrong.what }
    }

    /// Where it is, for the order in which findings are told: by line.
    fn place(&self) -> (usize, usize) {
        match &self.at {
            Origin::File { line, column, .. } => (*line, *column),
            _ => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.at, self.key.as_str()) {
            // A variable or a flag names the key already.
            (Origin::Variable(_) | Origin::Flag(_), _) | (_, "") => write!(f, "{}: {}", self.at, self.what),
            (Origin::Default, key) => write!(f, "{key}: {}", self.what),
            (at, key) => write!(f, "{at}: {key}: {}", self.what),
        }
    }
}

/// One setting as it is in force, as TOML without its secrets.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) table: String,
    pub(crate) key: &'static str,
    /// `None`: not set, and nothing stands for it.
    pub(crate) value: Option<String>,
    pub(crate) at: Origin,
}

/// What reading has brought to light.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    shown: RefCell<Vec<Shown>>,
}

impl Report {
    /// All that is wrong, and all that may be meant otherwise, by line; and every setting that there is.
    pub(crate) fn into_parts(self) -> (Vec<Finding>, Vec<Finding>, Vec<Shown>) {
        let (mut findings, mut warnings) = (self.findings.into_inner(), self.warnings.into_inner());
        findings.sort_by_key(Finding::place);
        warnings.sort_by_key(Finding::place);
        (findings, warnings, self.shown.into_inner())
    }
}

/// Reads one table. See the module's text.
pub(crate) struct Reader<'a> {
    /// `channels.orders`; empty for the whole.
    path: String,
    /// Where the table is.
    at: Origin,
    table: Option<&'a Table>,
    asked: Vec<&'static str>,
    report: &'a Report,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table, report: &'a Report) -> Self {
        Self { path: String::new(), at: Origin::Default, table: Some(table), asked: Vec::new(), report }
    }

    /// The setting of this name, or its default.
    pub(crate) fn get<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        let value = self.read(key).unwrap_or(default);
        self.show(key, Some(&value));
        value
    }

    /// A duration that has bounds.
    pub(crate) fn within(
        &mut self,
        key: &'static str,
        default: Duration,
        least: Duration,
        most: Duration,
    ) -> Duration {
        let given = self.get(key, default);
        if given < least || given > most {
            let (bound, which) = if given < least { (least, "at least") } else { (most, "at most") };
            self.refuse(key, format_args!("it has to be {which} {}", humantime::format_duration(bound)));
            return default;
        }
        given
    }

    /// The setting of this name, if it is set.
    pub(crate) fn find<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let value = self.read(key);
        self.show(key, value.as_ref());
        value
    }

    /// The table of this name, empty if it is not there.
    pub(crate) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'a>) -> T) -> T {
        self.asked.push(key);
        let found = self.entry(key);
        let table = found.and_then(|entry| self.as_table(entry));
        let mut reader = self.below(key, found, table);
        let value = read(&mut reader);
        reader.finish();
        value
    }

    /// The tables in the table of this name, each by a name of its own, in their order.
    pub(crate) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Reader<'a>) -> Option<T>,
    ) -> Vec<T> {
        self.asked.push(key);
        let table = self.entry(key).and_then(|entry| self.as_table(entry));
        let outer = self.below(key, self.entry(key), table);
        let entries = table.map(|table| table.0.iter()).unwrap_or_default();
        let one = |entry: &'a Entry| {
            let table = outer.as_table(entry)?;
            let mut reader = outer.below(&entry.key, Some(entry), Some(table));
            let value = read(&entry.key, &mut reader);
            reader.finish();
            value
        };
        entries.filter_map(one).collect()
    }

    /// The table of this name, if it is there.
    #[cfg(feature = "authorization")]
    pub(crate) fn table_if<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(key);
        if self.has(key) { self.table(key, read) } else { None }
    }

    /// The tables in the list of this name (`[[rules]]`), in their order. One table is a list of one.
    #[cfg(feature = "authorization")]
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Reader<'a>) -> Option<T>,
    ) -> Vec<T> {
        self.asked.push(key);
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let all = match &entry.given.value {
            Value::List(all) => all.as_slice(),
            _ => std::slice::from_ref(&entry.given),
        };
        let one = |(index, given): (usize, &'a Given)| {
            let path = format!("{}[{index}]", self.join(key));
            let Value::Table(table) = &given.value else {
                self.tell(key, given.not(&format!("tables: [[{}]]", self.join(key))));
                return None;
            };
            let mut reader = Self {
                path,
                at: given.at.clone(),
                table: Some(table),
                asked: Vec::new(),
                report: self.report,
            };
            let value = read(&mut reader);
            reader.finish();
            value
        };
        all.iter().enumerate().filter_map(one).collect()
    }

    /// The names of the tables in the table of this name.
    pub(crate) fn names(&self, key: &str) -> Vec<&'a str> {
        match self.entry(key).map(|entry| &entry.given.value) {
            Some(Value::Table(table)) => table.keys().collect(),
            _ => Vec::new(),
        }
    }

    /// Leaves the rest of the table unread.
    #[cfg(not(feature = "authorization"))]
    pub(crate) fn leave(&mut self) {
        self.table = None;
    }

    /// Whether this table is there at all.
    pub(crate) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether this key is a table rather than a value, for settings that can be either.
    pub(crate) fn is_table(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(entry.given.value, Value::Table(_)))
    }

    /// Whether this key is set, to whatever.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Where the value of this key is, or the table where it is not set.
    pub(crate) fn at(&self, key: &str) -> Origin {
        self.entry(key).map_or_else(|| self.at.clone(), |entry| entry.given.at.clone())
    }

    /// Says what is wrong with a key beyond its own value, or with the whole table if the key is empty.
    pub(crate) fn refuse(&self, key: &str, what: impl fmt::Display) {
        self.tell(key, Wrong { at: self.at(key), what: what.to_string() });
    }

    /// The same with an error that shows the value: if that names variables, it is shown as it was written.
    #[cfg(feature = "authorization")]
    pub(crate) fn refuse_text(&self, key: &str, what: impl fmt::Display) {
        match self.entry(key).and_then(|entry| entry.given.with_variables()) {
            Some(written) => {
                self.refuse(key, format_args!("{written}: with its variables put in this is wrong"))
            }
            None => self.refuse(key, what),
        }
    }

    /// Says what is not wrong, but may be meant otherwise.
    #[cfg(feature = "authorization")]
    pub(crate) fn warn(&self, key: &str, what: impl fmt::Display) {
        let wrong = Wrong { at: self.at(key), what: what.to_string() };
        self.report.warnings.borrow_mut().push(Finding::new(self.join(key), wrong));
    }

    fn read<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.asked.push(key);
        match T::read(&self.entry(key)?.given) {
            Ok(value) => Some(value),
            Err(wrongs) => {
                wrongs.into_iter().for_each(|wrong| self.tell(key, wrong));
                None
            }
        }
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.table?.get(key)
    }

    fn as_table(&self, entry: &'a Entry) -> Option<&'a Table> {
        if let Value::Table(table) = &entry.given.value {
            return Some(table);
        }
        let path = self.join(&entry.key);
        self.tell(&entry.key, entry.given.not(&format!("a table: [{path}]")));
        None
    }

    fn below(&self, key: &str, entry: Option<&Entry>, table: Option<&'a Table>) -> Self {
        let at = entry.map_or_else(|| self.at.clone(), |entry| entry.at.clone());
        Self { path: self.join(key), at, table, asked: Vec::new(), report: self.report }
    }

    /// Tells of every key that nobody asked for.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for entry in table.0.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, self.asked.iter().copied()) {
                Some(name) => format!("did you mean {name:?}?"),
                None => format!("there are: {}", self.asked.join(", ")),
            };
            let what = format!("there is no such key; {hint}");
            self.tell(&entry.key, Wrong { at: entry.at.clone(), what });
        }
    }

    fn tell(&self, key: &str, wrong: Wrong) {
        self.report.findings.borrow_mut().push(Finding::new(self.join(key), wrong));
    }

    fn show<T: Setting>(&self, key: &'static str, value: Option<&T>) {
        let given = self.entry(key).map(|entry| &entry.given);
        let at = given.map_or(Origin::Default, |given| given.at.clone());
        let value = value.map(|value| {
            // What a variable holds may be a secret: what was written names it.
            given.filter(|_| !T::REDACTED).and_then(Given::with_variables).unwrap_or_else(|| value.show())
        });
        let table = self.path.clone();
        self.report.shown.borrow_mut().push(Shown { table, key, value, at });
    }

    /// A key as it has to be written in TOML.
    fn join(&self, key: &str) -> String {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if key.is_empty() {
            return self.path.clone();
        }
        let key = if key.bytes().all(bare) { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}
