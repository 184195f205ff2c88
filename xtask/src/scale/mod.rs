//! `cargo xtask scale`: what so many clients on so many nodes need, and what happens when the nodes are restarted.
//!
//! | file | holds |
//! |---|---|
//! | `costs` | what one client, event and connection costs, each with where it was measured |
//! | `need` | what that comes to for a node: pure |
//! | `restart` | the restart, as a simulation in steps of a millisecond |
//! | `node` | what of a node the simulation has: its queue of connections, and its streams |
//! | `report` | both as tables |

mod costs;
mod need;
mod node;
mod report;
mod restart;

// Links to the arithmetic of the hub and of its limits themselves, and no copies of it: xtask depends on none of the crates. (A
// path out of the package would not be in it.)
mod retry;
#[allow(dead_code, reason = "of the limits that of all streams alone is played")]
mod returns;

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use clap::{Args as ClapArgs, ValueEnum};

use self::restart::Restart;

/// Arguments of `cargo xtask scale`.
#[derive(ClapArgs, Clone, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask scale --clients 1000000 --nodes 20 --rate 1 --size 200
      a million browsers, an event a second for each
  cargo xtask scale --clients 1000000 --nodes 20 --compare
      every way to restart them, a line each
  cargo xtask scale --clients 1000000 --nodes 20 --surge --balance least
      each node replaced by one that is there before it goes, and who comes back goes where the fewest are
  cargo xtask scale --clients 1000000 --nodes 20 --restart kill
      one node is gone without a word
  cargo xtask scale --clients 1000000 --nodes 4 --rate 0.0167 --topic-rate 16700 --restart none
      a million, each with events of its own, one a minute: each node reads all of them
  cargo xtask scale --clients 10000 --nodes 1 --rate 0.0166 --restart all
      one node, an event a minute

What the numbers mean, and what they are worth: docs/scaling.md")]
pub(crate) struct Args {
    /// Browsers, each with one stream.
    #[arg(long, default_value_t = 1_000_000)]
    clients: u64,
    /// Nodes that serve them.
    #[arg(long, default_value_t = 20)]
    nodes: usize,
    /// Events that each client gets in a second.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// Events of all topics in a second, which each node reads; as many as a client gets, if nothing is said.
    #[arg(long)]
    topic_rate: Option<f64>,
    /// Bytes of an event's data.
    #[arg(long, default_value_t = 200)]
    size: u64,
    /// Characters of an id: 16 for one partition, 78 for sixteen (docs/scaling.md has the table).
    #[arg(long, default_value_t = 16)]
    id: u64,
    /// How the nodes are restarted.
    #[arg(long, value_enum, default_value_t = How::Rolling)]
    restart: How,
    /// Nodes that are restarted at a time.
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// Each node is replaced by one that is ready before it goes (maxSurge), instead of being away meanwhile.
    #[arg(long)]
    surge: bool,
    /// How long a node that goes may take for its streams (the gateway's drain timeout).
    #[arg(long, value_parser = duration, default_value = "10s")]
    drain: Duration,
    /// From a node's start until it is ready.
    #[arg(long, value_parser = duration, default_value = "5s")]
    boot: Duration,
    /// From a node that is ready to the next one that goes (minReadySeconds).
    #[arg(long, value_parser = duration, default_value = "10s")]
    pause: Duration,
    /// The channel's reconnection time.
    #[arg(long, value_parser = duration, default_value = "2s")]
    retry: Duration,
    /// How far apart clients come that were told the same time: their networks and timers.
    #[arg(long, value_parser = duration, default_value = "200ms")]
    network: Duration,
    /// Streams that a node accepts in a second.
    #[arg(long, default_value_t = costs::ACCEPTED)]
    accept: u64,
    /// Connections that may wait to be accepted (somaxconn, and the listener's own).
    #[arg(long, default_value_t = costs::BACKLOG)]
    backlog: u64,
    /// Streams that a node lets in at most; others are told to come back.
    #[arg(long)]
    most: Option<u64>,
    /// Whom a load balancer gives a connection.
    #[arg(long, value_enum, default_value_t = Balance::Random)]
    balance: Balance,
    /// Seconds of the restart that are shown.
    #[arg(long, default_value_t = 8)]
    show: usize,
    /// Every way to restart the nodes, a line each, instead of one in full.
    #[arg(long, conflicts_with_all = ["restart", "surge", "balance"])]
    compare: bool,
    /// Another seed gives another run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How nodes are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    /// Some after the others.
    Rolling,
    /// All in one moment.
    All,
    /// One dies without a word, and is started again.
    Kill,
    /// Not at all: only what they need.
    None,
}

/// Whom a load balancer gives a connection, of the nodes that are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Balance {
    /// Any.
    Random,
    /// The one that has the fewest.
    Least,
}

/// Runs `cargo xtask scale`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    print!("{}", report(args)?);
    Ok(ExitCode::SUCCESS)
}

fn report(args: &Args) -> Result<String> {
    args.check()?;
    Ok(match args.restart {
        _ if args.compare => report::compare(args, &ways(args)),
        How::None => report::need(args),
        _ => report::need(args) + &report::restart(args, &Restart::run(args)),
    })
}

/// Every way to restart the nodes, and what comes of it.
fn ways(args: &Args) -> Vec<(Args, Restart)> {
    let rolling = |surge, balance| Args { restart: How::Rolling, surge, balance, ..args.clone() };
    let killed = |balance| Args { restart: How::Kill, surge: false, balance, ..args.clone() };
    let ways = [
        rolling(false, Balance::Random),
        rolling(true, Balance::Random),
        rolling(false, Balance::Least),
        rolling(true, Balance::Least),
        killed(Balance::Random),
        killed(Balance::Least),
    ];
    ways.into_iter()
        .map(|way| {
            let restart = Restart::run(&way);
            (way, restart)
        })
        .collect()
}

impl Args {
    fn check(&self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.nodes), "--nodes: 1 to 10,000");
        ensure!((1..=1_000_000_000).contains(&self.clients), "--clients: 1 to 1,000,000,000");
        ensure!((1..=self.nodes).contains(&self.at_once), "--at-once: 1 to --nodes");
        ensure!(self.accept > 0, "--accept: above 0");
        for (name, rate) in [("--rate", self.rate), ("--topic-rate", self.topic_rate())] {
            ensure!(rate.is_finite() && rate >= 0.0, "{name}: 0 or more");
        }
        let times = [self.drain, self.boot, self.pause, self.retry, self.network];
        ensure!(times.iter().all(|time| *time <= Duration::from_secs(3600)), "durations: an hour at most");
        let room = self.most.is_none_or(|most| most.saturating_mul(self.nodes as u64) >= self.clients);
        ensure!(
            room,
            "--most: {} nodes with so many streams have no room for {} clients",
            self.nodes,
            self.clients
        );
        Ok(())
    }

    fn topic_rate(&self) -> f64 {
        self.topic_rate.unwrap_or(self.rate)
    }
}

/// `10s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let wrong = || format!("{text:?} is no duration (10s, 500ms, 2m)");
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    let unit = match &text[end..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_millis(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests;
