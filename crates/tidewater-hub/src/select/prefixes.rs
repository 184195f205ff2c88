//! Clients by how a value begins. Pure.
//!
//! A value is cut to each length that a prefix has, and looked up: what it costs is how many lengths there are, not how
//! many prefixes.

use std::collections::{BTreeMap, HashMap};

use super::index::{Entry, List, look, take_of};

/// Lists of clients under prefixes, by the length of these.
#[derive(Debug, Default)]
pub(super) struct Prefixes(BTreeMap<usize, HashMap<Box<[u8]>, List>>);

impl Prefixes {
    pub(super) fn list(&self, prefix: &[u8]) -> Option<&List> {
        self.0.get(&prefix.len())?.get(prefix)
    }

    pub(super) fn list_mut(&mut self, prefix: &[u8]) -> &mut List {
        self.0.entry(prefix.len()).or_default().entry(prefix.into()).or_default()
    }

    pub(super) fn remove(&mut self, prefix: &[u8], place: usize) -> Option<Entry> {
        let lists = self.0.get_mut(&prefix.len())?;
        let moved = take_of(lists, prefix, place);
        if lists.is_empty() {
            self.0.remove(&prefix.len());
        }
        moved
    }

    pub(super) fn find(&self, value: &[u8], visit: &mut impl FnMut(&[Entry])) {
        for (length, lists) in self.0.range(..=value.len()) {
            look(lists, &value[..*length], visit);
        }
    }
}
