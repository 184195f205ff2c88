//! `cargo xtask contract-tests`: the public harness launchdarkly/sse-contract-tests against the client of event streams.
//!
//! The harness (in Go) runs servers, and asks a service of ours, `tests/sse-service`, to connect the client to them and
//! to tell what comes of it. What it takes is in [`harness`]; what it prints is read by [`outcome`].

mod harness;
mod outcome;

use std::{
    io::{BufRead, BufReader, Write, pipe},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args as ClapArgs;

pub(crate) use self::{harness::need, outcome::Outcome};
use crate::{
    group::{self, Group},
    net, workspace,
};

/// The package whose binary the harness drives.
pub(crate) const SERVICE: &str = "tidewater-sse-service";

/// How long the service may take to begin, and to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `cargo xtask contract-tests`.
#[derive(ClapArgs)]
#[command(after_help = "\
The harness is launchdarkly/sse-contract-tests. Without --harness and TIDEWATER_SSE_CONTRACT_TESTS it is built by
`go install`, once. `cargo xtask test` runs it too, where it can be had.")]
pub(crate) struct Args {
    /// The harness: its folder of sources (Go builds it), or a binary.
    #[arg(long, value_name = "PATH", env = harness::VARIABLE)]
    harness: Option<PathBuf>,
}

/// Runs `cargo xtask contract-tests`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    group::catch_interrupts()?;
    let harness = harness::provide(args.harness.as_deref(), harness::Again::Yes)?;
    let outcome = drive(&harness, &build_service()?)?;
    println!("\n{outcome}");
    Ok(if outcome.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same for `cargo xtask test`, against a service that is built already. An error is a harness that is not to be had.
pub(crate) fn within_test(service: &Path) -> Result<Result<Outcome>> {
    let named = std::env::var_os(harness::VARIABLE).filter(|named| !named.is_empty()).map(PathBuf::from);
    let harness = harness::provide(named.as_deref(), harness::Again::Tomorrow)?;
    println!("\nNow the client against sse-contract-tests");
    Ok(drive(&harness, service))
}

/// Builds the service and puts it aside.
pub(crate) fn build_service() -> Result<PathBuf> {
    eprintln!("Building the service");
    let mut command = workspace::cargo();
    command.args(["build", "--package", SERVICE, "--bin", SERVICE]);
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "the service does not build: see above");
    workspace::aside(SERVICE, "contract-tests")
}

/// Runs all of the harness against the service; what it prints goes through.
fn drive(harness: &Path, service: &Path) -> Result<Outcome> {
    let (mut service, url) = start(service)?;
    let port = net::some_free_ports(harness, 1)?[0].to_string();
    let (reader, writer) = pipe()?;
    let mut command = Command::new(harness);
    command.args(["--url", &url, "--host", "127.0.0.1", "--port", &port, "--stop-service-at-end"]);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let running = Group::spawn(&mut command)?;
    // As long as it lives, the pipe has a writer.
    drop(command);
    let mut outcome = outcome::Reader::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(reader).lines() {
        let line = line?;
        writeln!(out, "{line}")?;
        outcome.line(&line);
    }
    let status = running.wait()?;
    let start = Instant::now();
    while service.is_running() && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    ensure!(!service.is_running(), "the service does not end when the harness says so");
    let ended = service.wait()?;
    ensure!(ended.success(), "the service has failed ({ended}): see above");
    outcome.end(status)
}

/// Starts the service on a free port. Answers with its URL.
fn start(service: &Path) -> Result<(Group, String)> {
    let (reader, writer) = pipe()?;
    let mut command = Command::new(service);
    command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(writer);
    let group = Group::spawn(&mut command)?;
    drop(command);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).context("the service")?;
    match line.trim().strip_prefix("listening on ") {
        Some(url) => Ok((group, url.to_owned())),
        None => bail!("the service does not say where it listens, but {line:?}"),
    }
}
