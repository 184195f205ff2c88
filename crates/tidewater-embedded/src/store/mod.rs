//! The log as it stands in the store: parts that follow each other, each a keyspace of its own, so that the oldest can be
//! removed as a whole.
//!
//! | key | value |
//! |---|---|
//! | `m:format`, `m:epoch`, `m:topic` | of the whole log: the version of all this, the epoch, the topic's name |
//! | `m:marks` | what stands before the part's first record |
//! | `m:first` | the first offset that is kept |
//! | `r` and 8 bytes of offset | a record |
//! | `w:` and an id | the cursor of a writer that writes each message once |
//!
//! Every part has all of the first and the last kind: what belongs together is in one keyspace, and so written to its tables
//! together, whatever of the journal survives.

mod check;
mod folder;
mod journal;
mod page;
mod record;
mod room;

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{PoisonError, RwLock},
    time::SystemTime,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tidewater_core::{Epoch, ErrorKind, Message, TopicName};

use crate::failure::{Failure, Result};

pub(crate) use self::{folder::Folder, record::Marks};

/// The version of what stands in the store.
const FORMAT: u8 = 1;
const PART: &str = "log.";
const META: &[u8] = b"m:";
const WRITER: &[u8] = b"w:";
const RECORD: u8 = b'r';

/// What is in memory until it is written to a table. Small, because a part that is full keeps what is left of it.
const MEMTABLE: u64 = 4 << 20;
/// The least that fills a part, so that each is written to tables, which is what lets the journal go.
pub(crate) const SMALLEST_PART: u64 = 2 * MEMTABLE;
/// The least that the store takes.
const JOURNAL: u64 = 64 << 20;
const CACHE: u64 = 8 << 20;
const OPEN_FILES: usize = 64;

/// An open store.
pub(crate) struct Store {
    /// In their order; never empty.
    parts: RwLock<Vec<Part>>,
    pub(crate) topic: TopicName,
    pub(crate) epoch: Epoch,
    // After the parts: the last that has it closes it.
    database: Database,
}

#[derive(Clone)]
struct Part {
    base: u64,
    log: Keyspace,
}

/// Where the log ends, and begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// Where its last part begins.
    pub(crate) base: u64,
    /// The bytes of all records, removed ones too.
    pub(crate) bytes: u64,
    /// Of the last record.
    pub(crate) marks: Marks,
}

/// What one batch writes.
#[derive(Default)]
pub(crate) struct Batch {
    records: Vec<(u64, Vec<u8>)>,
    writers: Vec<(String, String)>,
}

impl Batch {
    /// Puts a message behind all that there is. One without a time gets that of its writing: of its own, where a clock
    /// was ahead when one before it was written.
    pub(crate) fn append(&mut self, ends: &mut Ends, message: &mut Message, now: SystemTime) {
        if ends.marks.written > now {
            message.timestamp.get_or_insert(now);
        }
        ends.marks = ends.marks.next(ends.bytes - ends.marks.before, now, message);
        let record = record::encode(&ends.marks, message);
        message.timestamp.get_or_insert(ends.marks.written);
        ends.bytes += record.len() as u64;
        self.records.push((ends.end, record));
        ends.end += 1;
    }

    /// Puts the cursor of a writer in place of what it was.
    pub(crate) fn set_writer(&mut self, id: &str, cursor: String) {
        self.writers.push((id.to_owned(), cursor));
    }
}

impl Store {
    /// Makes a store that holds nothing.
    pub(crate) fn make(path: &Path, topic: &TopicName) -> Result<()> {
        let failed = |error: fjall::Error| Failure::store("making the store", &error);
        let database = database(path).map_err(failed)?;
        let epoch = Epoch::random();
        let metas = [
            (key(META, b"format"), vec![FORMAT]),
            (key(META, b"epoch"), epoch.0.to_be_bytes().to_vec()),
            (key(META, b"topic"), topic.as_bytes().to_vec()),
            (key(META, b"first"), 0_u64.to_be_bytes().to_vec()),
            (key(META, b"marks"), Marks::start().encode()),
        ];
        begin_part(&database, 0, metas).map_err(failed)?;
        Ok(())
    }

