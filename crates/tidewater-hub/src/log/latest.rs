//! The newest message of each key, for clients that get only these when they fall behind (I7). Pure.
//!
//! What is in the log is found there; of what the log has let go, the newest is copied. A key is a message's topic and
//! key, or its topic and partition where it has none.
//!
//! A client may want only some messages of a key, by their tags or event names. So the newest is known for each *class*
//! of a key, the messages that no selection can tell apart: the newest that a client wants is that of a class it wants.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use tidewater_core::{EpochTag, TopicName, TopicTag};
use tokio::time::Instant;

use crate::{
    log::{
        LogBounds,
        frame::{At, Batch, Facets, Kind},
    },
    select::Select,
};

/// Of how many classes of one key the newest is known. Nobody has more than a few, unless tags are made up for each
/// message.
const CLASSES: usize = 16;

/// How many incarnations of a topic are known beyond the log. Nobody makes a topic anew so often while a client is slow.
const BEGUN: usize = 16;

/// What is newest.
#[derive(Debug)]
pub(crate) struct Latest {
    bounds: LogBounds,
    topics: HashMap<TopicName, Keys>,
    /// By the numbers that they had in the log.
    kept: BTreeMap<u64, Kept>,
    bytes: usize,
    /// The last new incarnations of each topic that the log has let go, in their order.
    epochs: HashMap<TopicTag, VecDeque<Begun>>,
}

/// Where a topic was made anew.
#[derive(Debug)]
struct Begun {
    seq: u64,
    epoch: EpochTag,
    /// The incarnation that was there before.
    after: EpochTag,
}

/// What a client has missed of a topic's incarnations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    Nothing,
    /// Everything up to this one.
    Until(EpochTag),
    /// Nobody here can say: it is in none that has been here.
    Unknown,
}

#[derive(Debug, Default)]
struct Keys {
    keyed: HashMap<Bytes, Vec<Class>>,
    unkeyed: HashMap<u32, Vec<Class>>,
}

/// The newest of one class, oldest first in the list of its key.
#[derive(Debug)]
struct Class {
    facets: Arc<Facets>,
    seq: u64,
}

/// A message that the log has let go.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) at: At,
    pub(crate) facets: Arc<Facets>,
    /// Its bytes up to the `id` line, copied: a slice would hold its whole batch.
    pub(crate) head: Bytes,
    appended: Instant,
    size: usize,
}

impl Latest {
    /// Nothing yet. What is kept beyond the log is bounded as the log is; its age counts twice.
    pub(crate) fn new(bounds: LogBounds) -> Self {
        Self { bounds, topics: HashMap::new(), kept: BTreeMap::new(), bytes: 0, epochs: HashMap::new() }
    }

    /// The log has a batch more.
    pub(crate) fn appended(&mut self, batch: &Batch) {
        for (frame, seq) in batch.frames.iter().zip(batch.first..) {
            let Kind::Message(at, facets) = &frame.kind else { continue };
            let Some(classes) = self.classes(facets, at.partition) else { continue };
            let same = classes.iter().position(|class| class.is_of(facets));
            let over = match same {
                Some(index) => Some(classes.remove(index)),
                None if classes.len() >= CLASSES => Some(classes.remove(0)),
                None => None,
            };
            classes.push(Class { facets: facets.clone(), seq });
            if let Some(over) = over {
                self.drop_kept(over.seq);
            }
        }
    }

    /// The log has a batch more in front: of what is known already, that is older.
    pub(crate) fn preceded(&mut self, batch: &Batch) {
        for (index, frame) in batch.frames.iter().enumerate().rev() {
            let Kind::Message(at, facets) = &frame.kind else { continue };
            let seq = batch.first + index as u64;
            let Some(classes) = self.classes(facets, at.partition) else { continue };
            if classes.len() < CLASSES && !classes.iter().any(|class| class.is_of(facets)) {
                classes.insert(0, Class { facets: facets.clone(), seq });
            }
        }
    }

    /// The log lets a batch go.
    pub(crate) fn evicted(&mut self, batch: &Batch) {
        for (index, (frame, seq)) in batch.frames.iter().zip(batch.first..).enumerate() {
            match &frame.kind {
                Kind::Message(at, facets) => {
                    let Some(classes) = self.known(facets, at.partition) else { continue };
                    let Some(class) = classes.iter_mut().find(|class| class.seq == seq) else { continue };
                    class.facets = Arc::new(copy(facets));
                    let head = Bytes::copy_from_slice(&batch.bytes[batch.offset(index)..frame.id_at]);
                    let facets = class.facets.clone();
                    let size = head.len() + size_of::<Kept>() + frame.kind.size();
                    self.bytes += size;
                    let kept = Kept { at: at.clone(), facets, head, appended: batch.at, size };
                    self.kept.insert(seq, kept);
                }
                // What is of an incarnation that is over is told by the gap that tells so.
                Kind::Epoch(anew) => {
                    let new = &anew.new;
                    let begun = self.epochs.entry(new.tag).or_default();
                    begun.push_back(Begun { seq, epoch: new.epoch.tag(), after: anew.after });
                    if begun.len() > BEGUN {
                        begun.pop_front();
                    }
                    let over: Vec<u64> = self
                        .kept
                        .iter()
                        .filter(|(_, kept)| kept.at.tag == new.tag)
                        .map(|(seq, _)| *seq)
                        .collect();
                    over.into_iter().for_each(|seq| self.forget(seq));
                }
                Kind::Skip(_) | Kind::Gap(..) => {}
            }
        }
        while self.kept.len() > self.bounds.events || self.bytes > self.bounds.bytes {
            let Some(oldest) = self.kept.keys().next().copied() else { break };
            self.forget(oldest);
        }
    }

