//! The journals of a store that did not end in good order.
//!
//! Where a sync fails, the system forgets which pages were not written: it goes on reading them, says of the next sync that
//! it went well, and after a power cut they are missing, with everything behind them. So they are written again, in
//! place and byte for byte, before the store is used again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use crate::failure::{Failure, Result};

const BLOCK: usize = 64 << 10;

/// Writes the journals of this store again, and has them synced.
pub(super) fn rewrite(store: &Path) -> Result<()> {
    let all = || journals(store)?.iter().try_for_each(|journal| rewrite_file(journal));
    all()
        .map_err(|error| Failure::io("writing the journal again, which was not closed in good order", &error))
}

/// Keeps a copy of them in this folder, unless there is one: opening the store cuts them where they can't be read.
pub(super) fn keep(store: &Path, kept: &Path) -> io::Result<()> {
    if kept.exists() {
        return Ok(());
    }
    fs::create_dir(kept)?;
    for journal in journals(store)? {
        let mut from = File::open(&journal)?;
        let used = used(&mut from, &mut vec![0; BLOCK])?;
        from.seek(SeekFrom::Start(0))?;
        let mut copy = File::create(kept.join(journal.file_name().unwrap_or_default()))?;
        io::copy(&mut (&from).take(used), &mut copy)?;
        copy.set_len(from.metadata()?.len())?;
    }
    Ok(())
}

fn journals(store: &Path) -> io::Result<Vec<PathBuf>> {
    let all: Vec<_> =
        fs::read_dir(store)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    Ok(all.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "jnl")).collect())
}

fn rewrite_file(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut block = vec![0; BLOCK];
    let mut left = used(&mut file, &mut block)?;
    let mut place = 0;
    while left > 0 {
        file.seek(SeekFrom::Start(place))?;
        let length = left.min(BLOCK as u64);
        let block = &mut block[..length as usize];
        file.read_exact(block)?;
        file.seek(SeekFrom::Start(place))?;
        file.write_all(block)?;
        (place, left) = (place + length, left - length);
    }
    file.sync_all()
}

/// How much of a file comes before the zeros at its end: a journal is given its room before it is written.
fn used(file: &mut File, block: &mut [u8]) -> io::Result<u64> {
    let (mut place, mut used) = (0, 0);
    loop {
        let length = file.read(block)?;
        if length == 0 {
            return Ok(used);
        }
        if let Some(last) = block[..length].iter().rposition(|byte| *byte != 0) {
            used = place + last as u64 + 1;
        }
        place += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_as_they_were_and_take_no_more_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.jnl");
        let mut file = File::create(&path).unwrap();
        let mut bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        bytes[70_000..200_000].fill(0);
        file.write_all(&bytes).unwrap();
        file.set_len(64 << 20).unwrap();
        assert_eq!(used(&mut File::open(&path).unwrap(), &mut [0; 1000]).unwrap(), 300_000);
        fs::write(folder.path().join("version"), "x").unwrap();
        rewrite(folder.path()).unwrap();
        let after = fs::read(&path).unwrap();
        assert_eq!(after.len(), 64 << 20);
        assert!(after[..300_000] == bytes && after[300_000..].iter().all(|byte| *byte == 0));
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            assert!(
                fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20,
                "the zeros at its end are not written"
            );
        }
    }
}
