//! A channel over one log or the other, and clients in this process that read its streams: from the publishing to the
//! last client's last event.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use futures_util::{StreamExt as _, future::try_join_all};
use serde::Serialize;
use tempfile::TempDir;
use tidewater_core::{Message, Sink, Source, memory::MemoryLog};
use tidewater_embedded::{EmbeddedLog, Settings};
use tidewater_hub::{Hub, Resume, Select};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use crate::{Sync, folder};

/// Bytes of a payload, the first of which is in no other place of a stream.
const PAYLOAD: usize = 200;
const MARK: u8 = 1;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    source: From,
    /// Of an embedded log.
    #[arg(long, default_value = "always")]
    sync: Sync,
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Messages.
    #[arg(long)]
    events: usize,
    /// So many are published at once.
    #[arg(long)]
    burst: usize,
    /// From one burst to the next, in milliseconds; longer if not every client has it then.
    #[arg(long)]
    every: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    Embedded,
    Memory,
}

/// What it took.
#[derive(Debug, Serialize)]
pub(crate) struct Took {
    deliveries: u64,
    /// From the publishing of each burst to the last client's last event of it, all together.
    micros: u64,
    /// Of which the publisher waited for the sink.
    publishing: u64,
    /// Processor time of the whole process.
    busy: u64,
    /// Of which the log's own threads: writing, syncing, keeping tables.
    writing: u64,
}

/// Publishes them all.
///
/// # Errors
/// If a client is given less, or more.
pub(crate) fn measure(args: &Args, dir: &Path) -> Result<Took> {
    ensure!(args.burst > 0 && args.events.is_multiple_of(args.burst), "bursts of {} don't fit", args.burst);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args, dir))
}

async fn run(args: &Args, dir: &Path) -> Result<Took> {
    let log = Log::new(args, dir)?;
    let channel = Hub::new().channel("events").source(log.source.clone()).open()?;
    let (done, all) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let mut clients = Vec::new();
    for _ in 0..args.clients {
        let mut stream = channel.stream(Resume::default(), Select::all()).await;
        stream.next().await.context("no first block")?;
        let (done, all) = (done.clone(), all.clone());
        let (clients_in_all, burst, events) = (args.clients, args.burst, args.events);
        clients.push(tokio::spawn(async move {
            let mut seen = 0;
            while seen < events {
                let bytes = stream.next().await.context("the stream ended")?;
                let before = seen / burst;
                seen += bytes.iter().filter(|byte| **byte == MARK).count();
                // A burst may come in parts, and parts of two never come together.
                if seen / burst > before && done.fetch_add(1, Ordering::AcqRel) + 1 == clients_in_all {
                    all.notify_one();
                }
            }
            ensure!(seen == events, "{seen} of {events} events");
            Ok(())
        }));
    }
    let mut payload = vec![b'x'; PAYLOAD];
    payload[0] = MARK;
    let payload = Bytes::from(payload);
    let (busy, mut publishing, mut whole) = (Busy::now()?, Duration::ZERO, Duration::ZERO);
    let mut ticks = interval(Duration::from_millis(args.every));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..args.events / args.burst {
        // A log that is waited for leaves the caches to others, and so does one that isn't.
        ticks.tick().await;
        let asked = Instant::now();
        let burst = (0..args.burst).map(|_| Message::new("events", payload.clone())).collect();
        log.sink.send_all(burst).await?;
        publishing += asked.elapsed();
        all.notified().await;
        whole += asked.elapsed();
        done.store(0, Ordering::Release);
    }
    let after = Busy::now()?;
    let took = Took {
        deliveries: (args.clients * args.events) as u64,
        micros: whole.as_micros() as u64,
        publishing: publishing.as_micros() as u64,
        busy: (after.all - busy.all) / 1_000,
        writing: (after.writing - busy.writing) / 1_000,
    };
    try_join_all(clients).await?.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(took)
}

/// The log below the channel.
struct Log {
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    _folder: TempDir,
}

impl Log {
    fn new(args: &Args, dir: &Path) -> Result<Self> {
        let folder = folder(dir)?;
        Ok(match args.source {
            From::Memory => {
                let log = MemoryLog::new("events");
                Self { source: Arc::new(log.source()), sink: Arc::new(log.sink()), _folder: folder }
            }
            From::Embedded => {
                let settings = Settings { sync: args.sync.policy(), ..Settings::default() };
                let log = EmbeddedLog::open(folder.path().join("events"), settings)?;
                Self { source: Arc::new(log.source()), sink: Arc::new(log.sink()), _folder: folder }
            }
        })
    }
}

/// Processor time of this process so far, in nanoseconds.
struct Busy {
    all: u64,
    /// Of the threads that are none of the runtime's.
    writing: u64,
}

impl Busy {
    /// The clock's own thread is the runtime's too: it publishes.
    fn now() -> Result<Self> {
        let own = std::process::id().to_string();
        let mut busy = Self { all: 0, writing: 0 };
        for thread in fs::read_dir("/proc/self/task")? {
            let (folder, number) = {
                let thread = thread?;
                (thread.path(), thread.file_name())
            };
            let is_runtime = number == *own || fs::read_to_string(folder.join("comm"))?.starts_with("tokio-");
            let stat = fs::read_to_string(folder.join("schedstat"))?;
            let nanoseconds: u64 = stat.split(' ').next().context("no time")?.parse()?;
            busy.all += nanoseconds;
            busy.writing += if is_runtime { 0 } else { nanoseconds };
        }
        Ok(busy)
    }
}