    /// Lets go what has become too old.
    pub(crate) fn expire(&mut self, now: Instant) {
        let most = self.bounds.age.saturating_mul(2);
        let old = |kept: &Kept| now.duration_since(kept.appended) > most;
        while let Some((seq, _)) = self.kept.iter().next().filter(|(_, kept)| old(kept)) {
            let seq = *seq;
            self.forget(seq);
        }
    }

    /// The first message from this number on that the log has let go and that is kept.
    pub(crate) fn kept_from(&self, seq: u64) -> Option<(u64, &Kept)> {
        self.kept.range(seq..).next().map(|(seq, kept)| (*seq, kept))
    }

    /// Whether a message is the newest of its key among those that a client wants.
    pub(crate) fn is_newest(&self, facets: &Facets, partition: u32, seq: u64, select: &Select) -> bool {
        let classes = facets.topic.as_ref().and_then(|topic| self.topics.get(topic)).and_then(|keys| {
            match &facets.key {
                Some(key) => keys.keyed.get(key),
                None => keys.unkeyed.get(&partition),
            }
        });
        let newest = classes.into_iter().flatten().rev().find(|class| select.matches(&class.facets));
        newest.is_some_and(|class| class.seq == seq)
    }

    /// What a client which has everything before a number, and whose topic is of `own`, has missed.
    pub(crate) fn missed(&self, tag: TopicTag, own: EpochTag, next: u64) -> Missed {
        let missed = || self.epochs.get(&tag).into_iter().flatten().filter(|begun| begun.seq >= next);
        match missed().next_back() {
            None => Missed::Nothing,
            Some(last) if last.epoch == own => Missed::Nothing,
            Some(last) if missed().any(|begun| begun.after == own) => Missed::Until(last.epoch),
            Some(_) => Missed::Unknown,
        }
    }

    /// The topics that have begun anew where the log has let it go.
    pub(crate) fn begun(&self) -> impl Iterator<Item = TopicTag> {
        self.epochs.keys().copied()
    }

    /// The classes of a message's key. Nothing but a key that is new is copied.
    fn classes(&mut self, facets: &Facets, partition: u32) -> Option<&mut Vec<Class>> {
        let topic = facets.topic.as_ref()?;
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.clone(), Keys::default());
        }
        let keys = self.topics.get_mut(topic)?;
        let Some(key) = &facets.key else { return Some(keys.unkeyed.entry(partition).or_default()) };
        if !keys.keyed.contains_key(key) {
            keys.keyed.insert(Bytes::copy_from_slice(key), Vec::new());
        }
        keys.keyed.get_mut(key)
    }

    fn known(&mut self, facets: &Facets, partition: u32) -> Option<&mut Vec<Class>> {
        let keys = self.topics.get_mut(facets.topic.as_ref()?)?;
        match &facets.key {
            Some(key) => keys.keyed.get_mut(key),
            None => keys.unkeyed.get_mut(&partition),
        }
    }

    fn drop_kept(&mut self, seq: u64) -> Option<Kept> {
        let kept = self.kept.remove(&seq)?;
        self.bytes -= kept.size;
        Some(kept)
    }

    /// Lets a message go that is still the newest of its class.
    fn forget(&mut self, seq: u64) {
        let Some(Kept { at, facets, .. }) = self.drop_kept(seq) else { return };
        let Some(classes) = self.known(&facets, at.partition) else { return };
        classes.retain(|class| class.seq != seq);
        if !classes.is_empty() {
            return;
        }
        let Some(topic) = &facets.topic else { return };
        let Some(keys) = self.topics.get_mut(topic) else { return };
        match &facets.key {
            Some(key) => drop(keys.keyed.remove(key)),
            None => drop(keys.unkeyed.remove(&at.partition)),
        }
        if keys.keyed.is_empty() && keys.unkeyed.is_empty() {
            self.topics.remove(topic);
        }
    }
}

impl Class {
    /// Whether no selection tells its messages from this one, of the same key.
    fn is_of(&self, facets: &Facets) -> bool {
        self.facets.event == facets.event && self.facets.tags == facets.tags
    }
}

/// The same, holding on to nothing that it came in.
fn copy(facets: &Facets) -> Facets {
    Facets { key: facets.key.as_deref().map(Bytes::copy_from_slice), ..facets.clone() }
}
