//! What compressed streams cost: a server in this process, and its clients in another, which decode and check all that they
//! get. `cargo xtask bench compression` runs it, once for each row of its tables.

mod orders;
mod readers;
mod server;

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

/// How the streams are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Served {
    /// By hyper, as they are.
    Plain,
    /// By hyper, each batch compressed once.
    Gzip,
    /// The same.
    Zstd,
    /// By hyper, each client's stream compressed for itself, as a layer around the answer does it.
    GzipEach,
    /// Straight to the sockets, as they are.
    DirectPlain,
    /// The same, each batch compressed once.
    DirectGzip,
    /// The same.
    DirectZstd,
}

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves, has it read, and prints what it took as JSON.
    Run(Run),
    /// Reads, for `run`.
    Read {
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        clients: usize,
        #[arg(long)]
        events: u64,
        #[arg(long)]
        accept: String,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    #[arg(long)]
    served: Served,
    #[arg(long)]
    partitions: u32,
    /// Events at once.
    #[arg(long)]
    burst: u64,
    #[arg(long)]
    bursts: u64,
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// From one burst to the next, in milliseconds.
    #[arg(long, default_value_t = 8)]
    pause: u64,
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Run(run) => {
            let took = server::run(&run, Duration::from_millis(run.pause))?;
            println!("{}", serde_json::to_string(&took)?);
            Ok(())
        }
        Command::Read { address, clients, events, accept } => readers::run(address, clients, events, &accept),
    }
}
