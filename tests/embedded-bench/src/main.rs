//! Measures one row of `cargo xtask bench embedded`, and prints it as JSON.
//!
//! ```console
//! $ tidewater-embedded-bench appends --by sink --sync always --senders 16 --millis 1000 --dir /var/tmp
//! $ tidewater-embedded-bench fanout --source embedded --burst 16 --every 8 --events 8000 --clients 1000 --dir /var/tmp
//! ```

mod appends;
mod fanout;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tempfile::TempDir;
use tidewater_embedded::SyncPolicy;

/// One row.
#[derive(Parser)]
struct Args {
    /// The disk that is written to: a folder is made in this one, and removed.
    #[arg(long, global = true, default_value = ".")]
    dir: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Messages written, by the log's sink or by the store alone.
    Appends(appends::Args),
    /// A channel of the hub with many clients in this process.
    Fanout(fanout::Args),
}

/// When what was written is made to survive the end of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sync {
    Always,
    #[value(name = "100ms")]
    Every,
    Os,
}

impl Sync {
    const EVERY: Duration = Duration::from_millis(100);

    fn policy(self) -> SyncPolicy {
        match self {
            Self::Always => SyncPolicy::Always,
            Self::Every => SyncPolicy::Every(Self::EVERY),
            Self::Os => SyncPolicy::Os,
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    match &args.what {
        What::Appends(own) => print(&appends::measure(own, &args.dir)?),
        What::Fanout(own) => print(&fanout::measure(own, &args.dir)?),
    }
}

fn print(row: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(row)?);
    Ok(())
}

fn folder(dir: &Path) -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("tidewater-embedded-bench-").tempdir_in(dir)?)
}
