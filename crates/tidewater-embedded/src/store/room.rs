//! Room in memory for what is written.
//!
//! The store would begin a table by itself, by a message to its worker for every commit while there is much in memory. A
//! thousand of them fill the queue that the worker writes into too: it then waits for itself, nothing is written to tables
//! any more, and memory grows without bound. So the log says when, once for each table; and it waits for a bounded time
//! where the store would wait for ever, for a worker that may have ended.

use std::{
    sync::PoisonError,
    thread,
    time::{Duration, Instant},
};

use fjall::{AbstractTree as _, PersistMode};

use super::{MEMTABLE, Part, Store};
use crate::failure::{Failure, Result};

/// How many tables of all parts may wait to be written while another is begun. The store waits from 4 of one part on.
const WAITING: usize = 2;
/// How many runs of tables may wait to be merged, in one part. The store waits from 30 on.
const RUNS: usize = 20;
/// How long they are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(2);

impl Store {
    /// Has what is in memory written to a table where it is much, once there is room for one.
    pub(super) fn make_room(&self) -> Result<()> {
        let part = self.last();
        if part.in_memory() < MEMTABLE {
            return Ok(());
        }
        let start = Instant::now();
        while self.waiting() > WAITING || part.log.tree.l0_run_count() >= RUNS {
            // Says so if the worker has failed.
            self.database
                .persist(PersistMode::Buffer)
                .map_err(|error| Failure::store("writing to tables", &error))?;
            if start.elapsed() > PATIENCE {
                return Err(Failure::busy(
                    "the disk takes what is written more slowly than it comes: it is taken again when there is room; \
                     publish less at once, or use a faster disk",
                ));
            }
            thread::sleep(STEP);
        }
        part.to_table()
    }

    fn waiting(&self) -> usize {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|part| part.log.tree.sealed_memtable_count()).sum()
    }
}

impl Part {
    /// How much of it is in memory and not yet on its way to a table, in bytes.
    pub(super) fn in_memory(&self) -> u64 {
        self.log.tree.active_memtable().size()
    }

    /// Has what is in memory written to a table, some time from now.
    pub(super) fn to_table(&self) -> Result<()> {
        match self.log.rotate_memtable() {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::store("beginning a table", &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tidewater_core::{Message, TopicName};

    use super::*;
    use crate::store::Batch;

    /// Far more commits than the queue of the store's worker has places, while it writes tables.
    #[test]
    fn many_small_batches_never_fill_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        Store::make(&path, &TopicName::new("x")).unwrap();
        let (store, mut ends) = Store::open(&path).unwrap();
        let mut most = 0;
        let mut write = |count: usize| {
            for _ in 0..count {
                let mut batch = Batch::default();
                let mut message = Message::new("", vec![0; 400]);
                batch.append(&mut ends, &mut message, SystemTime::now());
                store.write(batch, false).unwrap();
                most = most.max(store.last().in_memory());
            }
        };
        // The worker is kept from writing the first table, until there are some more.
        let tree = store.last().log.tree.clone();
        let flushing = tree.get_flush_lock();
        write(25_000);
        drop(flushing);
        write(40_000);
        assert!(most < 2 * MEMTABLE, "{most} bytes in memory");
        let start = Instant::now();
        while store.waiting() > 0 {
            assert!(start.elapsed() < 2 * PATIENCE, "nothing is written to tables");
            thread::sleep(STEP);
        }
    }
}
