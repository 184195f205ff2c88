//! The load: opens clients, hands the server events, checks that every client gets every event in order, and tells as
//! JSON what came and what the server used for it.

#![cfg(target_os = "linux")]

mod args;
mod broker;
mod client;
mod http;
mod kafka;
mod publisher;
mod report;
mod run;
mod server;
mod sse;
mod tally;

use anyhow::Result;
use clap::Parser as _;
use tidewater_fanout_bench::machine;

fn main() -> Result<()> {
    let args = args::Args::parse();
    machine::pin(args.core)?;
    machine::raise_files()?;
    let report = run::run(&args)?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
