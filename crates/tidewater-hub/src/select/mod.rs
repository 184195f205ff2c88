//! What a client wants of a channel.

pub(crate) mod index;
pub(crate) mod pattern;
pub(crate) mod waiters;

use bytes::Bytes;

use tidewater_core::Result;

use crate::{
    log::frame::{Facets, Frame, Kind},
    select::pattern::TopicFilter,
};

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
/// It only ever narrows: whoever adds a clause takes something away. Gaps and cursors reach every client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// A message has to match each of them.
    clauses: Vec<Clause>,
}

/// A message matches if it has any of them. Keys, tags and events are sorted, and nothing stands twice: whoever names ten
/// thousand costs no more for a message than who names ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clause {
    Topics(Vec<TopicFilter>),
    Keys(Vec<Bytes>),
    Tags(Vec<String>),
    Events(Vec<String>),
}

/// One thing that an index finds clients by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facet<'a> {
    Topic(&'a str),
    /// Topics by a pattern that has been checked.
    Pattern(&'a str),
    Key(&'a Bytes),
    Tag(&'a str),
    Event(&'a str),
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

    /// Whether it is everything.
    pub fn is_all(&self) -> bool {
        self.clauses.is_empty()
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

    /// What has to match, each of them. A message that is wanted can be found by any one.
    pub(crate) fn clauses(&self) -> &[Clause] {
        &self.clauses
    }
}

impl Clause {
    fn matches(&self, facets: &Facets) -> bool {
        match self {
            Self::Topics(any) => {
                facets.topic.as_ref().is_some_and(|topic| any.iter().any(|one| one.matches(topic)))
            }
            Self::Keys(any) => facets.key.as_ref().is_some_and(|key| any.binary_search(key).is_ok()),
            Self::Tags(any) => {
                facets.tags.iter().any(|tag| any.binary_search_by(|one| (**one).cmp(tag)).is_ok())
            }
            Self::Events(any) => any.binary_search_by(|one| (**one).cmp(facets.event_name())).is_ok(),
        }
    }

    /// How many values it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Topics(any) => any.len(),
            Self::Keys(any) => any.len(),
            Self::Tags(any) | Self::Events(any) => any.len(),
        }
    }

    /// Its values, as an index has them.
    pub(crate) fn facets(&self) -> impl Iterator<Item = Facet<'_>> {
        (0..self.len()).map(|nth| self.facet(nth))
    }

    /// One of them.
    ///
    /// # Panics
    /// If it has no such value.
    pub(crate) fn facet(&self, nth: usize) -> Facet<'_> {
        match self {
            Self::Topics(any) => match &any[nth] {
                TopicFilter::Name(name) => Facet::Topic(name),
                TopicFilter::Pattern(pattern) => Facet::Pattern(pattern),
            },
            Self::Keys(any) => Facet::Key(&any[nth]),
            Self::Tags(any) => Facet::Tag(&any[nth]),
            Self::Events(any) => Facet::Event(&any[nth]),
        }
    }

    /// How well it tells clients apart, as a rule: keys do best, then tags, topics, event names.
    pub(crate) fn breadth(&self) -> u8 {
        match self {
            Self::Keys(_) => 0,
            Self::Tags(_) => 1,
            Self::Topics(_) => 2,
            Self::Events(_) => 3,
        }
    }
}

/// In order, and nothing twice.
fn sorted<T: Ord, V: Into<T>>(values: impl IntoIterator<Item = V>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().map(Into::into).collect();
    values.sort_unstable();
    values.dedup();
    values
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
    fn topics_are_names_or_patterns() {
        let select = Select::topics(["x", "t.>", "*"]);
        assert!(select.matches(&facets("k", &[])), "by the last one");
        assert!(!Select::topic("t.>").matches(&facets("k", &[])));
        assert_eq!(Select::try_topics(["x", "t.>", "*"]).unwrap(), select);
        let error = Select::try_topics(["x", "t*"]).unwrap_err().to_string();
        assert!(error.starts_with("the topic \"t*\": "), "{error}");
    }
}
