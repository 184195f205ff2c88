//! `cargo xtask bench`: what things cost, measured on the gateway as it is shipped, against real brokers; and what its
//! codec and its fan-out cost, beside other people's.
//!
//! A bench prints tables; with `--write` they replace those in `docs/benchmarks/`, between two marks, so that the words
//! around them stay and the figures are always a program's.

mod channels;
mod codec;
mod compression;
mod embedded;
mod fanout;
mod gateway;
mod ids;
mod usage;

use std::{
    fs,
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::{Args as ClapArgs, Subcommand};

use crate::{
    group::{self, Group},
    pages::{self, Marks},
    workspace,
};

/// Arguments of `cargo xtask bench`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask bench channels --release           what 100 channels cost
  cargo xtask bench channels --only kafka --count 20
  cargo xtask bench ids                          how long ids are
  cargo xtask bench ids --write                  the same, into docs/benchmarks/
  cargo xtask bench codec --quick --only decode  a rough look at the SSE decoder
  cargo xtask bench fanout --quick               a rough look at the fan-out
  cargo xtask bench embedded --write             what a log in a folder costs, into docs/benchmarks/
  cargo xtask bench compression --write          what compression costs and brings, into docs/benchmarks/

Brokers that run already stay, as with `cargo xtask test`; the others are started and stopped.")]
pub(crate) struct Args {
    /// Puts the tables into docs/benchmarks/ too.
    #[arg(long, global = true)]
    write: bool,
    /// Measures a release build (the first takes some minutes); else a debug build. `codec`, `embedded`, `fanout` and `compression` always do.
    #[arg(long, global = true)]
    release: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Threads, sockets and memory of a gateway with many channels. Linux only: it reads /proc.
    Channels(channels::Args),
    /// Bytes of an id, by partitions and offsets; and of a real topic of 64 partitions.
    Ids,
    /// The fan-out beside other people's: processor time, memory and latency, to thousands of clients. Linux only.
    Fanout(fanout::Args),
    /// Compressed streams: bytes and processor time, once for all clients and for each by itself. Linux only.
    Compression(compression::Args),
    /// A log in a folder: messages a second beside the store below it, and the fan-out beside that from memory. Linux only.
    Embedded(embedded::Args),
    /// The SSE codec beside other people's: speed over three shapes of events, and who reads what as the standard says.
    Codec(codec::Args),
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    group::catch_interrupts()?;
    let is_whole = match &args.what {
        What::Codec(own) => own.is_whole(),
        What::Fanout(own) => own.is_whole(),
        What::Compression(own) => own.is_whole(),
        What::Embedded(own) => own.is_whole(),
        What::Channels(_) | What::Ids => true,
    };
    ensure!(
        !args.write || is_whole,
        "--write wants the whole: without --quick, --only and the like, and three rounds or more"
    );
    let mut plot = None;
    let (page, name, report) = match &args.what {
        What::Channels(own) => ("channels", "channels", channels::run(own, args.release)?),
        What::Ids => ("channels", "ids", ids::run(args.release)?),
        What::Compression(own) => ("compression", "compression", compression::run(own)?),
        What::Embedded(own) => ("embedded", "embedded", embedded::run(own)?),
        What::Codec(own) => ("codec", "codec", codec::run(own)?),
        What::Fanout(own) => {
            let report = fanout::run(own)?;
            plot = report.plot;
            ("fanout", "fanout", report.text)
        }
    };
    println!("{report}");
    if args.write {
        let page = Path::new("docs").join("benchmarks").join(page).with_extension("md");
        pages::write(&page, &Marks { what: "bench", name }, &report)?;
        if let Some(plot) = plot {
            let file = workspace::root().join(page).with_extension("svg");
            fs::write(&file, plot).with_context(|| file.display().to_string())?;
            eprintln!("Written to {}", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was run, on what, when.
fn heading(command: &str, release: bool, versions: &[String]) -> String {
    pages::heading(&format!("bench {command}"), release, versions)
}

/// Builds the gateway with everything, and puts the binary aside.
fn build(release: bool) -> Result<std::path::PathBuf> {
    eprintln!("Building the gateway");
    let mut command = workspace::cargo();
    command.args(["build", "--package", "tidewater-gateway", "--bin", "tidewater"]);
    if release {
        command.arg("--release");
    }
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "the gateway does not build: see above");
    workspace::aside_from(if release { "release" } else { "debug" }, "tidewater", "bench")
}
