//! What a client wants of a channel.

pub(crate) mod clause;
pub(crate) mod expiry;
pub(crate) mod index;
pub(crate) mod pattern;
mod prefixes;
mod value;
pub(crate) mod waiters;

use bytes::Bytes;

use tidewater_core::Result;

use self::{
    clause::{Clause, Facet, shortest, sorted},
    pattern::TopicFilter,
};
use crate::log::frame::{Facets, Frame, Kind};

pub use value::Pattern;

/// What a client wants of a channel: everything, or messages that match.
///
/// ```
/// use tidewater_hub::Select;
///
/// // Messages with the key `ada` that are also tagged `public` or `friends`.
/// let select = Select::key("ada").and(Select::tags(["public", "friends"]));
/// # assert!(!select.is_all());
/// ```
///
/// [`and`](Self::and) only ever narrows: whoever adds something takes something away. Gaps and cursors reach every client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// A message has to match each of them.
    clauses: Vec<Clause>,
}

impl Select {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Messages with this key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self::keys([key])
    }

    /// Messages with any of these keys.
    pub fn keys<K: Into<Bytes>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self::one(Clause::Keys(sorted(keys)))
    }

    /// Messages with a key that fits any of these patterns.
    pub fn keys_like(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let (whole, begun): (Vec<_>, Vec<_>) = patterns.into_iter().partition(Pattern::is_exact);
        let bytes = |pattern: Pattern| Bytes::from(pattern.into_text());
        let whole = Self::keys(whole.into_iter().map(bytes));
        if begun.is_empty() {
            return whole;
        }
        let begun = Self::one(Clause::KeyPrefixes(shortest(begun.into_iter().map(bytes))));
        Self::any([whole, begun])
    }

    /// Messages of this topic; or of all topics that fit a pattern, as NATS writes its subjects: tokens stand between
    /// dots, `*` is any one token, and `>` at the end one or more.
    ///
    /// ```
    /// use tidewater_hub::Select;
    ///
    /// let exact = Select::topic("orders.eu.paid");
    /// let any_region = Select::topic("orders.*.paid");
    /// let all_orders = Select::topic("orders.>");
    /// ```
    ///
    /// A name without `*` and `>` is that one topic, and so is what is no pattern (`a*b`): no topic of Kafka or NATS is
    /// called so. [`try_topics`](Self::try_topics) refuses it.
    pub fn topic(topic: impl AsRef<str>) -> Self {
        Self::topics([topic])
    }

    /// Messages of any of these topics, each as in [`topic`](Self::topic).
    pub fn topics<T: AsRef<str>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self::one(Clause::Topics(sorted(
            topics.into_iter().map(|topic| TopicFilter::literal(topic.as_ref())),
        )))
    }

    /// [`topics`](Self::topics), for names and patterns that somebody else wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](tidewater_core::ErrorKind::Config) for one that is empty, or has `*` or `>` where they
    /// can't stand.
    pub fn try_topics<T: AsRef<str>>(topics: impl IntoIterator<Item = T>) -> Result<Self> {
        let parse = |topic: T| {
            let topic = topic.as_ref();
            TopicFilter::parse(topic).map_err(|error| error.context(format!("the topic {topic:?}")))
        };
        Ok(Self::one(Clause::Topics(sorted(topics.into_iter().map(parse).collect::<Result<Vec<_>>>()?))))
    }

    /// Messages that the channel's step has given this tag.
    pub fn tag(tag: impl Into<String>) -> Self {
        Self::tags([tag])
    }

    /// Messages with any of these tags.
    pub fn tags<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::one(Clause::Tags(sorted(tags)))
    }

    /// Messages with a tag that fits any of these patterns.
    pub fn tags_like(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let (whole, begun): (Vec<_>, Vec<_>) = patterns.into_iter().partition(Pattern::is_exact);
        let whole = Self::tags(whole.into_iter().map(Pattern::into_text));
        if begun.is_empty() {
            return whole;
        }
        let begun = Self::one(Clause::TagPrefixes(shortest(begun.into_iter().map(Pattern::into_text))));
        Self::any([whole, begun])
    }

    /// Events with this name; `message` for those without one.
    pub fn event(event: impl Into<String>) -> Self {
        Self::events([event])
    }

    /// Events with any of these names.
    pub fn events<E: Into<String>>(events: impl IntoIterator<Item = E>) -> Self {
        Self::one(Clause::Events(sorted(events)))
    }

    /// What both of them want.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.clauses.extend(other.clauses);
        self
    }

    /// What any of these wants; nothing, if there is none.
    ///
    /// ```
    /// use tidewater_hub::Select;
    ///
    /// // What is public, and of the rest what is for `ada`.
    /// let select = Select::any([Select::tag("public"), Select::key("ada")]);
    /// # assert!(!select.is_all());
    /// ```
    pub fn any(selects: impl IntoIterator<Item = Self>) -> Self {
        let mut alternatives: Vec<Self> = Vec::new();
        for select in selects {
            if select.is_all() {
                return select;
            }
            if !select.is_nothing() && !alternatives.contains(&select) {
                alternatives.push(select);
            }
        }
        match alternatives.len() {
            1 => alternatives.swap_remove(0),
            _ => Self::one(Clause::any(alternatives)),
        }
    }

    /// No message at all.
    pub fn nothing() -> Self {
        Self::any([])
    }

    /// Whether it is everything.
    pub fn is_all(&self) -> bool {
        self.clauses.is_empty()
    }

    /// Whether no message can match, as far as can be seen without looking at any.
    pub fn is_nothing(&self) -> bool {
        self.clauses.iter().any(|clause| clause.facets().is_empty())
    }

    fn one(clause: Clause) -> Self {
        Self { clauses: vec![clause] }
    }

    /// Whether an entry of the log goes to this client. Gaps go to everybody.
    pub(crate) fn wants(&self, frame: &Frame) -> bool {
        match &frame.kind {
            Kind::Message(_, facets) => self.matches(facets),
            Kind::Skip(_) => false,
            Kind::Gap(..) | Kind::Epoch(_) => true,
        }
    }

    pub(crate) fn matches(&self, facets: &Facets) -> bool {
        self.clauses.iter().all(|clause| clause.matches(facets))
    }

    /// Chooses the clause of it that an index has it by: where the fewest others are, by what is counted of a facet.
    pub(crate) fn settle(&mut self, count: &impl Fn(Facet<'_>) -> usize) -> usize {
        clause::settle(&mut self.clauses, count).unwrap_or(0)
    }

    /// One of what has to match. A message that is wanted can be found by any one.
    pub(crate) fn clause(&self, index: usize) -> Option<&Clause> {
        self.clauses.get(index)
    }
}

