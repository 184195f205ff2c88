//! The environment: `TIDEWATER_SERVER__LISTEN` is the key `listen` in the table `server`.

use std::ffi::OsString;

use super::{
    file,
    given::{Given, Origin, Table, Wrong},
    reader::{Finding, Shown},
};

/// What the names of all variables begin with.
const PREFIX: &str = "TIDEWATER_";
/// What stands between a table and what is in it.
const LEVEL: &str = "__";
/// The table whose tables have names of their own.
const CHANNELS: &str = "channels";

/// The variables that can be settings, sorted by name.
pub(super) fn variables() -> Vec<(String, OsString)> {
    let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut all: Vec<_> = named.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    all.sort();
    all
}

/// What the variables say, and what is wrong with them. `channels` are the names that are known: a variable is of the
/// one that is like it but for what the name of a variable can't hold.
pub(super) fn read(variables: &[(String, OsString)], channels: &[String]) -> (Table, Vec<Finding>) {
    let (mut table, mut findings) = (Table::default(), Vec::new());
    for (name, value) in variables.iter().filter(|(name, _)| name.contains(LEVEL)) {
        let at = Origin::Variable(name.clone());
        match path(name, channels).and_then(|path| Ok((path, given(&at, value)?))) {
            Ok((path, given)) => table.set(&path.iter().map(String::as_str).collect::<Vec<_>>(), given),
            Err(what) => findings.push(Finding::new("", Wrong { at, what })),
        }
    }
    (table, findings)
}

/// Variables that were meant as settings, but have one `_` where two belong. Others without `__` are not ours:
/// orchestrators make some of the names of services.
pub(super) fn slips(variables: &[(String, OsString)], known: &[Shown]) -> Vec<Finding> {
    let slip = |(name, _): &(String, OsString)| {
        let given = name.strip_prefix(PREFIX).filter(|given| !given.contains(LEVEL))?.to_ascii_lowercase();
        let meant = known.iter().find_map(|shown| {
            let key = shown.key;
            if !shown.table.starts_with(CHANNELS) {
                let (table, meant) = (shown.table.replace('.', "_"), shown.table.replace('.', LEVEL));
                return (given == format!("{table}_{key}")).then(|| format!("{meant}{LEVEL}{key}"));
            }
            let channel = given.strip_prefix("channels_")?.strip_suffix(key)?.strip_suffix('_')?;
            Some(format!("{CHANNELS}{LEVEL}{channel}{LEVEL}{key}"))
        })?;
        let what = format!(
            "this sets nothing: two underscores stand between a table and its key. Did you mean {PREFIX}{}?",
            meant.to_ascii_uppercase()
        );
        Some(Finding::new("", Wrong { at: Origin::Variable(name.clone()), what }))
    };
    variables.iter().filter_map(slip).collect()
}

fn path(name: &str, channels: &[String]) -> Result<Vec<String>, String> {
    let parts: Vec<_> = name[PREFIX.len()..].split(LEVEL).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(format!("this names no key: write {PREFIX}TABLE{LEVEL}KEY"));
    }
    let mut path: Vec<_> = parts.iter().map(|part| part.to_ascii_lowercase()).collect();
    if let [table, channel, ..] = path.as_mut_slice()
        && table == CHANNELS
    {
        let same: Vec<_> = channels.iter().filter(|name| as_variable(name) == parts[1]).collect();
        match same.as_slice() {
            [] => {}
            [one] => channel.clone_from(one),
            [one, other, ..] => {
                return Err(format!(
                    "the channels {one:?} and {other:?} have this name here: set it in the file"
                ));
            }
        }
    }
    Ok(path)
}

/// As a variable writes the name of a channel.
fn as_variable(name: &str) -> String {
    let part = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(part).collect()
}

/// A text; or, in brackets or braces, a list or a table as TOML writes them.
fn given(at: &Origin, value: &OsString) -> Result<Given, String> {
    let text = value.to_str().ok_or_else(|| "its value is not UTF-8".to_owned())?;
    let within = |open, close| text.trim().starts_with(open) && text.trim().ends_with(close);
    if within('[', ']') || within('{', '}') {
        return file::inline(at, text.trim()).map_err(|wrong| wrong.what);
    }
    Ok(Given::text(at.clone(), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given::Value;

    fn variables(all: &[(&str, &str)]) -> Vec<(String, OsString)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect()
    }

    fn at<'a>(table: &'a Table, path: &[&str]) -> &'a Value {
        let value = &table.get(path[0]).unwrap().given.value;
        match (value, &path[1..]) {
            (Value::Table(table), rest) if !rest.is_empty() => at(table, rest),
            (value, _) => value,
        }
    }

    #[test]
    fn a_variable_is_a_path_and_a_channel_is_known_by_its_name() {
        let channels = ["Orders.eu".to_owned(), "a-b".to_owned(), "a.b".to_owned()];
        let given = variables(&[
            ("TIDEWATER_CHANNELS__A_B__LINGER", "5ms"),
            ("TIDEWATER_CHANNELS__NEW__SOURCE", "memory:"),
            ("TIDEWATER_CHANNELS__ORDERS_EU__LOG__EVENTS", "5"),
            ("TIDEWATER_CORS__ORIGINS", "['https://a.example', \"https://b.example\"]"),
            ("TIDEWATER_KAFKA", "/opt/kafka"),
            ("TIDEWATER_SERVER__LISTEN", "[::1]:8080"),
            ("TIDEWATER_SERVER____LISTEN", "x"),
            ("TIDEWATER_X__Y", "[1"),
            ("TIDEWATER_X__Z", "[1,,]"),
        ]);
        let (table, findings) = read(&given, &channels);
        assert!(
            matches!(at(&table, &["channels", "Orders.eu", "log", "events"]), Value::Text(five) if five == "5")
        );
        assert!(matches!(at(&table, &["channels", "new", "source"]), Value::Text(_)));
        assert!(matches!(at(&table, &["server", "listen"]), Value::Text(text) if text == "[::1]:8080"));
        assert!(matches!(at(&table, &["cors", "origins"]), Value::List(list) if list.len() == 2));
        let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].starts_with("TIDEWATER_CHANNELS__A_B__LINGER: the channels \"a-b\" and \"a.b\""));
        assert!(told[1].starts_with("TIDEWATER_SERVER____LISTEN: this names no key"));
        assert!(told[2].starts_with("TIDEWATER_X__Z: this is not TOML"));
    }

    #[test]
    fn one_underscore_for_two_is_told_and_what_an_orchestrator_sets_is_not() {
        let shown =
            |table: &str, key| Shown { table: table.to_owned(), key, value: None, at: Origin::Default };
        let known = [shown("server", "listen"), shown("channels.a", "replay")];
        let given = variables(&[
            ("TIDEWATER_PORT", "tcp://10.0.0.1:80"),
            ("TIDEWATER_SERVER_PORT", "tcp://10.0.0.1:80"),
            ("TIDEWATER_SERVER_LISTEN", "x"),
            ("TIDEWATER_CHANNELS_MY_OWN_REPLAY", "x"),
        ]);
        let told: Vec<_> = slips(&given, &known).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].contains("Did you mean TIDEWATER_SERVER__LISTEN?"));
        assert!(told[1].contains("Did you mean TIDEWATER_CHANNELS__MY_OWN__REPLAY?"));
    }
}
