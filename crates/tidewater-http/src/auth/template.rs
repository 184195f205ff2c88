//! Patterns with claims in them: `user.{sub}`. Pure.

use serde_json::{Map, Value};
use tidewater_core::{Error, ErrorKind, Result};
use tidewater_hub::{Pattern, Select};

/// What says who asks: a token's payload.
pub type Claims = Map<String, Value>;

/// The most values that a pattern, or all of a rule's, may come to: what a client selects is kept for as long as it stays.
pub(crate) const MOST_VALUES: usize = 1024;

/// A pattern of keys, tags or channels: text, with claims in it, and whether anything may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    whole: bool,
}

/// A pattern of topics, with claims in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicTemplate(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// The name of a claim; with dots, of one within others.
    Claim(String),
}

impl Template {
    /// Reads one: `{claim}` stands for a claim's value, `{a.b}` for one within another, `{{` and `}}` for braces, and `*` at the
    /// end for any rest.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the text and what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (beginning, whole) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, false),
            None => (text, true),
        };
        let segments = segments(beginning).map_err(|what| wrong(text, &what))?;
        if text.is_empty() {
            return Err(wrong(text, "it is empty"));
        }
        if beginning.contains('*') {
            return Err(wrong(text, "\"*\" stands before the end"));
        }
        if !whole && matches!(segments.last(), Some(Segment::Claim(_))) {
            let what = "\"*\" right behind a claim would also stand for other values of it: put something between them";
            return Err(wrong(text, what));
        }
        Ok(Self { segments, whole })
    }

    /// The patterns that it is with these claims; none, if one is missing. What a claim holds is never part of the pattern.
    pub(crate) fn fill(&self, claims: &Claims) -> Vec<Pattern> {
        let pattern = |text: String| if self.whole { Pattern::exact(text) } else { Pattern::prefix(text) };
        fill(&self.segments, claims, |_| true).into_iter().map(pattern).collect()
    }
}

impl TopicTemplate {
    /// Reads one: a topic, or a pattern as NATS has them, with claims in it as in [`Template`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the text and what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let segments = segments(text).map_err(|what| wrong(text, &what))?;
        let example = segments.iter().map(|segment| match segment {
            Segment::Text(text) => text,
            Segment::Claim(_) => "x",
        });
        Select::try_topics([example.collect::<String>()])
            .map_err(|error| error.context(format!("the pattern {text:?}")))?;
        Ok(Self(segments))
    }

    /// The topics and patterns that it is with these claims; none, if one is missing. A claim's value is (part of) one token: what
    /// holds a dot, a wildcard or a space is no value for a topic.
    pub(crate) fn fill(&self, claims: &Claims) -> Vec<String> {
        let token =
            |value: &str| !value.contains(|letter: char| ".*>".contains(letter) || letter.is_whitespace());
        fill(&self.0, claims, token)
    }
}

/// The values that a claim has as text: one, those of a list, or the words of a scope (RFC 8693 §4.2).
pub(crate) fn values(claims: &Claims, name: &str) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    match find(claims, name) {
        Some(Value::String(words)) if name == "scope" => words.split(' ').map(str::to_owned).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A claim whose name it is; else, what the part before a dot has under the part behind it.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (outer, inner) = name.split_once('.')?;
    find(claims.get(outer)?.as_object()?, inner)
}

fn segments(text: &str) -> std::result::Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(brace) {
            plain.push_str(brace);
            rest = behind;
            continue;
        }
        let Some((name, behind)) = rest.split_once('}').filter(|_| brace == "{") else {
            return Err(format!("{brace:?} stands alone (a brace itself is written twice)"));
        };
        if name.is_empty() || name.contains('{') {
            return Err(format!("{{{name}}} names no claim"));
        }
        if !plain.is_empty() {
            segments.push(Segment::Text(std::mem::take(&mut plain)));
        } else if !segments.is_empty() {
            return Err(format!("{{{name}}} stands right behind another claim: put something between them"));
        }
        segments.push(Segment::Claim(name.to_owned()));
        rest = behind;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        segments.push(Segment::Text(plain));
    }
    Ok(segments)
}

/// Every text that the segments are with the claims' values. A value ends where the text behind it begins, so it may not hold
/// that letter: else two claims could be cut in two ways, and one who chooses a name could choose another's.
fn fill(segments: &[Segment], claims: &Claims, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut texts = vec![String::new()];
    for (index, segment) in segments.iter().enumerate() {
        match segment {
            Segment::Text(text) => texts.iter_mut().for_each(|begun| begun.push_str(text)),
            Segment::Claim(name) => {
                let end = match segments.get(index + 1) {
                    Some(Segment::Text(text)) => text.chars().next(),
                    _ => None,
                };
                let mut values = values(claims, name);
                values.retain(|value| {
                    !value.is_empty() && fits(value) && end.is_none_or(|end| !value.contains(end))
                });
                if texts.len().saturating_mul(values.len()) > MOST_VALUES {
                    tracing::debug!("the claim {name:?} has too many values: nothing is granted by it");
                    return Vec::new();
                }
                texts = texts
                    .iter()
                    .flat_map(|begun| values.iter().map(move |value| format!("{begun}{value}")))
                    .collect();
            }
        }
    }
    texts
}

