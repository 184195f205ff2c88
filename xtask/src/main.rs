//! `cargo xtask`: the workspace's own tasks.
//!
//! ```text
//! cargo xtask demo          # the gateway with a live feed, on a bare machine
//! cargo xtask doctor        # what the tests need, where it is, how to get it
//! cargo xtask test          # every test that can run here, against real brokers and real browsers
//! cargo xtask services up   # the brokers alone
//! ```
//!
//! A program, not a pile of scripts: the same commands work on a laptop and in CI, and policy (`tidy`) has unit tests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apt;
mod bare;
mod bench;
mod contract_tests;
mod demo;
mod docker;
mod examples;
mod faults;
mod fuzz;
mod group;
mod lint;
mod needs;
mod net;
mod pages;
mod process;
mod release;
mod scale;
mod selection;
mod services;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The workspace's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// What things cost, measured: many channels, ids, the codec, the fan-out.
    Bench(bench::Args),
    /// What so many browsers on so many nodes need, and what happens when the nodes are restarted: a simulation.
    Scale(scale::Args),
    /// The gateway with a live feed: no broker, no C, nothing to set up.
    Demo(demo::Args),
    /// Every target of `fuzz/`, with libFuzzer. Needs a nightly toolchain, cargo-fuzz and a C++ compiler.
    Fuzz(fuzz::Args),
    /// The examples: list them, run one, check them all.
    Examples(examples::Args),
    /// What the tests need, where it is, and how to get what is missing.
    Doctor(needs::Args),
    /// Every test that can run here, against real brokers and real browsers.
    Test(test::Args),
    /// Faults of brokers, gateways, clients and messages, under load, as often as is wanted; with a table.
    Faults(faults::Args),
    /// The public harness launchdarkly/sse-contract-tests against the client of event streams.
    ContractTests(contract_tests::Args),
    /// Static Linux binaries of the gateway, in archives with checksums.
    Release(release::Args),
    /// Real brokers on loopback: nats-server with JetStream and Apache Kafka.
    Services(services::Args),
    /// The workspace's policy: who may depend on whom, what features leave out, short files.
    Tidy,
    /// Clippy and rustdoc, with every feature that is built here and with none; warnings are errors.
    Lint,
    /// Tries `demo` and `test` where there is Rust and its linker, and nothing else.
    Bare,
    /// A test program without some of its tests: cargo starts it, for `test`.
    #[command(hide = true)]
    RunTest {
        /// The program, and what it is given.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Scale(args) => scale::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Examples(args) => examples::run(args),
        Task::Test(args) => test::run(&args),
        Task::Faults(args) => faults::run(&args),
        Task::ContractTests(args) => contract_tests::run(&args),
        Task::Doctor(args) => needs::doctor(&args),
        Task::Release(args) => release::run(&args),
        Task::Tidy => tidy::run(),
        Task::Lint => lint::run(),
        Task::Bare => bare::run(),
        Task::RunTest { command } => test::runner::run(&command),
        Task::Services(args) => services::run(args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
