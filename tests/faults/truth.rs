//! What the broker holds, read back by a second client that shares nothing with Tidewater's sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use tidewater_tests::Feed;

use crate::{
    books::{Goal, Print, print},
    readback::{self, Record},
};

/// All incarnations of a topic, the last of which is there now.
#[derive(Debug)]
pub(crate) struct Truth(Vec<Vec<Log>>);

/// One partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Every message that was ever read of it.
    messages: BTreeMap<u64, Print>,
    /// Those that compaction has removed: a client may have had them, and need not.
    compacted: BTreeSet<u64>,
    kept: Range<u64>,
}

impl Truth {
    /// A topic of so many partitions, of which nothing has been read.
    pub(crate) fn new(partitions: usize) -> Self {
        Self(vec![vec![Log::default(); partitions]])
    }

    #[cfg(test)]
    pub(crate) fn of(incarnations: Vec<Vec<Log>>) -> Self {
        Self(incarnations)
    }

    /// By partition.
    pub(crate) fn incarnations(&self) -> &[Vec<Log>] {
        &self.0
    }

    /// From here on the topic is another one.
    pub(crate) fn begin_incarnation(&mut self) {
        let partitions = self.0.last().map_or(1, Vec::len);
        self.0.push(vec![Log::default(); partitions]);
    }

    /// Reads what has come since.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub(crate) async fn read(&mut self, feed: &Feed) -> Result<()> {
        let logs = self.0.last_mut().context("no incarnation")?;
        let from: Vec<u64> = logs.iter().map(|log| log.kept.end).collect();
        for (log, read) in logs.iter_mut().zip(readback::read(feed, from).await?) {
            log.kept = read.kept;
            log.messages.extend(read.messages.iter().map(|(offset, record)| (*offset, printed(record))));
        }
        Ok(())
    }

    /// Reads all anew, and says how many messages compaction has removed since the last time.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub(crate) async fn reread(&mut self, feed: &Feed) -> Result<usize> {
        let logs = self.0.last_mut().context("no incarnation")?;
        let whole = readback::read(feed, vec![0; logs.len()]).await?;
        let mut removed = 0;
        for (log, read) in logs.iter_mut().zip(whole) {
            let before = log.compacted.len();
            let gone = log.messages.range(read.kept.clone()).map(|(offset, _)| *offset);
            log.compacted.extend(gone.filter(|offset| !read.messages.contains_key(offset)));
            removed += log.compacted.len() - before;
            log.kept = read.kept;
            log.messages.extend(read.messages.iter().map(|(offset, record)| (*offset, printed(record))));
        }
        Ok(removed)
    }

    /// How many messages have been read of all incarnations.
    pub(crate) fn messages(&self) -> u64 {
        self.0.iter().flatten().map(|log| log.messages.len() as u64).sum()
    }

    /// The end of each partition.
    pub(crate) fn ends(&self) -> Vec<u64> {
        self.0.last().map(|logs| logs.iter().map(|log| log.kept.end).collect()).unwrap_or_default()
    }

    /// What a client that has everything had last.
    pub(crate) fn goal(&self) -> Goal {
        let logs = self.0.last().map(Vec::as_slice).unwrap_or_default();
        let last = |log: &Log| log.messages.last_key_value().map(|(offset, print)| (*offset, *print));
        logs.iter().map(last).collect()
    }
}

impl Log {
    #[cfg(test)]
    pub(crate) fn new(messages: impl IntoIterator<Item = (u64, Print)>, kept: Range<u64>) -> Self {
        Self { messages: messages.into_iter().collect(), kept, ..Self::default() }
    }

    /// What stands at an offset.
    pub(crate) fn print(&self, offset: u64) -> Option<Print> {
        self.messages.get(&offset).copied()
    }

    /// The offsets that the broker has now, whether or not there are messages.
    pub(crate) fn kept(&self) -> &Range<u64> {
        &self.kept
    }

    /// The messages from an offset on that have to be given, or told as missing.
    pub(crate) fn wanted(&self, from: u64) -> impl Iterator<Item = u64> {
        let offsets = self.messages.range(from..).map(|(offset, _)| *offset);
        offsets.filter(|offset| !self.compacted.contains(offset))
    }
}

/// The event that a message is, by the contract with the page: docs/http.md.
fn printed(record: &Record) -> Print {
    let Some(payload) = &record.payload else {
        let key = record.key.as_deref().unwrap_or_default();
        let key = text(key).unwrap_or_else(|| STANDARD.encode(key));
        return print("tidewater.tombstone", &key);
    };
    let name = record.headers.iter().rfind(|(name, _)| name == "tidewater-event").map(|(_, value)| value);
    match text(payload) {
        Some(text) => {
            let name = name.map(|name| String::from_utf8_lossy(name)).filter(|name| {
                let illegal = name.is_empty() || name.contains(['\r', '\n', '\0']);
                let reserved = name.starts_with("tidewater.") || matches!(&**name, "error" | "open");
                !illegal && !reserved
            });
            print(name.as_deref().unwrap_or("message"), &text)
        }
        None => print("tidewater.binary", &STANDARD.encode(payload)),
    }
}

/// As SSE carries it: line ends are LF. What begins with a zero byte is taken for a schema registry's framing.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with('\0'))?;
    Some(text.replace("\r\n", "\n").replace('\r', "\n"))
}
