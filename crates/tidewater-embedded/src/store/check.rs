//! What is looked at before a store is opened: the store itself asserts, with locks held, that nothing foreign is among
//! its files, and that what it has noted about them is right.

use std::{
    fs::{self, DirEntry},
    io,
    path::Path,
};

use xxhash_rust::xxh3::xxh3_128;

use crate::failure::{Failure, Result};

const KEYSPACES: &str = "keyspaces";
const TABLES: &str = "tables";
const JOURNAL: &str = "jnl";
/// Names the version of a keyspace that is the current one.
const CURRENT: &str = "current";
/// The kind of check sum that there is.
const XXH3: u8 = 0;

/// Refuses a store with what is not its own where it would fail an assertion.
pub(super) fn check(store: &Path) -> Result<()> {
    for entry in entries(store)? {
        let name = entry.file_name();
        let is_journal =
            Path::new(&name).extension().is_some_and(|ending| ending.eq_ignore_ascii_case(JOURNAL));
        if name.to_str().is_none() || is_journal && !(is_file(&entry)? && is_number(&stem(&entry))) {
            return Err(foreign(&entry));
        }
    }
    for entry in entries(&store.join(KEYSPACES))? {
        if is_file(&entry)? {
            continue;
        }
        if !is_number(&entry.file_name().to_string_lossy()) {
            return Err(foreign(&entry));
        }
        check_keyspace(&entry.path())?;
    }
    Ok(())
}

fn check_keyspace(path: &Path) -> Result<()> {
    let tables = path.join(TABLES);
    // One that is being made, or was being removed, may have none.
    let tables = if tables.exists() { entries(&tables)? } else { Vec::new() };
    for table in &tables {
        let name = table.file_name();
        let name = name.to_string_lossy();
        // As the store has it: what file managers leave.
        let is_left = name == ".DS_Store" || name.starts_with("._");
        let is_known = is_left || (is_file(table)? && is_number(&name));
        if !is_known {
            return Err(foreign(table));
        }
    }
    match path.join(CURRENT).exists() {
        true => check_version(path),
        false => Ok(()),
    }
}

/// What tables there are: the file `current` has the number of the version that says so, and its check sum.
fn check_version(path: &Path) -> Result<()> {
    let read = |name: &str| {
        fs::read(path.join(name)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::damaged(format_args!("{} is gone", path.join(name).display()))
            }
            _ => Failure::io("looking at the store", &error),
        })
    };
    let damaged =
        |name: &str| Failure::damaged(format_args!("{} is not as it was written", path.join(name).display()));
    let current = read(CURRENT)?;
    let parsed = current.split_first_chunk().and_then(|(number, rest)| {
        let (sum, kind) = rest.split_first_chunk()?;
        (kind == [XXH3]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*sum)))
    });
    let (number, sum) = parsed.ok_or_else(|| damaged(CURRENT))?;
    let name = format!("v{number}");
    match xxh3_128(&read(&name)?) == sum {
        true => Ok(()),
        false => Err(damaged(&name)),
    }
}

fn entries(path: &Path) -> Result<Vec<DirEntry>> {
    let read = || fs::read_dir(path)?.collect::<io::Result<Vec<_>>>();
    read().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::damaged(format_args!("{} is gone", path.display())),
        _ => Failure::io("looking at the store", &error),
    })
}

fn is_file(entry: &DirEntry) -> Result<bool> {
    entry.file_type().map(|kind| kind.is_file()).map_err(|error| Failure::io("looking at the store", &error))
}

fn stem(entry: &DirEntry) -> String {
    entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_number(name: &str) -> bool {
    name.parse::<u64>().is_ok_and(|number| number.to_string() == name)
}

fn foreign(entry: &DirEntry) -> Failure {
    Failure::damaged(format_args!("{} is none of its own: move it away", entry.path().display()))
        .for_mending()
}
