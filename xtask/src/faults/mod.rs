//! `cargo xtask faults`: the faults of `tests/faults`, as often as is wanted, and the tables of what came of them.
//!
//! `cargo xtask test` plays each once. What grows from round to round is seen in many rounds only, so those are run here,
//! and their figures stand in `docs/reliability.md`.

mod table;

use std::{
    env::consts::EXE_EXTENSION,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

use self::table::Tables;
use crate::{
    group::{self, Group},
    pages::{self, Marks},
    selection::Selection,
    services::{self, Name, Up},
    workspace,
};

/// Arguments of `cargo xtask faults`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask faults                             each fault once: some three minutes
  cargo xtask faults --rounds 10                 the long form: about half an hour
  cargo xtask faults --rounds 10 --write         the same, its tables into docs/reliability.md
  cargo xtask faults --rounds 10 --only pipe     `tidewater pipe` alone: some ten minutes
  cargo xtask faults --only kafka_is_killed      one; --only brokers those whose names hold `brokers`
  cargo xtask faults --release --rounds 10       of a release build of the gateway (the first takes some minutes)

Kafka and nats-server that run already (`cargo xtask services up`) stay; the others are started and stopped. Brokers that
are killed are others, which each fault starts for itself. Needs Linux, whose /proc says what a process holds.")]
pub(crate) struct Args {
    /// How often each fault is repeated. From two on a broker stands still for 30 seconds, not for 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Faults whose names hold this (repeatable).
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Breaks a release build of the gateway; else a debug build.
    #[arg(long)]
    release: bool,
    /// Puts the tables into docs/reliability.md too; with `--only pipe` that of the pipes alone.
    #[arg(long)]
    write: bool,
}

/// What the names of the faults on pipes hold, and the name of their table.
const PIPES: &str = "pipe";
const GATEWAY: &str = "tidewater-gateway";
const TESTS: &str = "tidewater-tests";

/// Runs `cargo xtask faults`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        !args.write || args.only.is_empty() || args.only == [PIPES],
        "--write wants the whole: without --only, or with --only {PIPES} for their table"
    );
    group::catch_interrupts()?;
    let began = Instant::now();
    let selection = Selection::new(true, true)?;
    let gateway = build(args, &selection)?;
    let brokers = Brokers(services::up(&Name::ALL)?);
    let report = workspace::target().join("xtask").join("faults").join("report.jsonl");
    fs::write(&report, "").with_context(|| report.display().to_string())?;
    let passed = play(args, &selection, &brokers, &gateway, &report)?;
    let versions = services::described(&brokers.0.state, &services::exports(&brokers.0.state));
    drop(brokers);

    let lines = fs::read_to_string(&report).with_context(|| report.display().to_string())?;
    let rounds = if args.rounds == 1 { String::new() } else { format!(" --rounds {}", args.rounds) };
    let versions: Vec<String> =
        versions.iter().filter_map(|line| line.split(" at ").next().map(str::to_owned)).collect();
    let only = if args.only == [PIPES] { format!(" --only {PIPES}") } else { String::new() };
    let heading = pages::heading(&format!("faults{rounds}{only}"), args.release, &versions);
    let Tables { clients, pipes } = Tables::of(&lines)?;
    println!("\n{heading}\n{clients}\n{pipes}\nTime: {} s", began.elapsed().as_secs());
    ensure!(passed, "a fault did not pass: see above");
    if args.write {
        let page = Path::new("docs").join("reliability.md");
        for (name, table) in [("figures", clients), (PIPES, pipes)] {
            if !table.is_empty() {
                pages::write(&page, &Marks { what: "faults", name }, &format!("{heading}\n{table}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the gateway and the tests, as `cargo xtask test` does, and puts the gateway aside.
fn build(args: &Args, selection: &Selection) -> Result<PathBuf> {
    eprintln!("Building the gateway and the faults");
    let build = |packages: &[String], what: &[&str]| {
        let mut command = workspace::cargo();
        command.arg("build").args(what);
        selection.select(&mut command, packages)?;
        let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
        ensure!(status.success(), "{} does not build: see above", packages.join(" and "));
        Ok(())
    };
    build(&[GATEWAY.to_owned(), TESTS.to_owned()], &["--bins", "--tests"])?;
    if !args.release {
        return workspace::aside("tidewater", "faults");
    }
    build(&[GATEWAY.to_owned()], &["--bin", "tidewater", "--release"])?;
    workspace::aside_from("release", "tidewater", "faults")
}

/// Says whether all passed; what they print goes to standard output.
fn play(
    args: &Args,
    selection: &Selection,
    brokers: &Brokers,
    gateway: &Path,
    report: &Path,
) -> Result<bool> {
    let mut command = workspace::cargo();
    command.args(["test", "--quiet", "--test", "faults"]);
    selection.select(&mut command, &[GATEWAY.to_owned(), TESTS.to_owned()])?;
    command.args(["--", "--ignored", "--test-threads=1", "--nocapture"]).args(&args.only);
    command
        .envs(services::exports(&brokers.0.state))
        .env("TIDEWATER_BIN", gateway)
        .env("TIDEWATER_XTASK", workspace::target().join("debug").join("xtask").with_extension(EXE_EXTENSION))
        .env("TIDEWATER_FAULT_ROUNDS", args.rounds.to_string())
        .env("TIDEWATER_FAULT_REPORT", report);
    Ok(Group::spawn(command.stdin(Stdio::null()))?.wait()?.success())
}

/// Those that run; what this run started ends with it.
struct Brokers(Up);

impl Drop for Brokers {
    fn drop(&mut self) {
        if let Err(error) = services::stop(&self.0.started) {
            eprintln!("error: {error:#}");
        }
    }
}
