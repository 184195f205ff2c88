//! What was given, and where: the tree that a file, the environment and flags become before anything is read from it.

use std::{fmt, sync::Arc};

use tidewater::plugin::expand;

use super::setting::quoted;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// A place in a file; lines and columns (of characters) count from 1.
    File { path: Arc<str>, line: usize, column: usize },
    /// An environment variable.
    Variable(String),
    /// A flag, with the channel that it is of.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) at: Origin,
    pub(crate) value: Value,
}

/// What can be given.
#[derive(Clone)]
pub(crate) enum Value {
    /// As it was written: `${NAME}` is still in it.
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Given>),
    Table(Table),
    /// What no setting takes, with its name: a float, a date.
    Other(&'static str),
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: Origin,
    pub(crate) what: String,
}

impl Given {
    pub(crate) fn text(at: Origin, text: impl Into<String>) -> Self {
        Self { at, value: Value::Text(text.into()) }
    }

    /// That it is wrong, and how.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> Wrong {
        Wrong { at: self.at.clone(), what: what.to_string() }
    }

    /// That something else is wanted here.
    pub(crate) fn not(&self, wanted: &str) -> Wrong {
        let given = match &self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(name) => name,
        };
        self.wrong(format_args!("it is {given}: write {wanted}"))
    }

    /// The text, with the environment variables that it names put in; a number is its digits.
    pub(crate) fn expanded(&self, wanted: &str) -> Result<String, Wrong> {
        match &self.value {
            Value::Text(text) => expand(text).map_err(|error| self.wrong(error)),
            Value::Integer(number) => Ok(number.to_string()),
            _ => Err(self.not(wanted)),
        }
    }

    /// What the text means. An error shows the text as it was written: what a variable held may be a secret.
    pub(crate) fn parsed<T>(
        &self,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Wrong> {
        let text = self.expanded(wanted)?;
        parse(&text).map_err(|why| match &self.value {
            Value::Text(written) => self.wrong(format_args!("{written:?}: {why}")),
            _ => self.wrong(format_args!("{text}: {why}")),
        })
    }

    /// As TOML writes it, if it names environment variables.
    pub(crate) fn with_variables(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) => text.contains("${").then(|| quoted(text)),
            Value::List(list) if list.iter().any(|given| given.with_variables().is_some()) => {
                let written = |given: &Self| match &given.value {
                    Value::Text(text) => quoted(text),
                    _ => "…".to_owned(),
                };
                Some(format!("[{}]", list.iter().map(written).collect::<Vec<_>>().join(", ")))
            }
            _ => None,
        }
    }

    /// Whether text stands for what it spells: flags and variables have nothing else, and a file's `"${NAME}"` neither.
    pub(crate) fn is_loose(&self) -> bool {
        match (&self.at, &self.value) {
            (Origin::Variable(_) | Origin::Flag(_), _) => true,
            (_, Value::Text(text)) => text.contains("${"),
            _ => false,
        }
    }
}

impl fmt::Debug for Given {
    /// Not the value: it may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Given({})", self.at)
    }
}

/// Keys and their values, in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Entry>);

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) at: Origin,
    pub(crate) given: Given,
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| entry.key.as_str())
    }

    /// Puts a value at the end of this path, over one that is there. Tables on the way are made.
    pub(crate) fn set(&mut self, path: &[&str], given: Given) {
        let Some((key, rest)) = path.split_first() else { return };
        let at = given.at.clone();
        let index = self.0.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
            let given = Given { at: at.clone(), value: Value::Table(Self::default()) };
            self.0.push(Entry { key: (*key).to_owned(), at: at.clone(), given });
            self.0.len() - 1
        });
        let entry = &mut self.0[index];
        if rest.is_empty() {
            (entry.at, entry.given) = (at, given);
            return;
        }
        if !matches!(entry.given.value, Value::Table(_)) {
            entry.given = Given { at, value: Value::Table(Self::default()) };
        }
        if let Value::Table(table) = &mut entry.given.value {
            table.set(rest, given);
        }
    }

    /// Lays another over this one: its values win, and tables are laid over each other.
    pub(crate) fn lay_over(&mut self, over: Self) {
        for entry in over.0 {
            let Some(own) = self.0.iter_mut().find(|own| own.key == entry.key) else {
                self.0.push(entry);
                continue;
            };
            match (&mut own.given.value, entry.given.value) {
                (Value::Table(own), Value::Table(over)) => own.lay_over(over),
                (_, value) => {
                    own.at = entry.at;
                    own.given = Given { at: entry.given.at, value };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(text: &str) -> Given {
        Given::text(Origin::Flag("--flag".to_owned()), text)
    }

    #[test]
    fn what_is_laid_over_wins_and_leaves_the_rest() {
        let mut below = Table::default();
        below.set(&["server", "listen"], Given::text(Origin::Default, "a"));
        below.set(&["server", "server"], Given::text(Origin::Default, "b"));
        let mut over = Table::default();
        over.set(&["server", "listen"], flag("c"));
        over.set(&["channels", "x", "source"], flag("d"));
        below.lay_over(over);
        let at = |path: [&str; 2]| match &below.get(path[0]).unwrap().given.value {
            Value::Table(table) => table.get(path[1]).unwrap().given.clone(),
            _ => panic!("no table"),
        };
        assert_eq!(at(["server", "listen"]).expanded("").unwrap(), "c");
        assert_eq!(at(["server", "listen"]).at.to_string(), "--flag");
        assert_eq!(at(["server", "server"]).expanded("").unwrap(), "b");
        assert!(matches!(at(["channels", "x"]).value, Value::Table(_)));
    }

    #[test]
    fn nothing_of_a_value_is_in_its_debug_and_nothing_of_a_variable_in_an_error() {
        assert!(!format!("{:?}", flag("hunter2")).contains("hunter2"));
        let given = flag("${PATH}");
        let error = given.parsed("", |_| Err::<(), _>("no".to_owned())).unwrap_err();
        assert_eq!(error.what, "\"${PATH}\": no");
    }
}
