//! A file: TOML, in which every key and every value knows its line.

use std::{borrow::Cow, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    given::{Entry, Given, Origin, Table, Value, Wrong},
    reader::Finding,
};

/// Larger than any configuration; a wrong path is not read into memory whole.
const MAX_BYTES: u64 = 16 << 20;

/// What a file says, or all that is wrong with how it is written.
pub(super) fn read(path: &Path) -> Result<Table, Vec<Finding>> {
    let name: Arc<str> = path.display().to_string().into();
    let unreadable = |why: &dyn std::fmt::Display| unreadable(&name, why);
    let length = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if length > MAX_BYTES {
        return Err(unreadable(&format_args!("it has {length} bytes, {MAX_BYTES} at most")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    parse(&name, &text)
}

/// The same once more. A pipe can't be: nobody may write to it any more, and whoever waits for that, waits for ever.
///
/// # Errors
/// As [`read`], and for what is no regular file.
#[cfg(unix)]
pub(super) fn read_again(path: &Path) -> Result<Table, Vec<Finding>> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let why = "it is no regular file, and can't be read twice";
        return Err(unreadable(&path.display().to_string().into(), &why));
    }
    read(path)
}

fn unreadable(name: &Arc<str>, why: &dyn std::fmt::Display) -> Vec<Finding> {
    let at = Origin::File { path: name.clone(), line: 1, column: 1 };
    vec![Finding::new("", Wrong { at, what: format!("the file can't be read: {why}") })]
}

/// What a text says that is called `name`.
pub(super) fn parse(name: &Arc<str>, text: &str) -> Result<Table, Vec<Finding>> {
    let lines = Lines { name: name.clone(), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(lines.table(table.get_ref()));
    }
    let finding = |error: &toml::de::Error| {
        let at = lines.at(error.span().map_or(0, |span| span.start));
        // Its `Display` would show the line, which may hold a secret.
        Finding::new("", Wrong { at, what: format!("this is not TOML: {}", error.message()) })
    };
    Err(errors.iter().map(finding).collect())
}

struct Lines<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    fn at(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Origin::File { path: self.name.clone(), line, column }
    }

    /// The keys in the order in which they stand in the file.
    fn table(&self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| Entry {
            key: key.get_ref().to_string(),
            at: self.at(key.span().start),
            given: self.given(value),
        };
        Table(entries.into_iter().map(entry).collect())
    }

    fn given(&self, value: &Spanned<DeValue<'_>>) -> Given {
        let at = self.at(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other("a number that is too large"),
            },
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Array(list) => Value::List(list.iter().map(|value| self.given(value)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Datetime(_) => Value::Other("a date or a time of day"),
        };
        Given { at, value }
    }
}

/// A list or a table as TOML writes them within a line, for what has no lines.
pub(super) fn inline(at: &Origin, text: &str) -> Result<Given, Wrong> {
    let wrong = |error: toml::de::Error| Wrong {
        at: at.clone(),
        what: format!("this is not TOML: {}", error.message()),
    };
    let value = DeValue::parse(text).map_err(wrong)?;
    let name: Arc<str> = at.to_string().into();
    let mut given = Lines { name, text }.given(&value);
    relocate(&mut given, at);
    Ok(given)
}

fn relocate(given: &mut Given, at: &Origin) {
    given.at = at.clone();
    match &mut given.value {
        Value::List(list) => list.iter_mut().for_each(|given| relocate(given, at)),
        Value::Table(table) => table.0.iter_mut().for_each(|entry| {
            entry.at = at.clone();
            relocate(&mut entry.given, at);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_know_their_place_and_order() {
        let table = parse(&"f".into(), "[b]\ny = 1\nx = [\n  'ä', true]\n[a]\n").unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), ["b", "a"]);
        let Value::Table(b) = &table.get("b").unwrap().given.value else { panic!("no table") };
        assert_eq!(b.keys().collect::<Vec<_>>(), ["y", "x"]);
        assert_eq!(b.get("x").unwrap().at.to_string(), "f:3:1");
        let Value::List(list) = &b.get("x").unwrap().given.value else { panic!("no list") };
        assert_eq!(list[1].at.to_string(), "f:4:8", "columns are characters");
    }

    #[test]
    fn every_fault_of_the_syntax_is_told_and_nothing_of_the_text() {
        let findings = parse(&"f".into(), "a = hunter2\nb = 1\nc = \"hunter2\nd = 1\nd = 2\n").unwrap_err();
        let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        assert!(text.contains("f:1:5: ") && text.contains("f:3:"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_list_within_a_variable_is_at_the_variable() {
        let at = Origin::Variable("TIDEWATER_X__Y".to_owned());
        let given = inline(&at, "['a', {b = 1}]").unwrap();
        let Value::List(list) = &given.value else { panic!("no list") };
        assert!(list.iter().all(|given| given.at == at));
        assert!(inline(&at, "['a'").unwrap_err().what.contains("not TOML"));
    }
}