    /// Opens one.
    pub(crate) fn open(path: &Path) -> Result<(Self, Ends)> {
        check::check(path)?;
        // The store has assertions about its own files; one that is damaged can break them.
        catch_unwind(AssertUnwindSafe(|| Self::open_checked(path))).unwrap_or_else(|_| {
            Err(Failure::damaged("opening it failed an assertion of its own, which was printed"))
        })
    }

    fn open_checked(path: &Path) -> Result<(Self, Ends)> {
        let failed = |error: fjall::Error| Failure::opening(&error);
        let database = database(path).map_err(failed)?;
        let mut parts = Vec::new();
        for name in database.list_keyspace_names() {
            let base = name.strip_prefix(PART).and_then(|base| u64::from_str_radix(base, 16).ok());
            let log = database.keyspace(&name, options).map_err(failed)?;
            match base {
                Some(_) if log.get(key(META, b"format")).map_err(failed)?.is_none() => {
                    if log.first_key_value().is_some() {
                        return Err(Failure::damaged(format_args!(
                            "the part {name:?} has lost what it begins with"
                        )));
                    }
                    // The process ended while it was begun.
                    database.delete_keyspace(log).map_err(failed)?;
                }
                Some(base) => parts.push(Part { base, log }),
                None => {
                    return Err(Failure::damaged(format_args!("there is something foreign in it, {name:?}")));
                }
            }
        }
        parts.sort_unstable_by_key(|part| part.base);
        let Some(last) = parts.last().cloned() else {
            return Err(Failure::damaged("there is no log in it"));
        };
        let meta = |name: &str| -> Result<_> {
            let value = last.log.get(key(META, name.as_bytes())).map_err(failed)?;
            value.ok_or_else(|| Failure::damaged(format_args!("its {name} is missing")))
        };
        if *meta("format")? != [FORMAT] {
            return Err(Failure::new(
                ErrorKind::Unsupported,
                format!(
                    "what is in the store is of version {:?}, and this reads {FORMAT}: open it with the version that wrote it",
                    &*meta("format")?
                ),
            ));
        }
        let number = |name: &str| {
            meta(name).map(|value| value.iter().fold(0, |all, byte| all << 8 | u128::from(*byte)))
        };
        let topic = meta("topic")?;
        let topic =
            std::str::from_utf8(&topic).map_err(|_| Failure::damaged("the topic's name is no text"))?;
        let (topic, epoch) = (TopicName::new(topic), Epoch(number("epoch")?));
        let (first, oldest) = (number("first")? as u64, parts.first().map_or(0, |part| part.base));
        if oldest > first {
            return Err(Failure::damaged(format_args!(
                "the messages from offset {first} to {oldest} are missing"
            )));
        }
        let ends = ends(&parts, first)?;
        for part in parts.iter().rev().skip(1).filter(|part| part.in_memory() > 0) {
            part.to_table()?;
        }
        let store = Self { parts: RwLock::new(parts), topic, epoch, database };
        store.remove_before(first)?;
        Ok((store, ends))
    }

    /// Makes one that was not closed in good order ready to be opened. Its journals as they were are kept in the folder
    /// `kept`, where there is room for them.
    pub(crate) fn mend(path: &Path, kept: &Path) -> Result<()> {
        check::check(path)?;
        let is_new = !kept.exists();
        if journal::keep(path, kept).is_err() && is_new {
            // There is no room, mostly: that is no reason not to open it.
            let _left = std::fs::remove_dir_all(kept);
        }
        journal::rewrite(path)
    }

    /// Writes what belongs together, and has it synced if it is to be.
    pub(crate) fn write(&self, batch: Batch, sync: bool) -> Result<()> {
        self.make_room()?;
        let part = self.last();
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut items = self.database.batch().durability(Some(mode));
        for (offset, record) in batch.records {
            items.insert(&part.log, record_key(offset), record);
        }
        for (id, cursor) in batch.writers {
            items.insert(&part.log, key(WRITER, id.as_bytes()), cursor.into_bytes());
        }
        items.commit().map_err(|error| Failure::store("writing", &error))
    }

