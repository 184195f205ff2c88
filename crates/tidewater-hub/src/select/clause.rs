//! One thing that a message has to match, and what an index finds those who want it by. Pure.

use bytes::Bytes;

use super::{Select, pattern::TopicFilter};
use crate::log::frame::Facets;

/// A message matches if it has any of them. All but topics are sorted, and nothing stands twice: whoever names ten thousand
/// costs no more for a message than who names ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clause {
    Topics(Vec<TopicFilter>),
    Keys(Vec<Bytes>),
    /// None of them begins with another.
    KeyPrefixes(Vec<Bytes>),
    Tags(Vec<String>),
    TagPrefixes(Vec<String>),
    Events(Vec<String>),
    /// What any of these selects; none of them is everything.
    Any(Vec<Alternative>),
}

/// One of several selections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative {
    select: Select,
    /// The clause of it that an index has it by.
    by: usize,
}

/// One thing that an index finds clients by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facet<'a> {
    Topic(&'a str),
    /// Topics by a pattern that has been checked.
    Pattern(&'a str),
    Key(&'a Bytes),
    KeyPrefix(&'a [u8]),
    Tag(&'a str),
    TagPrefix(&'a str),
    Event(&'a str),
}

impl Clause {
    /// Any of these, which are not everything.
    pub(super) fn any(alternatives: impl IntoIterator<Item = Select>) -> Self {
        Self::Any(alternatives.into_iter().map(|select| Alternative { select, by: 0 }).collect())
    }

    pub(super) fn matches(&self, facets: &Facets) -> bool {
        match self {
            Self::Topics(any) => {
                facets.topic.as_ref().is_some_and(|topic| any.iter().any(|one| one.matches(topic)))
            }
            Self::Keys(any) => facets.key.as_ref().is_some_and(|key| any.binary_search(key).is_ok()),
            Self::KeyPrefixes(any) => facets.key.as_ref().is_some_and(|key| begins(key, any)),
            Self::Tags(any) => {
                facets.tags.iter().any(|tag| any.binary_search_by(|one| (**one).cmp(tag)).is_ok())
            }
            Self::TagPrefixes(any) => facets.tags.iter().any(|tag| begins(tag.as_bytes(), any)),
            Self::Events(any) => any.binary_search_by(|one| (**one).cmp(facets.event_name())).is_ok(),
            Self::Any(any) => any.iter().any(|one| one.select.matches(facets)),
        }
    }

    /// Its values, as an index has them: any message that it matches has one of them.
    pub(crate) fn facets(&self) -> Vec<Facet<'_>> {
        match self {
            Self::Topics(any) => any.iter().map(TopicFilter::facet).collect(),
            Self::Keys(any) => any.iter().map(Facet::Key).collect(),
            Self::KeyPrefixes(any) => any.iter().map(|prefix| Facet::KeyPrefix(prefix)).collect(),
            Self::Tags(any) => any.iter().map(|tag| Facet::Tag(tag)).collect(),
            Self::TagPrefixes(any) => any.iter().map(|prefix| Facet::TagPrefix(prefix)).collect(),
            Self::Events(any) => any.iter().map(|event| Facet::Event(event)).collect(),
            Self::Any(any) => any.iter().filter_map(Alternative::chosen).flat_map(Self::facets).collect(),
        }
    }

    /// Has each of its alternatives found where the fewest others are, by what is counted of a facet.
    pub(crate) fn settle(&mut self, count: &impl Fn(Facet<'_>) -> usize) {
        let Self::Any(any) = self else { return };
        for alternative in any {
            alternative.by = settle(&mut alternative.select.clauses, count).unwrap_or(0);
        }
    }

    /// How well it tells clients apart, as a rule: keys do best, then tags, topics, event names.
    fn breadth(&self) -> u8 {
        match self {
            Self::Keys(_) => 0,
            Self::Tags(_) => 1,
            Self::KeyPrefixes(_) => 2,
            Self::TagPrefixes(_) => 3,
            Self::Topics(_) => 4,
            Self::Events(_) => 5,
            Self::Any(any) => {
                any.iter().filter_map(Alternative::chosen).map(Self::breadth).max().unwrap_or(0)
            }
        }
    }
}

impl Alternative {
    fn chosen(&self) -> Option<&Clause> {
        self.select.clauses.get(self.by)
    }
}

/// Which of the clauses is found where the fewest others are. `None` without any.
pub(crate) fn settle(clauses: &mut [Clause], count: &impl Fn(Facet<'_>) -> usize) -> Option<usize> {
    clauses.iter_mut().for_each(|clause| clause.settle(count));
    let crowd = |clause: &Clause| clause.facets().into_iter().map(count).sum::<usize>();
    let fewest = (0..).zip(&*clauses).min_by_key(|(_, clause)| (crowd(clause), clause.breadth()));
    fewest.map(|(index, _)| index)
}

/// In order, and nothing twice.
pub(super) fn sorted<T: Ord, V: Into<T>>(values: impl IntoIterator<Item = V>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().map(Into::into).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// In order, and none that begins with another.
pub(super) fn shortest<T: Ord + AsRef<[u8]>>(prefixes: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut shortest: Vec<T> = Vec::new();
    for prefix in sorted::<T, T>(prefixes) {
        if shortest.last().is_none_or(|before| !prefix.as_ref().starts_with(before.as_ref())) {
            shortest.push(prefix);
        }
    }
    shortest
}

/// Whether a value begins with one of the [`shortest`]: whatever stands between a prefix and what begins with it begins
/// with it too, so it is the last one that is not after the value, or none.
fn begins<T: AsRef<[u8]>>(value: &[u8], prefixes: &[T]) -> bool {
    let after = prefixes.partition_point(|prefix| prefix.as_ref() <= value);
    after.checked_sub(1).is_some_and(|last| value.starts_with(prefixes[last].as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_looked_up_among_prefixes() {
        let prefixes = shortest(["b", "ab", "abc", "a.", "", "b"].map(str::to_owned));
        assert_eq!(prefixes, [""], "it begins all of them");
        let prefixes = shortest(["b", "ab", "abc", "a.", "b"].map(str::to_owned));
        assert_eq!(prefixes, ["a.", "ab", "b"]);
        for (value, expected) in [
            ("a", false),
            ("a.x", true),
            ("ab", true),
            ("abb", true),
            ("aa", false),
            ("bzz", true),
            ("c", false),
        ] {
            assert_eq!(begins(value.as_bytes(), &prefixes), expected, "{value}");
        }
        assert!(!begins(b"a", &Vec::<String>::new()));
    }
}
