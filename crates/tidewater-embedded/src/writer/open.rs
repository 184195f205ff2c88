//! An open store, as its writer sees it: where it ends, what is synced, what is kept.

use std::time::{Instant, SystemTime};

use tidewater_core::ErrorKind;

use crate::{
    failure::{Failure, Result},
    log::Identity,
    settings::{Retain, SyncPolicy},
    store::{Ends, Folder, SMALLEST_PART, Store},
    tail::Tail,
};

/// The largest part of a log: what is removed at once.
const LARGEST_PART: u64 = 256 << 20;
/// Into so many parts is divided what is kept.
const PARTS: u32 = 8;

pub(super) struct Open {
    folder: Folder,
    epoch: tidewater_core::Epoch,
    pub(super) ends: Ends,
    retain: Retain,
    /// What was written and is not synced: since when.
    unsynced: Option<Instant>,
    /// The bytes before its last part, and when that was begun.
    part: (u64, SystemTime),
}

impl Open {
    /// Takes the folder and opens its store, which is made where there is none.
    pub(super) fn begin(log: &Identity) -> Result<(Self, Store)> {
        let folder = Folder::take(&log.path)?;
        folder.make_store(|path| Store::make(path, &log.new_topic()))?;
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
                     them, remove the file \"synced\")",
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
        let part = (ends.bytes, ends.marks.written.max(SystemTime::UNIX_EPOCH));
        let retain = log.settings.retain;
        let unsynced = Some(Instant::now());
        let mut open = Self { folder, epoch: store.epoch, ends, retain, unsynced, part };
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

    /// Removes what is more than is to be kept.
    pub(super) fn retain(&mut self, store: &Store, tail: &Tail, retain: Retain) -> Result<()> {
        let Ends { first, end, bytes, .. } = self.ends;
        if first == end {
            return Ok(());
        }
        let mut keep = first;
        if let Some(events) = retain.events {
            keep = keep.max(end.saturating_sub(events));
        }
        if let Some(limit) = retain.bytes {
            let gone = bytes.saturating_sub(limit);
            // The newest stays, whatever its size.
            keep = store.search(keep..end - 1, |marks| marks.before < gone)?;
        }
        if let Some(age) = retain.age.and_then(|age| SystemTime::now().checked_sub(age)) {
            keep = store.search(keep..end, |marks| marks.written < age)?;
        }
        if keep > first {
            self.retain_from(store, tail, keep)?;
        }
        Ok(())
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
