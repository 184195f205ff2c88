//! Who waits for what: a message wakes only the clients that want it (I8). Pure but for the wakers it hands out.

use std::{collections::HashMap, sync::Arc, task::Waker};

use crate::{
    frame::{Batch, Facets, Kind},
    select::{Facet, Select},
};

/// The clients of a channel. A client has a slot from its first poll to its drop.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    count: usize,
    /// Slots that wait at the end of the log for whatever comes, each once.
    idle: Vec<usize>,
    index: HashMap<Facet, Vec<usize>>,
}

#[derive(Debug)]
struct Slot {
    waker: Option<Waker>,
    select: Option<Arc<Select>>,
    mark: Mark,
    /// Whether it stands in `idle`.
    idle: bool,
}

/// How far a client with a selection may jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It reads on by itself.
    Reading,
    /// It waits; nothing that was appended since concerns it.
    Nothing,
    /// It waited; the first entry that concerns it has this number.
    First(u64),
}

impl Waiters {
    pub(crate) fn add(&mut self, select: &Select) -> usize {
        let select = (!select.is_all()).then(|| Arc::new(select.clone()));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        for facet in select.iter().flat_map(|select| select.facets()) {
            self.index.entry(facet).or_default().push(slot);
        }
        self.slots[slot] = Some(Slot { waker: None, select, mark: Mark::Reading, idle: false });
        self.count += 1;
        slot
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        let Some(Slot { select, .. }) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        for facet in select.iter().flat_map(|select| select.facets()) {
            if let Some(slots) = self.index.get_mut(&facet) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    self.index.remove(&facet);
                }
            }
        }
        self.free.push(slot);
        self.count -= 1;
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The client has read everything and waits: for what its selection wants, or for whatever comes.
    pub(crate) fn park(&mut self, slot: usize, whatever: bool, waker: &Waker) {
        let Some(Some(client)) = self.slots.get_mut(slot) else { return };
        if whatever || client.select.is_none() {
            client.mark = Mark::Reading;
            if !std::mem::replace(&mut client.idle, true) {
                self.idle.push(slot);
            }
        } else {
            client.mark = Mark::Nothing;
        }
        match &mut client.waker {
            Some(old) if old.will_wake(waker) => {}
            old => *old = Some(waker.clone()),
        }
    }

    /// The client waits for something else than the log; only what concerns everybody wakes it.
    pub(crate) fn watch(&mut self, slot: usize, waker: &Waker) {
        if let Some(Some(client)) = self.slots.get_mut(slot) {
            client.mark = Mark::Reading;
            client.waker = Some(waker.clone());
        }
    }

    /// Whether it waits with a selection, and nothing that was appended since concerns it.
    pub(crate) fn is_parked(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot), Some(Some(client)) if client.mark == Mark::Nothing)
    }

    /// The client is here again: how far may it jump? It reads by itself from now on.
    pub(crate) fn unpark(&mut self, slot: usize) -> Mark {
        match self.slots.get_mut(slot) {
            Some(Some(client)) => std::mem::replace(&mut client.mark, Mark::Reading),
            _ => Mark::Reading,
        }
    }

    /// Marks everybody whom the batch concerns, and gives the wakers of those who wait.
    pub(crate) fn appended(&mut self, batch: &Batch, wakers: &mut Vec<Waker>) {
        for slot in std::mem::take(&mut self.idle) {
            if let Some(Some(client)) = self.slots.get_mut(slot) {
                client.idle = false;
                if client.mark == Mark::Reading {
                    wakers.extend(client.waker.take());
                }
            }
        }
        for (frame, seq) in batch.frames.iter().zip(batch.first..) {
            match &frame.kind {
                Kind::Message(_, facets) if !self.index.is_empty() => self.mark(facets, seq, wakers),
                Kind::Message(..) | Kind::Skip(_) => {}
                Kind::Gap(..) | Kind::Epoch(_) => self.mark_all(seq, wakers),
            }
        }
    }

    /// The wakers of everybody, for what concerns all.
    pub(crate) fn all(&mut self, wakers: &mut Vec<Waker>) {
        self.idle.clear();
        for client in self.slots.iter_mut().flatten() {
            client.idle = false;
            wakers.extend(client.waker.take());
        }
    }

    fn mark(&mut self, facets: &Facets, seq: u64, wakers: &mut Vec<Waker>) {
        let own = [
            facets.key.clone().map(Facet::Key),
            facets.topic.as_ref().map(|topic| Facet::Topic(topic.as_str().into())),
            Some(Facet::Event(facets.event_name().into())),
        ];
        let tags = facets.tags.iter().map(|tag| Facet::Tag(tag.clone()));
        for facet in own.into_iter().flatten().chain(tags) {
            for slot in self.index.get(&facet).into_iter().flatten() {
                if let Some(Some(client)) = self.slots.get_mut(*slot)
                    && client.mark == Mark::Nothing
                    && client.select.as_ref().is_some_and(|select| select.matches(facets))
                {
                    client.mark = Mark::First(seq);
                    wakers.extend(client.waker.take());
                }
            }
        }
    }

    fn mark_all(&mut self, seq: u64, wakers: &mut Vec<Waker>) {
        for client in self.slots.iter_mut().flatten() {
            if client.select.is_some() && client.mark == Mark::Nothing {
                client.mark = Mark::First(seq);
                wakers.extend(client.waker.take());
            }
        }
    }
}