    /// Has all that was written survive the end of the machine.
    pub(crate) fn sync(&self) -> Result<()> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| Failure::store("syncing", &error))
    }

    /// The cursor of a writer that writes each message once.
    pub(crate) fn writer(&self, id: &str) -> Result<Option<String>> {
        let cursor = self.last().log.get(key(WRITER, id.as_bytes()));
        let cursor = cursor.map_err(|error| Failure::store("reading a writer's cursor", &error))?;
        let text = |cursor: fjall::UserValue| String::from_utf8(cursor.to_vec()).ok();
        cursor
            .map(|cursor| {
                text(cursor).ok_or_else(|| Failure::damaged(format_args!("the cursor of {id:?} is no text")))
            })
            .transpose()
    }

    /// Begins a new part behind all that there is.
    pub(crate) fn begin_part(&self, ends: &mut Ends) -> Result<()> {
        let failed = |error: fjall::Error| Failure::store("beginning a new part of the log", &error);
        // What comes next must never survive what is before it.
        self.sync()?;
        let last = self.last();
        let marks = Marks { before: ends.bytes, ..ends.marks };
        let mut metas = Vec::new();
        for prefix in [META, WRITER] {
            for item in last.log.prefix(prefix) {
                let (key, value) = item.into_inner().map_err(failed)?;
                metas.push((key.to_vec(), value.to_vec()));
            }
        }
        metas.push((key(META, b"marks"), marks.encode()));
        let log = begin_part(&self.database, ends.end, metas).map_err(failed)?;
        self.parts.write().unwrap_or_else(PoisonError::into_inner).push(Part { base: ends.end, log });
        // What is left of the last in memory keeps the journal that it is in.
        last.to_table()?;
        (ends.base, ends.marks) = (ends.end, marks);
        Ok(())
    }

    /// Notes that what stands before `first` is gone, and removes the parts that hold nothing else.
    pub(crate) fn retain_from(&self, first: u64) -> Result<()> {
        self.make_room()?;
        let part = self.last();
        let mut items = self.database.batch().durability(Some(PersistMode::Buffer));
        items.insert(&part.log, key(META, b"first"), first.to_be_bytes());
        items.commit().map_err(|error| Failure::store("removing the oldest messages", &error))?;
        self.remove_before(first)
    }

    fn remove_before(&self, first: u64) -> Result<()> {
        let mut is_noted = false;
        loop {
            let oldest = {
                let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
                match &parts[..] {
                    [_, second, ..] if second.base <= first => parts.remove(0),
                    _ => return Ok(()),
                }
            };
            if !is_noted {
                // Where the log begins has to survive before what was there is gone.
                self.sync()?;
                is_noted = true;
            }
            self.database
                .delete_keyspace(oldest.log)
                .map_err(|error| Failure::store("removing the oldest messages", &error))?;
        }
    }

    /// The part that is written to.
    fn last(&self) -> Part {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        // There is one from the beginning on, and the last is never removed.
        parts[parts.len() - 1].clone()
    }
}

fn database(path: &Path) -> fjall::Result<Database> {
    Database::builder(path)
        .worker_threads(1)
        .cache_size(CACHE)
        .max_cached_files(Some(OPEN_FILES))
        .max_journaling_size(JOURNAL)
        .open()
}

fn options() -> KeyspaceCreateOptions {
    // The log itself says when a table is begun.
    KeyspaceCreateOptions::default().max_memtable_size(u64::MAX)
}

fn begin_part(
    database: &Database,
    base: u64,
    metas: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
) -> fjall::Result<Keyspace> {
    let log = database.keyspace(&format!("{PART}{base:016x}"), options)?;
    let mut items = database.batch().durability(Some(PersistMode::SyncAll));
    for (key, value) in metas {
        items.insert(&log, key, value);
    }
    items.commit()?;
    Ok(log)
}

