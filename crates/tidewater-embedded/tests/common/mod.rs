//! What the tests of a log share.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

use std::{path::Path, time::Duration};

use futures_util::StreamExt as _;
use tidewater_core::{Deliveries, Delivery, Message, Result, Sink as _, Source as _, Subscription};
use tidewater_embedded::{EmbeddedLog, Retain, Settings};

/// Generous: it is waited for only when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn open(path: impl AsRef<Path>) -> EmbeddedLog {
    EmbeddedLog::open(path, Settings::default()).unwrap()
}

pub(crate) fn retaining(path: impl AsRef<Path>, retain: Retain) -> EmbeddedLog {
    EmbeddedLog::open(path, Settings { retain, ..Settings::default() }).unwrap()
}

/// Keeps everything.
pub(crate) const ALL: Retain = Retain { events: None, bytes: None, age: None };

pub(crate) async fn send(log: &EmbeddedLog, payload: impl Into<String>) -> Result<u64> {
    let receipt = log.sink().send(Message::new("", payload.into())).await?;
    Ok(receipt.place.unwrap().position.offset().unwrap())
}

pub(crate) async fn send_many(log: &EmbeddedLog, count: usize, size: usize) {
    let all = (0..count).map(|n| Message::new("", format!("{n:size$}"))).collect();
    log.sink().send_all(all).await.unwrap();
}

pub(crate) async fn next(deliveries: &mut Deliveries) -> Result<Delivery> {
    tokio::time::timeout(PATIENCE, deliveries.next()).await.expect("nothing comes").expect("it ended")
}

/// The next `count` messages, with their offsets and texts.
pub(crate) async fn take(deliveries: &mut Deliveries, count: usize) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    while all.len() < count {
        match next(deliveries).await.unwrap() {
            Delivery::Message(message) => {
                let text = String::from_utf8(message.payload.unwrap().to_vec()).unwrap();
                all.push((message.position.offset().unwrap(), text.trim_start().to_owned()));
            }
            other => panic!("{other:?}"),
        }
    }
    all
}

/// Everything from the earliest on.
pub(crate) async fn all(log: &EmbeddedLog) -> Vec<(u64, String)> {
    let bounds = bounds(log).await;
    let mut subscribed = log.source().subscribe(Subscription::earliest()).await.unwrap();
    take(&mut subscribed.deliveries, (bounds.end - bounds.start) as usize).await
}

pub(crate) async fn bounds(log: &EmbeddedLog) -> std::ops::Range<u64> {
    log.source().bounds().await.unwrap().topics[0].partitions[0].clone()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "it never came to {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a folder takes on the disk, in bytes.
#[cfg(unix)]
pub(crate) fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;

    let Ok(metadata) = std::fs::symlink_metadata(path) else { return 0 };
    let within = match std::fs::read_dir(path) {
        Ok(entries) if metadata.is_dir() => entries.flatten().map(|entry| on_disk(&entry.path())).sum(),
        _ => 0,
    };
    metadata.blocks() * 512 + within
}

/// Waits until the store is closed: its thread does it.
pub(crate) async fn closed(log: EmbeddedLog, path: &Path) {
    drop(log);
    let Ok(lock) = std::fs::File::open(path.join("lock")) else { return };
    until("a store that is closed", async || lock.try_lock().is_ok()).await;
}
