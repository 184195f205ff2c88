//! What the load is told.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;

/// Opens clients on a server, hands it events, checks what arrives, and tells what it cost.
#[derive(Parser)]
pub(crate) struct Args {
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) address: SocketAddr,
    /// The path of the events.
    #[arg(long, default_value = "/events")]
    pub(crate) path: String,
    /// Clients show their token.
    #[arg(long)]
    pub(crate) tokens: bool,
    /// Where the server takes events from.
    #[arg(long, conflicts_with = "post")]
    pub(crate) control: Option<SocketAddr>,
    /// The broker that they go to instead, by its URL: `nats://HOST:PORT/SUBJECT` (a stream of the name before the
    /// subject's first dot has it) or `kafka://HOST:PORT/TOPIC` (its partition 0).
    #[arg(long, conflicts_with_all = ["control", "post"])]
    pub(crate) broker: Option<String>,
    /// One bare consumer of the broker instead of a server's clients.
    #[arg(long, requires = "broker")]
    pub(crate) bare: bool,
    /// The path that events are posted to instead, at the same address.
    #[arg(long)]
    pub(crate) post: Option<String>,
    /// The server's process, whose processor time and memory are read.
    #[arg(long, required_unless_present = "bare")]
    pub(crate) pid: Option<u32>,
    /// The core to run on.
    #[arg(long)]
    pub(crate) core: Option<usize>,
    /// How many clients.
    #[arg(long, default_value_t = 1000)]
    pub(crate) clients: usize,
    /// How many events are measured.
    #[arg(long, default_value_t = 0)]
    pub(crate) events: u64,
    /// How many go before them.
    #[arg(long, default_value_t = 20)]
    pub(crate) warmup: u64,
    /// The bytes of an event's data.
    #[arg(long, default_value_t = 256)]
    pub(crate) bytes: usize,
    /// How many events may be on their way; the next is sent when every client has one of them.
    #[arg(long, default_value_t = 1, conflicts_with = "rate")]
    pub(crate) window: u64,
    /// Events a second instead, whether or not anybody keeps up.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Over how many keys events go round. The servers that have partitions take it for the partition.
    #[arg(long, default_value_t = 0)]
    pub(crate) keys: u32,
    /// Each client wants one key alone: client `n` the key `n` modulo `--keys`.
    #[arg(long)]
    pub(crate) select: bool,
    /// How many of the clients stop reading before the first measured event, and go on after the last.
    #[arg(long, default_value_t = 0)]
    pub(crate) stalled: usize,
    /// Seconds without anything new after which it is over.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) patience: f64,
    /// Seconds that all of it may take.
    #[arg(long, default_value_t = 120.0)]
    pub(crate) limit: f64,
}

impl Args {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.patience)
    }

    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs_f64(self.limit)
    }
}
