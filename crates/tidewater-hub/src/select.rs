//! What a client wants of a channel.

use bytes::Bytes;

use crate::frame::{Facets, Frame, Kind};

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

/// A message matches if it has any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Clause {
    Topics(Vec<String>),
    Keys(Vec<Bytes>),
    Tags(Vec<String>),
    Events(Vec<String>),
}

/// One thing that an index can find clients by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Facet {
    Topic(Box<str>),
    Key(Bytes),
    Tag(Box<str>),
    Event(Box<str>),
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
        Self::one(Clause::Keys(keys.into_iter().map(Into::into).collect()))
    }

    /// Messages of this topic (NATS: of this subject, literally).
    pub fn topic(topic: impl Into<String>) -> Self {
        Self::topics([topic])
    }

    /// Messages of any of these topics.
    pub fn topics<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self::one(Clause::Topics(topics.into_iter().map(Into::into).collect()))
    }

    /// Messages that the channel's step has given this tag.
    pub fn tag(tag: impl Into<String>) -> Self {
        Self::tags([tag])
    }

    /// Messages with any of these tags.
    pub fn tags<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::one(Clause::Tags(tags.into_iter().map(Into::into).collect()))
    }

    /// Events with this name; `message` for those without one.
    pub fn event(event: impl Into<String>) -> Self {
        Self::events([event])
    }

    /// Events with any of these names.
    pub fn events<E: Into<String>>(events: impl IntoIterator<Item = E>) -> Self {
        Self::one(Clause::Events(events.into_iter().map(Into::into).collect()))
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

    /// What to find this client by: all facets of its narrowest clause, which any message it wants has one of.
    pub(crate) fn facets(&self) -> Vec<Facet> {
        let narrowest = self.clauses.iter().min_by_key(|clause| clause.breadth());
        match narrowest {
            None => Vec::new(),
            Some(Clause::Topics(all)) => all.iter().map(|one| Facet::Topic(one.as_str().into())).collect(),
            Some(Clause::Keys(all)) => all.iter().map(|one| Facet::Key(one.clone())).collect(),
            Some(Clause::Tags(all)) => all.iter().map(|one| Facet::Tag(one.as_str().into())).collect(),
            Some(Clause::Events(all)) => all.iter().map(|one| Facet::Event(one.as_str().into())).collect(),
        }
    }
}

impl Clause {
    fn matches(&self, facets: &Facets) -> bool {
        match self {
            Self::Topics(any) => {
                facets.topic.as_ref().is_some_and(|topic| any.iter().any(|one| **one == **topic))
            }
            Self::Keys(any) => facets.key.as_ref().is_some_and(|key| any.contains(key)),
            Self::Tags(any) => facets.tags.iter().any(|tag| any.iter().any(|one| **one == **tag)),
            Self::Events(any) => any.iter().any(|one| one == facets.event_name()),
        }
    }

    /// Keys tell clients apart best, then tags, topics, event names.
    fn breadth(&self) -> u8 {
        match self {
            Self::Keys(_) => 0,
            Self::Tags(_) => 1,
            Self::Topics(_) => 2,
            Self::Events(_) => 3,
        }
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
    fn the_narrowest_clause_is_indexed() {
        let select = Select::topic("t").and(Select::key("ada"));
        assert_eq!(select.facets(), [Facet::Key(Bytes::from_static(b"ada"))]);
    }
}
