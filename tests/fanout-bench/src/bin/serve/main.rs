//! A server of event streams, of whichever kind, that is handed events on a control connection.
//!
//! Each gets its events in the same way and serves them at `/events`. Those on tokio have one worker thread of its
//! multi-threaded scheduler, which is what warp, rocket and salvo are run on.

#![cfg(target_os = "linux")]

mod control;
mod floor;
mod hand;
mod listen;
mod ours;

use std::net::SocketAddr;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tidewater_fanout_bench::machine;

/// A server of event streams.
#[derive(Parser)]
struct Args {
    /// Which.
    name: Name,
    /// Where clients connect.
    #[arg(long)]
    listen: SocketAddr,
    /// Where events come from.
    #[arg(long)]
    control: Option<SocketAddr>,
    /// The core to run on.
    #[arg(long)]
    core: Option<usize>,
    /// Ours only: so many partitions, each frame's key being its partition.
    #[arg(long, default_value_t = 0)]
    partitions: u32,
}

/// `hyper` and the like are ours behind them, `direct-tokens` is `direct` with authorization; what begins with `hand` is written with nothing of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    Direct,
    DirectTokens,
    Hyper,
    Warp,
    Rocket,
    Salvo,
    HandHyper,
    HandWarp,
    HandRocket,
    HandSalvo,
    HandAxum,
    Floor,
}

fn main() -> Result<()> {
    let args = Args::parse();
    machine::pin(args.core)?;
    machine::raise_files()?;
    if args.name == Name::Floor {
        let control = args.control.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        return floor::serve(args.listen, control);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // Connections are accepted on this thread; what is done on them is done on the worker.
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<()> {
    match args.name {
        Name::Direct | Name::DirectTokens | Name::Hyper | Name::Warp | Name::Rocket | Name::Salvo => {
            ours::serve(args).await
        }
        _ => hand::serve(args).await,
    }
}
