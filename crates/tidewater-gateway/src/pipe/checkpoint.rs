//! The checkpoint: a file that says how far a pipe has come.
//!
//! It is written beside its place and put there by a rename, both of them synced, so that there is a whole one at any
//! time. A file beside it (`.lock`) is locked as long as the pipe lives; it stays, because who removes a lock file may
//! remove another's.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tidewater::Cursor;

use crate::failure::Failure;

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;
/// No checkpoint is longer: a cursor's text is 64 KiB at most.
const MAX_BYTES: u64 = 1 << 20;

/// How far a pipe has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// The pipe's id: what the sink knows it by.
    pub(super) id: String,
    /// The source, without secrets.
    pub(super) source: String,
    /// The sink, without secrets.
    pub(super) sink: String,
    pub(super) promise: Promise,
    /// Where the source is read from next: the sink has everything before it.
    #[serde(with = "text")]
    pub(super) cursor: Cursor,
    /// The sink's own position when this was written, if it keeps one and has any.
    #[serde(with = "text_if_any", default, skip_serializing_if = "Option::is_none")]
    pub(super) written: Option<Cursor>,
    /// Nothing was written behind the cursor.
    pub(super) complete: bool,
    /// When this was written, as RFC 3339 has it.
    at: String,
    /// Since the pipe began, over all its runs.
    #[serde(flatten)]
    pub(super) counts: Counts,
}

/// How often a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::enum_variant_names, reason = "that is what everybody calls them")]
pub(super) enum Promise {
    /// The sink keeps the position.
    #[serde(rename = "exactly once")]
    ExactlyOnce,
    /// The file keeps it.
    #[serde(rename = "at least once")]
    AtLeastOnce,
    /// There is none: the source keeps nothing.
    #[serde(rename = "at most once")]
    AtMostOnce,
}

/// What went through a pipe, and what didn't.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Messages that the sink has.
    pub(super) messages: u64,
    /// Bytes of their topics, keys, headers and payloads.
    pub(super) bytes: u64,
    /// Gaps that were passed over.
    pub(super) gaps: u64,
    /// Messages that the sink refuses, and that were passed over.
    pub(super) rejected: u64,
}

impl Counts {
    /// What came in between.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
            gaps: self.gaps - before.gaps,
            rejected: self.rejected - before.rejected,
        }
    }
}

impl Checkpoint {
    /// The first one of a pipe.
    pub(super) fn new(id: String, source: &impl fmt::Display, sink: &impl fmt::Display) -> Self {
        Self {
            version: VERSION,
            id,
            source: source.to_string(),
            sink: sink.to_string(),
            promise: Promise::AtLeastOnce,
            cursor: Cursor::default(),
            written: None,
            complete: true,
            at: String::new(),
            counts: Counts::default(),
        }
    }
}

/// A checkpoint's file, locked.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl CheckpointFile {
    /// Locks it and reads what it says, if it is there.
    ///
    /// # Errors
    /// If another pipe has it, if it can't be read, or if it is no checkpoint: it stays as it is then.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<Checkpoint>), Failure> {
        let beside = beside(path, ".lock");
        // What else has that name keeps what it holds.
        let opened = File::options().write(true).create(true).truncate(false).open(&beside);
        let lock = opened.map_err(|error| {
            Failure::runtime(format_args!(
                "the checkpoint's lock {} can't be made: {error}. --checkpoint FILE names a place that can be written to",
                beside.display()
            ))
        })?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure::runtime(format_args!(
                "another pipe has the checkpoint {}: a checkpoint is one pipe's. Wait for its end, or give this one another \
                 place by --checkpoint FILE",
                path.display()
            )),
            TryLockError::Error(error) => {
                Failure::runtime(format_args!("{} can't be locked: {error}", beside.display()))
            }
        })?;
        let found = read(path)?;
        Ok((Self { path: path.to_owned(), _lock: lock }, found))
    }

    /// Puts this in its place.
    ///
    /// # Errors
    /// If it can't be written; what was there is there still.
    pub(super) fn save(&self, checkpoint: &mut Checkpoint) -> Result<(), Failure> {
        checkpoint.at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        self.replace(checkpoint).map_err(|error| {
            Failure::runtime(format_args!("the checkpoint {} can't be written: {error}", self.path.display()))
        })
    }

    fn replace(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        let new = beside(&self.path, ".new");
        let mut file = File::create(&new)?;
        let mut text = serde_json::to_string_pretty(checkpoint)?;
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_folder(&self.path)
    }
}

