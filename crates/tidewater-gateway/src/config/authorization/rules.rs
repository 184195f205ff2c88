//! `[[authorization.rules]]`: what the claims of a token grant.

use tidewater::http::{Rule, Rules};

use super::super::{
    given::{Given, Value, Wrong},
    nearest::nearest,
    reader::Reader,
    setting::{Setting, quoted},
};

/// The rules, of which any may grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RulesConfig(Vec<Rule>);

impl RulesConfig {
    pub(super) fn read(table: &mut Reader<'_>, channels: &[&str]) -> Self {
        Self(table.list("rules", |table| rule(table, channels)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the library has them. Each was checked when it was read.
    pub(super) fn rules(&self) -> Rules {
        Rules::new(self.0.iter().cloned()).unwrap_or_default()
    }
}

fn rule(table: &mut Reader<'_>, known: &[&str]) -> Option<Rule> {
    let channels: Vec<String> = table.get("channels", Vec::new());
    let require: Require = table.get("require", Require::default());
    let patterns = ["topics", "keys", "tags"].map(|key| (key, table.find::<Vec<String>>(key)));
    let (read, publish) = (table.get("read", true), table.get("publish", false));
    for name in channels.iter().filter(|name| !name.contains(['*', '{']) && !known.contains(&name.as_str())) {
        let hint = match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("there are: {}", known.join(", ")),
        };
        table.refuse_text("channels", format_args!("there is no channel {name:?}; {hint}"));
    }
    let wrong = |key: &'static str| move |error: tidewater::Error| (key, error);
    let made = Rule::new(&channels).map_err(wrong("channels")).and_then(|rule| {
        let rule = rule.read(read).publish(publish);
        let rule = require.0.into_iter().fold(rule, |rule, (claim, values)| rule.claim(claim, values));
        patterns.into_iter().try_fold(rule, |rule, (key, patterns)| match (key, patterns) {
            (_, None) => Ok(rule),
            ("topics", Some(patterns)) => rule.topics(patterns).map_err(wrong(key)),
            ("keys", Some(patterns)) => rule.keys(patterns).map_err(wrong(key)),
            (_, Some(patterns)) => rule.tags(patterns).map_err(wrong(key)),
        })
    });
    match made {
        Ok(rule) => match Rules::new([rule.clone()]) {
            Ok(_) => Some(rule),
            Err(error) => {
                // Its number among one says nothing.
                let text = error.to_string();
                table.refuse("", text.strip_prefix("rule 1: ").unwrap_or(&text));
                None
            }
        },
        Err((key, error)) => {
            table.refuse_text(key, error);
            None
        }
    }
}

/// Claims that have to be there, with values of which one has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Require(Vec<(String, Vec<String>)>);

impl Setting for Require {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let Value::Table(table) = &given.value else {
            return Err(vec![
                given.not("a table of claims and their values, such as { role = [\"admin\"] }"),
            ]);
        };
        let (mut claims, mut wrongs) = (Vec::new(), Vec::new());
        for entry in &table.0 {
            match Vec::<ClaimValue>::read(&entry.given) {
                Ok(values) if values.is_empty() => {
                    wrongs.push(
                        entry.given.wrong("it is empty: write the values of which a token has to have one"),
                    );
                }
                Ok(values) => {
                    claims.push((entry.key.clone(), values.into_iter().map(|value| value.0).collect()));
                }
                Err(wrong) => wrongs.extend(wrong),
            }
        }
        if wrongs.is_empty() { Ok(Self(claims)) } else { Err(wrongs) }
    }

    fn show(&self) -> String {
        let claim = |(name, values): &(String, Vec<String>)| format!("{} = {}", quoted(name), values.show());
        match self.0.as_slice() {
            [] => "{}".to_owned(),
            claims => format!("{{ {} }}", claims.iter().map(claim).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// A text; numbers and truths are what they spell, as the rules have claims.
struct ClaimValue(String);

impl Setting for ClaimValue {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        match given.value {
            Value::Boolean(truth) => Ok(Self(truth.to_string())),
            _ => Ok(Self(given.expanded("a text, a number, true or false")?)),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}