/// Looks where the log ends, and whether its parts follow each other.
fn ends(parts: &[Part], first: u64) -> Result<Ends> {
    let failed = |error: fjall::Error| Failure::opening(&error);
    let mut found = Ends { first, end: 0, base: 0, bytes: 0, marks: Marks::start() };
    for (index, part) in parts.iter().enumerate() {
        let base = part.base;
        if index > 0 && base != found.end {
            let end = found.end;
            return Err(Failure::damaged(format_args!(
                "the messages from offset {end} to {base} are missing"
            )));
        }
        let last = part.log.range(records(0..u64::MAX)).next_back().map(fjall::Guard::into_inner);
        let (end, marks, size) = match last.transpose().map_err(failed)? {
            Some((key, record)) => {
                let end = offset(&key).map(|offset| offset + 1);
                (end, record::marks(&record), record.len() as u64)
            }
            None => {
                let marks = part.log.get(key(META, b"marks")).map_err(failed)?;
                (Some(base), marks.and_then(|marks| record::marks(&marks)), 0)
            }
        };
        let (Some(end), Some(marks)) = (end, marks) else {
            return Err(Failure::damaged(format_args!("the end of the part {base:016x} can't be read")));
        };
        found = Ends { first, end, base, bytes: marks.before + size, marks };
    }
    found.first = first.min(found.end);
    Ok(found)
}

fn key(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    [prefix, name].concat()
}

fn record_key(offset: u64) -> [u8; 9] {
    let mut key = [RECORD; 9];
    key[1..].copy_from_slice(&offset.to_be_bytes());
    key
}

fn records(offsets: Range<u64>) -> Range<[u8; 9]> {
    record_key(offsets.start)..record_key(offsets.end)
}

/// The offset that a record's key is.
fn offset(key: &[u8]) -> Option<u64> {
    let (kind, offset) = key.split_first()?;
    (*kind == RECORD).then(|| offset.try_into().ok().map(u64::from_be_bytes))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store of two parts, of which each has a message.
    fn two_parts(path: &Path) -> (Store, Ends) {
        Store::make(path, &TopicName::new("x")).unwrap();
        let (store, mut ends) = Store::open(path).unwrap();
        for index in 0..2 {
            if index > 0 {
                store.begin_part(&mut ends).unwrap();
            }
            let mut batch = Batch::default();
            batch.append(&mut ends, &mut Message::new("", "x"), SystemTime::now());
            store.write(batch, true).unwrap();
        }
        (store, ends)
    }

    fn refused(path: &Path, what: &str) {
        let failure = Store::open(path).map(drop).unwrap_err();
        assert!(failure.error().to_string().contains(what), "{failure:?}");
    }

    #[test]
    fn an_oldest_part_that_is_gone_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (store, _) = two_parts(&path);
        let oldest = store.parts.write().unwrap().remove(0);
        store.database.delete_keyspace(oldest.log).unwrap();
        drop(store);
        refused(&path, "from offset 0 to 1 are missing");
    }

    #[test]
    fn a_part_that_lost_its_beginning_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (store, _) = two_parts(&path);
        store.last().log.remove(key(META, b"format")).unwrap();
        drop(store);
        for _ in 0..2 {
            refused(&path, "has lost what it begins with");
        }
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_later_times_alone() {
        let now = SystemTime::now();
        let ahead = Marks { written: now + std::time::Duration::from_secs(3600), ..Marks::start() };
        let mut ends = Ends { first: 0, end: 0, base: 0, bytes: 0, marks: ahead };
        let (mut batch, mut message) = (Batch::default(), Message::new("", "x"));
        batch.append(&mut ends, &mut message, now);
        assert_eq!(message.timestamp, Some(now));
        assert_eq!(record::decode(&batch.records[0].1).unwrap().timestamp, Some(now), "as it is in memory");
    }

    #[test]
    fn what_was_removed_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (store, _) = two_parts(&path);
        store.retain_from(1).unwrap();
        drop(store);
        let (store, ends) = Store::open(&path).unwrap();
        assert_eq!((ends.first, ends.end, store.parts.read().unwrap().len()), (1, 2, 1));
    }
}
