//! An open store, as its writer sees it: where it ends, what is synced, what is kept.

use std::time::{Duration, Instant, SystemTime};

use tidewater_core::ErrorKind;
use tracing::warn;

use crate::{
    failure::{Failure, Result},
    log::Identity,
    settings::{Retain, SyncPolicy},
    store::{Ends, Folder, Marks, SMALLEST_PART, Store},
    tail::Tail,
};

/// The largest part of a log: what is removed at once.
const LARGEST_PART: u64 = 256 << 20;
/// Into so many parts is divided what is kept.
const PARTS: u32 = 8;
/// How long nothing is removed after a message could not be read that says what is to be.
const PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Open {
    folder: Folder,
    epoch: tidewater_core::Epoch,
    pub(super) ends: Ends,
    retain: Retain,
    /// What was written and is not synced: since when.
    unsynced: Option<Instant>,
    /// The bytes before its last part, and when that was begun.
    part: (u64, SystemTime),
    /// An offset, and what its record says: of the first that is kept, since it was last looked at.
    oldest: Option<(u64, Marks)>,
    /// What could not be read is looked at again from then on.
    retain_from: Instant,
}

impl Open {
    /// Takes the folder and opens its store, which is made where there is none.
    pub(super) fn begin(log: &Identity) -> Result<(Self, Store)> {
        let mut folder = Folder::take(&log.path)?;
        folder.make_store(|path| Store::make(path, &log.new_topic()))?;
        if !folder.was_closed {
            Store::mend(&folder.store(), &folder.journals())?;
        }
        let (store, ends) = Store::open(&folder.store())?;
        if let Some(topic) = log.settings.topic.as_ref().filter(|topic| **topic != store.topic) {
            return Err(Failure::new(
                ErrorKind::Config,
                format!(
                    "it holds the topic {:?}, and topic={topic:?} was asked for: leave that out, or name another path",
                    store.topic
                ),
            ));
        }
        match folder.synced() {
            Some((epoch, end)) if epoch == store.epoch && end > ends.end => {
                return Err(Failure::damaged(format_args!(
                    "{end} messages were on the disk for certain, and only those before {} can be read (to go on with \
                     them, remove the file \"synced\"; where there is a folder \"journals\", it has the store's journals \
                     as they were)",
                    ends.end
                )));
            }
            Some((epoch, _)) if epoch != store.epoch => {
                return Err(Failure::damaged(format_args!(
                    "its file \"synced\" is of another log, of epoch {epoch} and not {} (if the store is the right one, \
                     remove that file)",
                    store.epoch
                )));
            }
            _ => {}
        }
        if !folder.was_closed {
            folder.forget_journals();
        }
        let part = (ends.bytes, ends.marks.written.max(SystemTime::UNIX_EPOCH));
        let retain = log.settings.retain;
        let now = Instant::now();
        let (epoch, unsynced, retain_from) = (store.epoch, Some(now), now);
        let mut open = Self { folder, epoch, ends, retain, unsynced, part, oldest: None, retain_from };
        open.part = open.part_of(&store)?;
        Ok((open, store))
    }

    /// Whether the path still leads to it.
    pub(super) fn is_there(&self) -> bool {
        self.folder.is_there()
    }

    /// When the next sync is due, if one is.
    pub(super) fn sync_due(&self, policy: SyncPolicy) -> Option<Instant> {
        match policy {
            SyncPolicy::Every(every) => Some(self.unsynced? + every),
            SyncPolicy::Always | SyncPolicy::Os => None,
        }
    }

    /// Has synced all that was written.
    pub(super) fn sync(&mut self, store: &Store) -> Result<()> {
        if self.unsynced.is_some() {
            store.sync()?;
            self.is_synced();
        }
        Ok(())
    }

    /// A batch was written.
    pub(super) fn wrote(&mut self, ends: Ends, synced: bool) {
        self.ends = ends;
        match synced {
            true => self.is_synced(),
            false => _ = self.unsynced.get_or_insert_with(Instant::now),
        }
    }

