//! The state, and what has to hold between it and its stream of changes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tidewater::{Channel, Cursor, Error, ErrorKind, Message, Result};

/// The most items, and the most bytes of a name: what comes from outside fills no memory.
const ITEMS: usize = 20_000;
const NAME: usize = 40;

/// What is in stock: a table, as an application's database has it, and the channel that its changes go out on.
#[derive(Debug)]
pub(crate) struct Stock {
    table: Mutex<BTreeMap<String, Item>>,
    changes: Channel,
}

/// A row, and also what is published when it changes: the row as it is then, not what was added to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) count: i64,
    /// Counted up with each change of this row. Whoever has a version has everything up to it.
    pub(crate) version: u64,
}

/// The state, and where to go on from it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) cursor: String,
    pub(crate) items: Vec<Item>,
}

impl Stock {
    /// An empty table.
    pub(crate) fn new(changes: Channel) -> Self {
        Self { table: Mutex::default(), changes }
    }

    /// Changes a row and publishes the change. **First the row, then the message:** whoever finds the message before
    /// their cursor must find the change in the table.
    ///
    /// Two writers may publish in another order than they wrote in; the version tells. What is written and then not
    /// published because the process ends in between is not seen by open pages: an application with a database
    /// writes both in one transaction (an outbox), and publishes from there.
    pub(crate) async fn add(&self, name: &str, count: i64) -> Result<Item> {
        let item = self.write(name, count)?;
        let payload = serde_json::to_vec(&item)
            .map_err(|error| Error::new(ErrorKind::Rejected, "no JSON").with_source(error))?;
        self.changes.publish(Message::new("stock", payload).with_key(item.name.clone())).await?;
        Ok(item)
    }

    /// The table as it is.
    pub(crate) fn read(&self) -> Vec<Item> {
        self.table().values().cloned().collect()
    }

    /// The channel that changes go out on.
    pub(crate) fn changes(&self) -> &Channel {
        &self.changes
    }

    /// The handshake. **First the cursor, then the table:**
    ///
    /// - a change that was published before the cursor was taken is in the table, because it was written before it was
    ///   published;
    /// - one that is published later comes by the stream that begins at the cursor.
    ///
    /// One that falls between the two is in both, and does no harm, because applying it twice changes nothing. The
    /// other way round it would be in neither.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        let cursor: Cursor = self.changes.cursor().await?;
        let items = self.read();
        Ok(Snapshot { cursor: cursor.to_string(), items })
    }

    fn write(&self, name: &str, count: i64) -> Result<Item> {
        let mut table = self.table();
        let known = table.contains_key(name);
        if name.is_empty() || name.len() > NAME || (!known && table.len() >= ITEMS) {
            let why = format!("a name of 1 to {NAME} bytes, and {ITEMS} names at most");
            return Err(Error::new(ErrorKind::Rejected, why));
        }
        let empty = || Item { name: name.to_owned(), count: 0, version: 0 };
        let item = table.entry(name.to_owned()).or_insert_with(empty);
        item.count = item.count.saturating_add(count);
        item.version += 1;
        Ok(item.clone())
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Item>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
