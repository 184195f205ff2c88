//! From claims to grants.

use tidewater_core::{Error, ErrorKind, Result};
use tidewater_hub::Select;

use super::{
    Grant,
    template::{Claims, MOST_VALUES, Template, TopicTemplate, values},
};

/// What claims grant: what any of the rules does.
///
/// ```
/// use tidewater_http::{Rule, Rules};
///
/// let rules = Rules::new([
///     // Everybody reads what is public, and of the rest what is theirs.
///     Rule::new(["orders"])?.tags(["public"])?,
///     Rule::new(["orders"])?.keys(["user.{sub}", "team.{groups}.*"])?,
///     // Some may do more.
///     Rule::new(["*"])?.claim("role", ["admin"]).publish(true),
/// ])?;
/// let claims = serde_json::json!({ "sub": "ada", "groups": ["blue"] });
/// let grant = rules.grant("orders", claims.as_object().unwrap());
/// assert!(grant.select().is_some() && !grant.publishes());
/// # Ok::<(), tidewater_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// What claims grant on some channels. Patterns are values, or beginnings with `*` behind them (`user.*`); those of topics are as
/// NATS has them (`orders.*.paid`, `orders.>`). `{claim}` in a pattern is the claim's value, `{a.b}` one within another; a list
/// stands for any of its values, and so does the `scope` of OAuth 2.0. What a claim holds is always taken literally.
///
/// A rule of which a pattern's claim is missing (or empty, or no text, number or truth; or holds what comes next in the pattern;
/// or in a topic's pattern a dot, a wildcard or a space) grants nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    channels: Vec<Template>,
    claims: Vec<(String, Vec<String>)>,
    topics: Option<Vec<TopicTemplate>>,
    keys: Option<Vec<Template>>,
    tags: Option<Vec<Template>>,
    read: bool,
    publish: bool,
}

impl Rules {
    /// These, of which any may grant.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a rule that says nothing, or limits publishing by what a message doesn't have yet.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self> {
        let rules: Vec<Rule> = rules.into_iter().collect();
        rules.iter().zip(1..).try_for_each(|(rule, number)| {
            rule.check().map_err(|error| error.context(format!("rule {number}")))
        })?;
        Ok(Self(rules))
    }

    /// What these claims grant on a channel.
    pub fn grant(&self, channel: &str, claims: &Claims) -> Grant {
        let mut grant = Grant::new();
        let mut reads = Vec::new();
        for rule in &self.0 {
            if !rule.is_on(channel, claims) || !rule.is_for(claims) {
                continue;
            }
            let Some((select, keys)) = rule.filled(claims) else { continue };
            if rule.read {
                reads.push(select);
            }
            grant = match keys {
                _ if !rule.publish => grant,
                Some(keys) => grant.publishing_keys(keys),
                None => grant.publishing(),
            };
        }
        if reads.is_empty() { grant } else { grant.reading(Select::any(reads)) }
    }
}

impl Rule {
    /// Reading everything on these channels, whoever asks.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a pattern that can't be read, with its text and what is wrong.
    pub fn new<T: AsRef<str>>(channels: impl IntoIterator<Item = T>) -> Result<Self> {
        let channels = parsed(channels, Template::parse)?;
        Ok(Self {
            channels,
            claims: Vec::new(),
            topics: None,
            keys: None,
            tags: None,
            read: true,
            publish: false,
        })
    }

    /// Only for who has this claim with one of these values; with any, if none is given. Of several claims all have to be there.
    #[must_use]
    pub fn claim<T: Into<String>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.claims.push((name.into(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// Only messages of these topics.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn topics<T: AsRef<str>>(mut self, topics: impl IntoIterator<Item = T>) -> Result<Self> {
        self.topics = Some(parsed(topics, TopicTemplate::parse)?);
        Ok(self)
    }

    /// Only messages with these keys, for reading and for publishing.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn keys<T: AsRef<str>>(mut self, keys: impl IntoIterator<Item = T>) -> Result<Self> {
        self.keys = Some(parsed(keys, Template::parse)?);
        Ok(self)
    }

    /// Only messages with one of these tags.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Result<Self> {
        self.tags = Some(parsed(tags, Template::parse)?);
        Ok(self)
    }

    /// Whether it grants reading. It does, unless this says otherwise.
    #[must_use]
    pub fn read(mut self, granted: bool) -> Self {
        self.read = granted;
        self
    }

    /// Whether it grants publishing. It does not, unless this says otherwise.
    #[must_use]
    pub fn publish(mut self, granted: bool) -> Self {
        self.publish = granted;
        self
    }

    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::Config, what));
        if self.channels.is_empty() {
            return wrong("it names no channel: \"*\" is all of them");
        }
        if !self.read && !self.publish {
            return wrong("it grants neither reading nor publishing");
        }
        if self.publish && (self.topics.is_some() || self.tags.is_some()) {
            return wrong(
                "publishing can't be limited by topics or tags, which are not known yet when a message is published: limit it by \
                 keys or channels, and make it a rule of its own",
            );
        }
        Ok(())
    }

    fn is_on(&self, channel: &str, claims: &Claims) -> bool {
        let fits = |template: &Template| {
            template.fill(claims).iter().any(|pattern| pattern.matches(channel.as_bytes()))
        };
        self.channels.iter().any(fits)
    }

    fn is_for(&self, claims: &Claims) -> bool {
        self.claims.iter().all(|(name, wanted)| {
            values(claims, name).iter().any(|value| wanted.is_empty() || wanted.contains(value))
        })
    }

    /// What it selects with these claims, and the keys to publish with if they are limited. `None` if a claim is missing.
    fn filled(&self, claims: &Claims) -> Option<(Select, Option<Vec<tidewater_hub::Pattern>>)> {
        let mut select = Select::all();
        if let Some(topics) = &self.topics {
            let topics = all(topics, |template| template.fill(claims))?;
            // What a claim put in is part of a token and no wildcard, so it is a pattern still.
            select = select.and(Select::try_topics(topics).ok()?);
        }
        if let Some(tags) = &self.tags {
            select = select.and(Select::tags_like(all(tags, |template| template.fill(claims))?));
        }
        let mut keys = None;
        if let Some(templates) = &self.keys {
            let filled = all(templates, |template| template.fill(claims))?;
            select = select.and(Select::keys_like(filled.iter().cloned()));
            keys = Some(filled);
        }
        Some((select, keys))
    }
}

