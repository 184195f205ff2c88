//! The folder that a log lives in: who has it, and how far it has been synced.
//!
//! | name | holds |
//! |---|---|
//! | `lock` | who has it open, and a lock that goes with the process |
//! | `synced` | the epoch, and the end of what is synced for certain |
//! | `store` | the store itself |
//! | `journals` | its journals as they were found after an end that was not in good order, until it is opened |

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
const JOURNALS: &str = "journals";
/// A store that is being made.
const UNFINISHED: &str = "store.new";
/// What every store has in it.
const VERSION: &str = "version";

/// A folder that this process has.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
    synced: File,
    /// The folder of the store, once there is one.
    store: Option<fs::Metadata>,
    /// Whether whoever had it before has closed it in good order.
    pub(crate) was_closed: bool,
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
                if fs::symlink_metadata(path).is_ok() {
                    let message =
                        "it is a link to nothing: make the folder that it names, or name another path";
                    return Err(Failure::new(ErrorKind::Config, message).for_mending());
                }
                let new: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
                fs::create_dir_all(path).map_err(io("making the folder"))?;
                new.iter().for_each(|made| sync_folder(made.parent()));
            }
            Err(error) => return Err(Failure::io("looking at the folder", &error)),
        }
        is_own(path)?;
        let lock = open(&path.join(LOCK)).map_err(io("opening its lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(held(&lock)),
            Err(fs::TryLockError::Error(error)) => return Err(Failure::io("locking it", &error)),
        }
        let synced = open(&path.join(SYNCED)).map_err(io("opening its file \"synced\""))?;
        let was_closed = read(&lock).is_some_and(|text| text == CLOSED);
        let mut folder = Self { path: path.to_owned(), lock, synced, store: None, was_closed };
        // Only for those who ask who it is: no room for it is no reason to stop.
        let _unwritten = folder.sign(&this_process());
        if !folder.is_there() {
            return Err(Failure::unavailable("the folder was removed while it was opened"));
        }
        Ok(folder)
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Where its journals are kept while it is opened.
    pub(crate) fn journals(&self) -> PathBuf {
        self.path.join(JOURNALS)
    }

    /// The store was opened, and has what it is to have.
    pub(crate) fn forget_journals(&self) {
        let _none = fs::remove_dir_all(self.journals());
    }

    /// Has a store made, unless there is one. What a process that was killed has begun is thrown away.
    pub(crate) fn make_store(&mut self, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if self.store().exists() {
            return self.look_at_store();
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
        self.look_at_store()
    }

    fn look_at_store(&mut self) -> Result<()> {
        let found =
            fs::metadata(self.store()).map_err(|error| Failure::io("looking at the store", &error))?;
        self.store = Some(found);
        Ok(())
    }

    /// Notes that everything was synced, and nothing is written any more.
    pub(crate) fn note_closed(&mut self) {
        let _unwritten = self.sign(CLOSED);
    }

    /// Whether the path still leads to what was taken.
    pub(crate) fn is_there(&self) -> bool {
        let is_own = |name: &str, own: &fs::Metadata| {
            fs::metadata(self.path.join(name)).is_ok_and(|there| is_same(&there, own))
        };
        self.lock.metadata().is_ok_and(|own| is_own(LOCK, &own))
            && self.store.as_ref().is_none_or(|own| is_own(STORE, own))
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

    fn sign(&mut self, text: &str) -> io::Result<()> {
        self.lock.set_len(0)?;
        self.lock.seek(SeekFrom::Start(0))?;
        self.lock.write_all(text.as_bytes())
    }
}

/// What the lock says when nobody has it, and everything is synced.
const CLOSED: &str = "closed\n";

fn this_process() -> String {
    let name = std::env::current_exe().ok();
    let name = name.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    format!("{} {name}\n", process::id())
}

/// The beginning of a file that is text.
fn read(mut file: &File) -> Option<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(256).read_to_string(&mut text).ok()?;
    Some(text)
}

/// An epoch, a blank, an end, a line's end.
const SYNCED_LENGTH: u64 = 32 + 1 + 20 + 1;

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Refuses a folder that holds what is not ours, before anything in it is touched. What is hidden may be there, and what a
/// new file system brings; next to a store, whatever there is.
fn is_own(path: &Path) -> Result<()> {
    let io = |error| Failure::io("reading the folder", &error);
    let store = path.join(STORE);
    if store.join(VERSION).exists() {
        return Ok(());
    }
    let refuse = |what: String| {
        let message =
            format!("there is no store in the folder, and {what}: name a folder that is empty or new");
        Err(Failure::new(ErrorKind::Config, message).for_mending())
    };
    let lock = File::open(path.join(LOCK)).ok();
    let is_signed = lock.as_ref().and_then(read).is_none_or(|text| is_signature(&text));
    if !is_signed {
        return refuse(format!("its file {LOCK:?} is another program's"));
    }
    if store.exists() {
        let synced = File::open(path.join(SYNCED)).ok();
        return match synced.as_ref().and_then(read).is_some_and(|text| !text.is_empty()) && lock.is_some() {
            true => Err(Failure::damaged(format_args!("its file \"{STORE}/{VERSION}\" is gone"))),
            false => refuse(format!("its folder {STORE:?} is another program's")),
        };
    }
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if !name.as_encoded_bytes().starts_with(b".")
            && !["lost+found", UNFINISHED, LOCK, SYNCED].iter().any(|own| name == *own)
        {
            return refuse(format!("other things are ({name:?})"));
        }
    }
    Ok(())
}

/// Whether this is what is written into a lock: nothing yet, or who has it, or had it.
fn is_signature(text: &str) -> bool {
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    text.is_empty() || text == CLOSED || text.split_once(' ').is_some_and(|(id, _)| is_number(id))
}

fn held(lock: &File) -> Failure {
    let text = read(lock).unwrap_or_default();
    let message = match text.trim_end().split_once(' ') {
        Some((id, _)) if id == process::id().to_string() => {
            "this process has it open under another name (a folder that is \
            linked or mounted twice): name it the same wherever it is named"
                .to_owned()
        }
        Some((id, name)) => format!("another process ({name:?}, process {id}) {HELD}"),
        None => format!("another process {HELD}"),
    };
    Failure::unavailable(message)
}

const HELD: &str =
    "has it open: a folder is one process's at a time; end that one, or give each a path of its own";

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