/// A name that the file would have without being taken for it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// That a file has its name is the folder's content.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn read(path: &Path) -> Result<Option<Checkpoint>, Failure> {
    let shown = path.display();
    let unreadable = |why: &dyn fmt::Display| {
        Failure::usage(format_args!(
            "{shown} can't be read as a checkpoint: {why}. It stays as it is. Name another file by --checkpoint FILE; or \
             remove this one, and the pipe begins anew (or goes on where the sink says, if the sink keeps positions)"
        ))
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
        Ok(there) if !there.is_file() => return Err(unreadable(&"it is no file")),
        Ok(there) if there.len() > MAX_BYTES => return Err(unreadable(&"it is too long")),
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let version: Version = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    if version.version != VERSION {
        let version = version.version;
        return Err(unreadable(&format_args!(
            "it has version {version}, and this tidewater knows {VERSION}"
        )));
    }
    serde_json::from_str(&text).map(Some).map_err(|error| unreadable(&error))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A cursor by its text form.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tidewater::Cursor;

    pub(super) fn serialize<S: Serializer>(cursor: &Cursor, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(cursor)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cursor, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|why| D::Error::custom(format_args!("its cursor is {why}")))
    }
}

/// The same of one that need not be there.
mod text_if_any {
    use serde::{Deserializer, Serializer};
    use tidewater::Cursor;

    pub(super) fn serialize<S: Serializer>(cursor: &Option<Cursor>, to: S) -> Result<S::Ok, S::Error> {
        match cursor {
            Some(cursor) => super::text::serialize(cursor, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cursor>, D::Error> {
        super::text::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tidewater::{EpochTag, TopicTag};

    use super::*;

    fn checkpoint() -> Checkpoint {
        let mut checkpoint = Checkpoint::new("a".to_owned(), &"kafka://h/a", &"kafka://h/b");
        checkpoint.cursor.raise(TopicTag(7), EpochTag(9), 1, 300);
        checkpoint.promise = Promise::ExactlyOnce;
        checkpoint.written = Some(checkpoint.cursor.clone());
        checkpoint.counts.messages = 5;
        checkpoint
    }

    #[test]
    fn what_is_saved_is_read_and_nothing_is_left_beside_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("c.json");
        let (file, none) = CheckpointFile::open(&path).unwrap();
        assert_eq!(none, None);
        let mut saved = checkpoint();
        for messages in 1..4 {
            saved.counts.messages = messages;
            file.save(&mut saved).unwrap();
        }
        drop(file);
        assert_eq!(CheckpointFile::open(&path).unwrap().1, Some(saved));
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["c.json", "c.json.lock"]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"exactly once\"") && text.contains("\"messages\": 3"), "{text}");
    }

    #[test]
    fn a_checkpoint_is_one_pipes() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("c.json");
        let (first, _) = CheckpointFile::open(&path).unwrap();
        first.save(&mut checkpoint()).unwrap();
        let error = CheckpointFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("another pipe") && error.contains("c.json"), "{error}");
        drop(first);
        assert!(CheckpointFile::open(&path).is_ok());
    }

    #[test]
    fn what_has_the_locks_name_keeps_what_it_holds() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("Some.lock"), "precious").unwrap();
        drop(CheckpointFile::open(&folder.path().join("Some")).unwrap());
        assert_eq!(fs::read_to_string(folder.path().join("Some.lock")).unwrap(), "precious");
    }

    #[test]
    fn what_is_no_checkpoint_is_refused_and_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("c.json");
        let whole = serde_json::to_string(&checkpoint()).unwrap();
        for (text, why) in [
            (String::new(), "EOF"),
            ("hello".to_owned(), "expected"),
            (whole[..whole.len() / 2].to_owned(), "EOF"),
            (whole.replace("\"version\":1", "\"version\":2"), "version 2"),
            (whole.replace(&checkpoint().cursor.to_string(), "!"), "its cursor is not base64url"),
            (whole.replace("exactly once", "sometimes"), "sometimes"),
            (" ".repeat(MAX_BYTES as usize + 1), "too long"),
        ] {
            fs::write(&path, &text).unwrap();
            let error = CheckpointFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("--checkpoint"), "{why}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = CheckpointFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("no file"), "{error}");
        let nowhere = CheckpointFile::open(&folder.path().join("no/c.json")).unwrap_err().to_string();
        assert!(nowhere.contains("--checkpoint FILE"), "{nowhere}");
    }
}