fn wrong(text: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the pattern {text:?}: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    fn filled(text: &str, value: Value) -> Vec<Pattern> {
        Template::parse(text).unwrap().fill(&claims(value))
    }

    fn exact(values: &[&str]) -> Vec<Pattern> {
        values.iter().map(|value| Pattern::exact(*value)).collect()
    }

    #[test]
    fn claims_are_put_into_patterns() {
        let all = json!({
            "sub": "ada", "n": 7, "org": { "id": "o", "https://x.example/team": "t" }, "a.b": "dotted",
            "groups": ["g", "h", {}, ""], "scope": "read write", "yes": true,
        });
        for (text, expected) in [
            ("plain", &["plain"][..]),
            ("user.{sub}", &["user.ada"]),
            ("{sub}", &["ada"]),
            ("{n}-{org.id}", &["7-o"]),
            ("{org.https://x.example/team}", &["t"]),
            ("{a.b}", &["dotted"]),
            ("{groups}.{sub}", &["g.ada", "h.ada"]),
            ("{scope}", &["read", "write"]),
            ("{{{sub}}}", &["{ada}"]),
            ("{yes}", &["true"]),
            ("{missing}.{sub}", &[]),
            ("{org}", &[]),
            ("{sub.x}", &[]),
        ] {
            assert_eq!(filled(text, all.clone()), exact(expected), "{text}");
        }
        assert_eq!(filled("user.{sub}.*", all), [Pattern::prefix("user.ada.")]);
    }

    /// Whatever a claim holds, it is a value: it grants what is called so, and nothing more.
    #[test]
    fn a_value_is_literal() {
        for sub in ["*", ">", "a*", "user.*", "{sub}", "{{", "\u{0}"] {
            let own = filled("user.{sub}", json!({ "sub": sub }));
            assert_eq!(own, exact(&[&format!("user.{sub}")]));
            assert!(!own[0].matches(b"user.bob") && !own[0].matches(b"user."));
        }
        assert_eq!(filled("{sub}", json!({ "sub": "*" })), exact(&["*"]));
        for sub in [
            json!("*"),
            json!(">"),
            json!("a.b"),
            json!("a b"),
            json!(""),
            json!(null),
            json!(1.5),
            json!([]),
        ] {
            for text in ["user.{sub}", "user.{sub}.>", "{sub}"] {
                let topics = TopicTemplate::parse(text).unwrap().fill(&claims(json!({ "sub": sub })));
                assert_eq!(topics, Vec::<String>::new(), "{text} with {sub}");
            }
        }
        let topics = TopicTemplate::parse("user.{sub}.>").unwrap();
        assert_eq!(topics.fill(&claims(json!({ "sub": "ada" }))), ["user.ada.>"]);
    }

    /// Who chooses a name can't choose what stands under another's.
    #[test]
    fn a_value_ends_where_the_text_behind_it_begins() {
        for name in ["ada.x", ".", "ada."] {
            assert_eq!(filled("user.{sub}.*", json!({ "sub": name })), []);
            assert_eq!(filled("{sub}.{n}", json!({ "sub": name, "n": "b" })), []);
        }
        assert_eq!(filled("{n}.{sub}", json!({ "sub": "ada.x", "n": "b" })), exact(&["b.ada.x"]));
        assert_eq!(filled("{g}.x", json!({ "g": ["a.b", "c"] })), exact(&["c.x"]));
    }

    #[test]
    fn what_a_claim_may_come_to_is_bounded() {
        let many: Vec<_> = (0..40).collect();
        assert_eq!(filled("{a}-{b}", json!({ "a": many, "b": many })), []);
        assert_eq!(filled("{a}", json!({ "a": many })).len(), 40);
    }

    #[test]
    fn what_is_no_pattern_says_what_is_wrong() {
        for (text, word) in [
            ("", "empty"),
            ("a*b", "before the end"),
            ("{sub", "stands alone"),
            ("sub}", "stands alone"),
            ("{}", "names no claim"),
            ("{a{b}", "names no claim"),
            ("{a}{b}", "right behind another"),
            ("user.{sub}*", "right behind a claim"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let told = error.to_string();
            assert!(told.contains(&format!("{text:?}")) && told.contains(word), "{told}");
        }
        for text in ["", "a.>.b", "{sub", "a*{sub}"] {
            let told = TopicTemplate::parse(text).unwrap_err().to_string();
            assert!(told.contains(&format!("{text:?}")), "{told}");
        }
    }
}