impl Facets {
    /// The event's name as a browser sees it.
    pub(crate) fn event_name(&self) -> &str {
        self.event.as_ref().map_or("message", |event| event.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facets(key: &'static str, tags: &[&str]) -> Facets {
        Facets {
            topic: Some("t".into()),
            key: Some(Bytes::from_static(key.as_bytes())),
            event: None,
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
        }
    }

    #[test]
    fn clauses_narrow() {
        let select = Select::key("ada").and(Select::tags(["public", "friends"]));
        assert!(select.matches(&facets("ada", &["friends"])));
        assert!(!select.matches(&facets("ada", &["secret"])));
        assert!(!select.matches(&facets("bob", &["public"])));
        assert!(Select::all().matches(&facets("bob", &[])));
        assert!(Select::event("message").matches(&facets("x", &[])));
        assert!(!Select::keys(Vec::<Bytes>::new()).matches(&facets("x", &[])), "none of nothing");
    }

    #[test]
    fn alternatives_widen_and_what_is_added_narrows() {
        let select = Select::any([Select::tag("public"), Select::key("ada").and(Select::topic("t"))]);
        assert!(select.matches(&facets("bob", &["public"])) && select.matches(&facets("ada", &[])));
        assert!(!select.matches(&facets("bob", &[])));
        let narrowed = select.clone().and(Select::key("bob"));
        assert!(
            narrowed.matches(&facets("bob", &["public"])) && !narrowed.matches(&facets("ada", &["public"]))
        );
        assert!(Select::any([select.clone(), Select::all()]).is_all());
        assert_eq!(Select::any([select.clone(), Select::nothing()]), select);
        assert!(Select::nothing().is_nothing() && !Select::nothing().matches(&facets("", &[])));
        assert!(select.and(Select::nothing()).is_nothing());
    }

    #[test]
    fn keys_and_tags_by_pattern() {
        let like =
            |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect::<Vec<_>>();
        let keys = Select::keys_like(like(&["ada", "user.*", "user.a.*"]));
        let tags = Select::tags_like(like(&["x", "t.*"]));
        for (key, expected) in
            [("ada", true), ("adam", false), ("user.", true), ("user.7", true), ("use", false)]
        {
            assert_eq!(keys.matches(&facets(key, &[])), expected, "{key}");
            assert_eq!(
                keys.clone().and(tags.clone()).matches(&facets(key, &["a", "t.1"])),
                expected,
                "{key}"
            );
            assert!(!keys.clone().and(tags.clone()).matches(&facets(key, &["t", "xx"])));
        }
        assert_eq!(Select::keys_like(like(&["b", "a"])), Select::keys(["a", "b"]));
        assert!(!Select::keys_like(like(&["*"])).matches(&Facets::default()), "what has no key");
    }

    #[test]
    fn topics_are_names_or_patterns() {
        let select = Select::topics(["x", "t.>", "*"]);
        assert!(select.matches(&facets("k", &[])), "by the last one");
        assert!(!Select::topic("t.>").matches(&facets("k", &[])));
        assert_eq!(Select::try_topics(["x", "t.>", "*"]).unwrap(), select);
        let error = Select::try_topics(["x", "t*"]).unwrap_err().to_string();
        assert!(error.starts_with("the topic \"t*\": "), "{error}");
    }
}
