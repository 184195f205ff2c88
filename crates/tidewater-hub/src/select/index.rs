//! By what a message finds the clients that want it (I8): an index for each of its facets, and a tree of patterns. Pure.
//!
//! What a message costs is its own facets, the patterns that fit it and the clients under them, however many others
//! there are. Nothing is allocated for it.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use bytes::Bytes;

use crate::{
    log::frame::Facets,
    select::{
        clause::Facet,
        pattern::{ANY, DOT, REST},
        prefixes::Prefixes,
    },
};

/// A client under a facet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The client's slot.
    pub(crate) slot: usize,
    /// Which of its facets this is.
    pub(crate) nth: usize,
}

/// Clients by what they want.
#[derive(Debug, Default)]
pub(crate) struct Index {
    topics: HashMap<Box<str>, List>,
    patterns: Node,
    keys: HashMap<Bytes, List>,
    key_prefixes: Prefixes,
    tags: HashMap<Box<str>, List>,
    tag_prefixes: Prefixes,
    events: HashMap<Box<str>, List>,
}

pub(super) type List = Vec<Entry>;

/// The patterns that begin with the same tokens.
#[derive(Debug, Default)]
struct Node {
    names: HashMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    /// Patterns that end here.
    here: List,
    /// Patterns that go on with `>`.
    rest: List,
}

impl Index {
    /// How many clients there are under a facet.
    pub(crate) fn count(&self, facet: Facet<'_>) -> usize {
        let list = match facet {
            Facet::Topic(topic) => self.topics.get(topic),
            Facet::Pattern(pattern) => self.patterns.list(pattern),
            Facet::Key(key) => self.keys.get(key),
            Facet::KeyPrefix(prefix) => self.key_prefixes.list(prefix),
            Facet::Tag(tag) => self.tags.get(tag),
            Facet::TagPrefix(prefix) => self.tag_prefixes.list(prefix.as_bytes()),
            Facet::Event(event) => self.events.get(event),
        };
        list.map_or(0, Vec::len)
    }

    /// Puts a client under a facet. Gives its place there.
    pub(crate) fn insert(&mut self, facet: Facet<'_>, entry: Entry) -> usize {
        let list = match facet {
            Facet::Topic(topic) => self.topics.entry(topic.into()).or_default(),
            Facet::Pattern(pattern) => self.patterns.list_mut(pattern),
            Facet::Key(key) => self.keys.entry(key.clone()).or_default(),
            Facet::KeyPrefix(prefix) => self.key_prefixes.list_mut(prefix),
            Facet::Tag(tag) => self.tags.entry(tag.into()).or_default(),
            Facet::TagPrefix(prefix) => self.tag_prefixes.list_mut(prefix.as_bytes()),
            Facet::Event(event) => self.events.entry(event.into()).or_default(),
        };
        list.push(entry);
        list.len() - 1
    }

    /// Takes the client at a place of a facet out. Gives the one that stands there now, if any.
    pub(crate) fn remove(&mut self, facet: Facet<'_>, place: usize) -> Option<Entry> {
        match facet {
            Facet::Topic(topic) => take_of(&mut self.topics, topic, place),
            Facet::Pattern(pattern) => self.patterns.remove(pattern, place),
            Facet::Key(key) => take_of(&mut self.keys, key, place),
            Facet::KeyPrefix(prefix) => self.key_prefixes.remove(prefix, place),
            Facet::Tag(tag) => take_of(&mut self.tags, tag, place),
            Facet::TagPrefix(prefix) => self.tag_prefixes.remove(prefix.as_bytes(), place),
            Facet::Event(event) => take_of(&mut self.events, event, place),
        }
    }

    /// Looks up everything that a message has. A client that is under several of it comes several times.
    pub(crate) fn find(&self, facets: &Facets, visit: &mut impl FnMut(&[Entry])) {
        if let Some(topic) = &facets.topic {
            look(&self.topics, topic.as_str(), visit);
            self.patterns.find(topic, visit);
        }
        if let Some(key) = &facets.key {
            look(&self.keys, key, visit);
            self.key_prefixes.find(key, visit);
        }
        for tag in &facets.tags {
            look(&self.tags, &**tag, visit);
            self.tag_prefixes.find(tag.as_bytes(), visit);
        }
        look(&self.events, facets.event_name(), visit);
    }
}

impl Node {
    fn find(&self, topic: &str, visit: &mut impl FnMut(&[Entry])) {
        if self.is_empty() {
            return;
        }
        visit(&self.rest);
        let (token, after) = match topic.split_once(DOT) {
            Some((token, after)) => (token, Some(after)),
            None => (topic, None),
        };
        for next in self.names.get(token).into_iter().chain(self.any.as_deref()) {
            match after {
                Some(after) => next.find(after, visit),
                None => visit(&next.here),
            }
        }
    }

    fn list(&self, pattern: &str) -> Option<&List> {
        let mut node = self;
        for token in pattern.split(DOT) {
            node = match token {
                REST => return Some(&node.rest),
                ANY => node.any.as_deref()?,
                name => node.names.get(name)?,
            };
        }
        Some(&node.here)
    }

    fn list_mut(&mut self, pattern: &str) -> &mut List {
        let mut node = self;
        for token in pattern.split(DOT) {
            node = match token {
                REST => return &mut node.rest,
                ANY => node.any.get_or_insert_default(),
                name => node.names.entry(name.into()).or_default(),
            };
        }
        &mut node.here
    }

    /// As deep as a pattern has tokens, which is bounded.
    fn remove(&mut self, pattern: &str, place: usize) -> Option<Entry> {
        let (token, after) = match pattern.split_once(DOT) {
            Some((token, after)) => (token, Some(after)),
            None => (pattern, None),
        };
        if token == REST {
            return take(&mut self.rest, place);
        }
        let next = if token == ANY { self.any.as_deref_mut() } else { self.names.get_mut(token) }?;
        let moved = match after {
            Some(after) => next.remove(after, place),
            None => take(&mut next.here, place),
        };
        if next.is_empty() {
            if token == ANY {
                self.any = None;
            } else {
                self.names.remove(token);
            }
        }
        moved
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }
}

pub(super) fn look<K, Q>(map: &HashMap<K, List>, value: &Q, visit: &mut impl FnMut(&[Entry]))
where
    K: Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    if let Some(list) = map.get(value) {
        visit(list);
    }
}

pub(super) fn take_of<K, Q>(map: &mut HashMap<K, List>, value: &Q, place: usize) -> Option<Entry>
where
    K: Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    let list = map.get_mut(value)?;
    let moved = take(list, place);
    if list.is_empty() {
        map.remove(value);
    }
    moved
}

fn take(list: &mut List, place: usize) -> Option<Entry> {
    if place < list.len() {
        list.swap_remove(place);
    }
    list.get(place).copied()
}