    /// Nothing is written any more, and everything is synced.
    pub(super) fn note_closed(&mut self) {
        self.folder.note_closed();
    }

    fn is_synced(&mut self) {
        self.unsynced = None;
        // It may say less than is so.
        let _unwritten = self.folder.note_synced(self.epoch, self.ends.end);
    }

    /// Begins a new part of the log where the last is full.
    pub(super) fn make_room(&mut self, store: &Store) -> Result<()> {
        let bytes = self.ends.bytes - self.part.0;
        let events = self.ends.end - self.ends.base;
        let age = self.part.1.elapsed().unwrap_or_default();
        let share = |all: Option<u64>| all.map_or(u64::MAX, |all| all / u64::from(PARTS));
        let is_full = bytes >= share(self.retain.bytes).clamp(SMALLEST_PART, LARGEST_PART)
            || bytes >= SMALLEST_PART
                && (events >= share(self.retain.events)
                    || self.retain.age.is_some_and(|all| age >= all / PARTS));
        if is_full {
            self.begin_part(store)?;
        }
        Ok(())
    }

    fn begin_part(&mut self, store: &Store) -> Result<()> {
        store.begin_part(&mut self.ends)?;
        self.is_synced();
        self.part = (self.ends.bytes, SystemTime::now());
        Ok(())
    }

    /// Where the last part begins, and when.
    fn part_of(&self, store: &Store) -> Result<(u64, SystemTime)> {
        match self.ends.base < self.ends.end {
            true => {
                let marks =
                    store.marks(self.ends.base)?.ok_or_else(|| Failure::damaged("its last part is gone"))?;
                Ok((marks.before, marks.written))
            }
            false => Ok((self.ends.bytes, SystemTime::now())),
        }
    }

    /// Removes what is more than is to be kept. A message that can't be read stops that, and nothing else.
    pub(super) fn retain(&mut self, store: &Store, tail: &Tail, retain: Retain) -> Result<()> {
        if self.ends.first == self.ends.end || Instant::now() < self.retain_from {
            return Ok(());
        }
        match self.keep(store, retain) {
            Ok(keep) => self.retain_from(store, tail, keep),
            Err(failure) => {
                warn!(topic = %store.topic, "nothing is removed for a minute: {}", failure.error());
                self.retain_from = Instant::now() + PAUSE;
                Ok(())
            }
        }
    }

    /// The first offset that is to be kept.
    fn keep(&mut self, store: &Store, retain: Retain) -> Result<u64> {
        let Ends { first, end, bytes, .. } = self.ends;
        let mut keep = retain.events.map_or(first, |events| first.max(end.saturating_sub(events)));
        let gone = bytes.saturating_sub(retain.bytes.unwrap_or(u64::MAX));
        let age = retain.age.and_then(|age| SystemTime::now().checked_sub(age));
        let oldest = match self.oldest {
            Some((offset, marks)) if offset == first => Some(marks),
            _ => store.marks(first)?,
        };
        self.oldest = oldest.map(|marks| (first, marks));
        let is_due = |marks: &Marks| marks.before < gone || age.is_some_and(|age| marks.written < age);
        if oldest.as_ref().is_some_and(|oldest| !is_due(oldest)) {
            return Ok(keep);
        }
        // The newest stays, whatever its size.
        keep = store.search(keep..end - 1, |marks| marks.before < gone)?;
        if let Some(age) = age {
            keep = store.search(keep..end, |marks| marks.written < age)?;
        }
        Ok(keep)
    }

    /// Removes what stands before `first`. Readers learn of it before it is gone.
    pub(super) fn retain_from(&mut self, store: &Store, tail: &Tail, first: u64) -> Result<()> {
        let first = first.min(self.ends.end);
        if first <= self.ends.first {
            return Ok(());
        }
        if first == self.ends.end && self.ends.bytes - self.part.0 >= SMALLEST_PART {
            // Nothing of the last part is left, and nothing may come to fill it.
            self.begin_part(store)?;
        }
        self.ends.first = first;
        tail.retain_from(first);
        self.unsynced.get_or_insert_with(Instant::now);
        store.retain_from(first)
    }
}
