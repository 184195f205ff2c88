//! The folder that a log lives in: who has it, and how far it has been synced.
//!
//! | name | holds |
//! |---|---|
//! | `lock` | who has it open, and a lock that goes with the process |
//! | `synced` | the epoch, and the end of what is synced for certain |
//! | `store` | the store itself |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process,
};

use tidewater_core::{Epoch, ErrorKind};

use crate::failure::{Failure, Result};

const LOCK: &str = "lock";
const SYNCED: &str = "synced";
const STORE: &str = "store";
/// A store that is being made.
const UNFINISHED: &str = "store.new";

/// A folder that this process has.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
    synced: File,
}

impl Folder {
    /// Makes the folder, where there is none, and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let io = |doing: &'static str| move |error: io::Error| Failure::io(doing, &error);
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                return Err(Failure::new(
                    ErrorKind::Config,
                    "it is no folder: name one, or a path where there is nothing",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(io("making the folder"))?;
                sync_folder(path.parent());
            }
            Err(error) => return Err(Failure::io("looking at the folder", &error)),
        }
        let lock_path = path.join(LOCK);
        if !lock_path.exists() && !path.join(STORE).exists() {
            is_empty(path)?;
        }
        let mut lock = open(&lock_path).map_err(io("opening its lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(held(&mut lock)),
            Err(fs::TryLockError::Error(error)) => return Err(Failure::io("locking it", &error)),
        }
        let synced = open(&path.join(SYNCED)).map_err(io("opening its file \"synced\""))?;
        let mut folder = Self { path: path.to_owned(), lock, synced };
        // Only for those who ask who it is: no room for it is no reason to stop.
        let _unwritten = folder.sign();
        if !folder.is_there() {
            return Err(Failure::unavailable("the folder was removed while it was opened"));
        }
        Ok(folder)
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Has a store made, unless there is one. What a process that was killed has begun is thrown away.
    pub(crate) fn make_store(&self, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if self.store().exists() {
            return Ok(());
        }
        if let Some((epoch, end)) = self.synced() {
            return Err(Failure::damaged(format_args!(
                "the folder \"{STORE}\" is gone, and the file \"{SYNCED}\" says that it had {end} messages of epoch {epoch}"
            )));
        }
        let io = |error: io::Error| Failure::io("making the store", &error);
        let unfinished = self.path.join(UNFINISHED);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        make(&unfinished)?;
        fs::rename(&unfinished, self.store()).map_err(io)?;
        sync_folder(Some(&self.path));
        Ok(())
    }

    /// Whether the path still leads to what was taken.
    pub(crate) fn is_there(&self) -> bool {
        match (fs::metadata(self.path.join(LOCK)), self.lock.metadata()) {
            (Ok(there), Ok(own)) => is_same(&there, &own),
            _ => false,
        }
    }

    /// What is synced for certain: of which epoch, and up to which offset. `None` where nothing (readable) says so.
    pub(crate) fn synced(&self) -> Option<(Epoch, u64)> {
        let mut text = String::new();
        let mut file = &self.synced;
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(SYNCED_LENGTH).read_to_string(&mut text).ok()?;
        let (epoch, end) = text.trim_end().split_once(' ')?;
        Some((Epoch(u128::from_str_radix(epoch, 16).ok()?), end.parse().ok()?))
    }

    /// Notes that everything before `end` is synced. It is not synced itself: it may say less than is so, never more.
    pub(crate) fn note_synced(&mut self, epoch: Epoch, end: u64) -> io::Result<()> {
        self.synced.seek(SeekFrom::Start(0))?;
        self.synced.write_all(format!("{epoch} {end:020}\n").as_bytes())
    }

    fn sign(&mut self) -> io::Result<()> {
        let name = std::env::current_exe().ok();
        let name = name.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        self.lock.set_len(0)?;
        self.lock.write_all(format!("{} {name}\n", process::id()).as_bytes())
    }
}

/// An epoch, a blank, an end, a line's end.
const SYNCED_LENGTH: u64 = 32 + 1 + 20 + 1;

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Refuses a folder that holds what is not ours. What is hidden may be there, and what a new file system brings.
fn is_empty(path: &Path) -> Result<()> {
    let io = |error| Failure::io("reading the folder", &error);
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if !name.as_encoded_bytes().starts_with(b".")
            && !["lost+found", UNFINISHED].iter().any(|own| name == *own)
        {
            return Err(Failure::new(
                ErrorKind::Config,
                format!("there is no store in the folder, and other things are ({name:?}): name a folder that is empty or new"),
            )
            .for_mending());
        }
    }
    Ok(())
}

fn held(lock: &mut File) -> Failure {
    let mut text = String::new();
    let who = match lock.take(256).read_to_string(&mut text) {
        Ok(_) => text.trim_end().split_once(' ').map(|(id, name)| format!(" ({name:?}, process {id})")),
        Err(_) => None,
    };
    Failure::unavailable(format!(
        "another process{} has it open: a folder is one process's at a time; end that one, or give each a path of its own",
        who.unwrap_or_default()
    ))
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What is open can't be removed there.
#[cfg(not(unix))]
fn is_same(_one: &fs::Metadata, _other: &fs::Metadata) -> bool {
    true
}

/// That a name is in its folder survives the end of the machine, where the system lets one say so.
fn sync_folder(path: Option<&Path>) {
    if let Some(folder) = path.and_then(|path| File::open(path).ok()) {
        let _unsupported = folder.sync_all();
    }
}
