//! What all readers of a log share: where it is, and the newest messages.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tidewater_core::{Epoch, Message, Position, TopicName, TopicTag};
use tokio::sync::watch;

use crate::{
    KIND,
    store::{Ends, Store},
};

/// How much of the newest is in memory.
const EVENTS: usize = 8192;
const BYTES: usize = 8 << 20;

/// The log as its readers see it. Only its writer changes it.
pub(crate) struct Tail {
    kept: Mutex<Kept>,
    /// Counts changes, for those who wait.
    moved: watch::Sender<u64>,
    /// `None` while it is closed. What reads has it locked, so that it can be closed.
    pub(crate) store: RwLock<Option<Store>>,
}

/// Where the log is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) topic: TopicName,
    pub(crate) tag: TopicTag,
    pub(crate) epoch: Epoch,
    pub(crate) first: u64,
    pub(crate) end: u64,
}

pub(crate) struct Kept {
    /// `None` before it was opened.
    pub(crate) place: Option<Arc<Place>>,
    newest: VecDeque<Message>,
    bytes: usize,
}

impl Kept {
    /// The newest messages from this offset on, if they begin there or before it.
    pub(crate) fn newest(&self, next: u64, end: u64) -> Option<impl Iterator<Item = &Message>> {
        let behind = usize::try_from(end - next).ok()?;
        let skipped = self.newest.len().checked_sub(behind)?;
        Some(self.newest.range(skipped..))
    }

    fn clear(&mut self) {
        self.newest = VecDeque::new();
        self.bytes = 0;
    }
}

impl Tail {
    pub(crate) fn new() -> Self {
        let kept = Kept { place: None, newest: VecDeque::new(), bytes: 0 };
        Self { kept: Mutex::new(kept), moved: watch::Sender::new(0), store: RwLock::new(None) }
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        self.kept().place.clone()
    }

    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// A store was opened.
    pub(crate) fn open(&self, store: Store, ends: &Ends) {
        let place = Place {
            topic: store.topic.clone(),
            tag: TopicTag::of(KIND, &store.topic),
            epoch: store.epoch,
            first: ends.first,
            end: ends.end,
        };
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
        let mut kept = self.kept();
        kept.clear();
        kept.place = Some(Arc::new(place));
        drop(kept);
        self.tell();
    }

    /// Closes the store. Readers find nothing until another is opened.
    pub(crate) fn close(&self) {
        let store = self.store.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(store);
    }

    /// These were written, at the end.
    pub(crate) fn append(&self, messages: impl Iterator<Item = Message>, ends: &Ends) {
        let mut kept = self.kept();
        let Some(place) = kept.place.as_deref().cloned() else { return };
        for (message, offset) in messages.zip(place.end..) {
            let (topic, position) = (place.topic.clone(), Position::Offset(offset));
            let message = Message { topic, tag: place.tag, partition: 0, position, ..message };
            kept.bytes += message.size();
            kept.newest.push_back(message);
        }
        while kept.newest.len() > EVENTS || (kept.bytes > BYTES && kept.newest.len() > 1) {
            let Some(oldest) = kept.newest.pop_front() else { break };
            kept.bytes -= oldest.size();
        }
        kept.place = Some(Arc::new(Place { end: ends.end, ..place }));
        drop(kept);
        self.tell();
    }

    /// What stands before `first` is gone.
    pub(crate) fn retain_from(&self, first: u64) {
        let mut kept = self.kept();
        let Some(place) = kept.place.as_deref().cloned() else { return };
        let removed = kept.newest.len().saturating_sub((place.end - first) as usize);
        for oldest in kept.newest.drain(..removed).collect::<Vec<_>>() {
            kept.bytes -= oldest.size();
        }
        kept.place = Some(Arc::new(Place { first, ..place }));
    }

    fn tell(&self) {
        self.moved.send_modify(|count| *count += 1);
    }
}
