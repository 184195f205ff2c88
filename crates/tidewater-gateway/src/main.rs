//! The `tidewater` binary: broker topics to browsers, without writing a program.
//!
//! ```text
//! tidewater serve --channel orders=kafka://localhost:9092/orders
//! tidewater tail http://localhost:8080/channels/orders
//! ```
//!
//! Everything it does, an application can do with the crate `tidewater`; this is that crate with a command line, a
//! console and health checks. One command is one file in `commands`; what `serve` is made of stands in `serve`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod cli;
mod commands;
mod config;
mod failure;
mod log;
mod output;
mod pipe;
mod serve;
mod signals;
mod since;
mod tail;
mod trace;
mod version;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    commands::{check, cursor, decode, encode, health, plugins},
    trace::Traces,
};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What the other commands do is over before anybody could look at it.
    let is_server = matches!(cli.command, Command::Serve(_));
    let traces = if is_server { Traces::of_environment() } else { Traces::default() };
    let done = log::init(cli.log.as_deref(), &cli.command, &traces).and_then(|()| match cli.command {
        Command::Serve(args) => commands::serve::run(args, traces),
        Command::Check(args) => check::run(&args),
        Command::Tail(args) => commands::tail::run(args),
        Command::Pipe(args) => commands::pipe::run(args),
        Command::Cursor(args) => cursor::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Encode(args) => encode::run(&args),
        Command::Health(args) => health::run(args),
        Command::Plugins(args) => plugins::run(&args),
        #[cfg(feature = "authorization")]
        Command::Token(args) => commands::token::run(&args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