/// What all of them come to; `None` if one of them comes to nothing, or they to too much.
fn all<T, V>(templates: &[T], fill: impl Fn(&T) -> Vec<V>) -> Option<Vec<V>> {
    let mut all = Vec::new();
    for template in templates {
        let filled = fill(template);
        if filled.is_empty() || all.len() + filled.len() > MOST_VALUES {
            return None;
        }
        all.extend(filled);
    }
    Some(all)
}

fn parsed<T: AsRef<str>, V>(
    texts: impl IntoIterator<Item = T>,
    parse: impl Fn(&str) -> Result<V>,
) -> Result<Vec<V>> {
    texts.into_iter().map(|text| parse(text.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidewater_hub::Pattern;

    use super::*;

    fn grant(rules: impl IntoIterator<Item = Rule>, channel: &str, claims: Value) -> Grant {
        Rules::new(rules).unwrap().grant(channel, claims.as_object().unwrap())
    }

    #[test]
    fn any_rule_grants_and_its_parts_narrow() {
        let rules = || {
            [
                Rule::new(["orders"]).unwrap().tags(["public"]).unwrap(),
                Rule::new(["orders"]).unwrap().topics(["eu.{org}.>"]).unwrap().keys(["u.{sub}"]).unwrap(),
                Rule::new(["audit.*", "{sub}"]).unwrap().claim("role", ["admin", "auditor"]),
            ]
        };
        let public = Select::tag("public");
        let own = Select::topic("eu.o.>").and(Select::key("u.ada"));
        let claims = json!({ "sub": "ada", "org": "o" });
        assert_eq!(
            grant(rules(), "orders", claims.clone()),
            Grant::new().reading(Select::any([public.clone(), own]))
        );
        assert_eq!(grant(rules(), "orders", json!({ "sub": "ada" })), Grant::new().reading(public));
        assert_eq!(grant(rules(), "audit.x", claims), Grant::new());
        let admin = json!({ "sub": "ada", "role": ["user", "admin"] });
        for (channel, reads) in [("audit.x", true), ("ada", true), ("bob", false), ("audit", false)] {
            assert_eq!(grant(rules(), channel, admin.clone()).select().is_some(), reads, "{channel}");
        }
    }

    #[test]
    fn publishing_is_granted_by_word_and_by_key() {
        let rules = || {
            [
                Rule::new(["c"]).unwrap().keys(["u.{sub}", "t.{groups}.*"]).unwrap().publish(true),
                Rule::new(["c"]).unwrap().claim("scope", ["write"]).publish(true).read(false),
            ]
        };
        let keys = [Pattern::exact("u.ada"), Pattern::prefix("t.g.")];
        let own = Grant::new().reading(Select::keys_like(keys.clone())).publishing_keys(keys);
        let claims = json!({ "sub": "ada", "groups": ["g"] });
        assert_eq!(grant(rules(), "c", claims.clone()), own);
        assert_eq!(
            grant(rules(), "c", json!({ "sub": "ada" })),
            Grant::new(),
            "a missing claim, and no key at all"
        );
        let writer = json!({ "sub": "ada", "groups": ["g"], "scope": "read write" });
        assert_eq!(grant(rules(), "c", writer), own.publishing());
        assert_eq!(grant(rules(), "c", json!({ "scope": "write" })), Grant::new().publishing());
    }

    #[test]
    fn claims_may_be_asked_for_whatever_they_hold() {
        let rule = || {
            [Rule::new(["*"])
                .unwrap()
                .claim("email_verified", ["true"])
                .claim("org.id", Vec::<String>::new())]
        };
        for (claims, reads) in [
            (json!({ "email_verified": true, "org": { "id": 7 } }), true),
            (json!({ "email_verified": false, "org": { "id": 7 } }), false),
            (json!({ "email_verified": true }), false),
            (json!({}), false),
        ] {
            assert_eq!(grant(rule(), "c", claims.clone()).select().is_some(), reads, "{claims}");
        }
        assert_eq!(grant([], "c", json!({ "sub": "ada" })), Grant::new());
    }

    #[test]
    fn rules_that_cannot_be_say_why() {
        let rule = || Rule::new(["c"]).unwrap();
        for (rule, word) in [
            (Rule::new(Vec::<String>::new()).unwrap(), "no channel"),
            (rule().read(false), "neither"),
            (rule().tags(["a"]).unwrap().publish(true), "topics or tags"),
            (rule().topics(["a"]).unwrap().publish(true), "topics or tags"),
        ] {
            let told = Rules::new([Rule::new(["x"]).unwrap(), rule]).unwrap_err().to_string();
            assert!(told.contains("rule 2") && told.contains(word), "{told}");
        }
        assert!(rule().keys(["{sub"]).unwrap_err().to_string().contains("\"{sub\""));
    }
}
