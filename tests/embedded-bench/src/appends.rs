//! Messages written in a time, by senders that each wait for the answer before the next, and the same bytes by the store
//! alone, in batches of as many, synced as often.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use futures_util::future::try_join_all;
use serde::Serialize;
use tidewater_core::{Message, Sink};
use tidewater_embedded::{EmbeddedLog, Settings};

use crate::{Sync, folder};

/// Bytes of a payload, and what the log writes before it in a record without key and headers.
const PAYLOAD: usize = 200;
const HEAD: usize = 22;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    by: By,
    #[arg(long)]
    sync: Sync,
    /// How many wait at the same time.
    #[arg(long)]
    senders: usize,
    /// How long.
    #[arg(long)]
    millis: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The log's sink.
    Sink,
    /// The store alone.
    Store,
}

/// What was written.
#[derive(Debug, Serialize)]
pub(crate) struct Took {
    messages: u64,
    micros: u64,
}

/// Writes for that long.
///
/// # Errors
/// If the disk does not take it.
pub(crate) fn measure(args: &Args, dir: &Path) -> Result<Took> {
    let folder = folder(dir)?;
    match args.by {
        By::Sink => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(by_sink(args, folder.path()))
        }
        By::Store => by_store(args, folder.path()),
    }
}

async fn by_sink(args: &Args, folder: &Path) -> Result<Took> {
    let settings = Settings { sync: args.sync.policy(), ..Settings::default() };
    let sink = EmbeddedLog::open(folder.join("log"), settings)?.sink();
    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
    // The store is made with the first message.
    sink.send(Message::new("", payload.clone())).await?;
    let ended = std::sync::Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let senders = (0..args.senders).map(|_| {
        let (sink, payload, ended) = (sink.clone(), payload.clone(), ended.clone());
        tokio::spawn(async move {
            let mut sent = 0;
            while !ended.load(Ordering::Relaxed) {
                sink.send(Message::new("", payload.clone())).await?;
                sent += 1;
            }
            anyhow::Ok(sent)
        })
    });
    let senders: Vec<_> = senders.collect();
    tokio::time::sleep(Duration::from_millis(args.millis)).await;
    ended.store(true, Ordering::Relaxed);
    let sent = try_join_all(senders).await?;
    let micros = micros(began);
    let messages = sent.into_iter().sum::<Result<u64>>()?;
    Ok(Took { messages, micros })
}

/// With the store's settings as the log has them.
fn by_store(args: &Args, folder: &Path) -> Result<Took> {
    let database = Database::builder(folder.join("store")).worker_threads(1).cache_size(8 << 20);
    let database = database.max_cached_files(Some(64)).max_journaling_size(64 << 20).open()?;
    let log = database.keyspace("log", || KeyspaceCreateOptions::default().max_memtable_size(4 << 20))?;
    let record = vec![b'x'; HEAD + PAYLOAD];
    let mode = if args.sync == Sync::Always { PersistMode::SyncData } else { PersistMode::Buffer };
    let senders = u64::try_from(args.senders)?;
    let (began, time) = (Instant::now(), Duration::from_millis(args.millis));
    let (mut messages, mut synced) = (0, began);
    while began.elapsed() < time {
        let mut batch = database.batch().durability(Some(mode));
        for offset in messages..messages + senders {
            let mut key = [b'r'; 9];
            key[1..].copy_from_slice(&u64::to_be_bytes(offset));
            batch.insert(&log, key, record.as_slice());
        }
        batch.commit()?;
        messages += senders;
        if args.sync == Sync::Every && synced.elapsed() >= Sync::EVERY {
            database.persist(PersistMode::SyncAll)?;
            synced = Instant::now();
        }
    }
    let micros = micros(began);
    let last = log.range([b'r'; 1]..).next_back().context("nothing was written")?;
    anyhow::ensure!(last.into_inner()?.0[1..] == (messages - 1).to_be_bytes(), "not all was written");
    Ok(Took { messages, micros })
}

fn micros(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}
