//! `cargo xtask test`: every test of the workspace, against real brokers and a real browser.
//!
//! In two passes over the same programs: first what needs nothing (with the doc tests), then what is marked
//! `#[ignore = "needs Kafka: …"]`. The first pass prints those marks, so the summary can tell how many tests ran against
//! which broker instead of claiming it. At the end everything that was written is searched for the tests' secrets: one
//! that is found is a failure.

mod report;
mod secrets;

use std::{
    env::consts::EXE_EXTENSION,
    io::{BufRead, BufReader, Write, pipe},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Result, bail, ensure};
use clap::Args as ClapArgs;

use self::{report::Report, secrets::Secrets};
use crate::{
    group::{self, Group},
    needs,
    services::{self, Name},
    workspace,
};

/// Arguments of `cargo xtask test`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask test                           everything
  cargo xtask test -p tidewater-kafka        one package
  cargo xtask test -- resume                 tests whose names hold `resume`
  cargo xtask test -- --nocapture resume     what follows `--` goes to the test programs

Brokers that run already stay: those of `cargo xtask services up`, or those that TIDEWATER_TEST_KAFKA
(127.0.0.1:9092) and TIDEWATER_TEST_NATS (nats://127.0.0.1:4222) name. What this run starts, it stops.
`cargo test` alone runs what needs no broker.")]
pub(crate) struct Args {
    /// Tests this package only (repeatable).
    #[arg(short, long = "package", value_name = "NAME")]
    package: Vec<String>,
    /// Goes to the test programs: filters and flags of libtest.
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let start = Instant::now();
    let needs = needs::probe();
    eprintln!("The tests need:");
    for need in &needs {
        eprintln!("{need}");
    }
    if let Some(missing) = needs.iter().find(|need| need.is_missing()) {
        bail!("{} is missing (see the table above)", missing.name);
    }
    group::catch_interrupts()?;
    needs::obtain_packages()?;

    eprintln!("\nBuilding the workspace and its tests");
    let binary = build(args)?;
    let brokers = Brokers::provide()?;

    let mut report = Report::default();
    let mut secrets = Secrets::new()?;
    pass(args, &brokers, &binary, Pass::Plain, &mut report, &mut secrets)?;
    pass(args, &brokers, &binary, Pass::Ignored, &mut report, &mut secrets)?;
    secrets.shown()?.into_iter().for_each(|shown| report.fail(shown));
    drop(secrets);
    let described = brokers.described.clone();
    drop(brokers);

    println!("\n{report}");
    for line in described {
        println!("{line}");
    }
    println!("Browser: {}", needs::browser_versions());
    println!("Time: {} s", start.elapsed().as_secs());
    println!("{}", report.verdict());
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds tests and binaries in one go (so that no crate is built with two sets of features) and puts the gateway's
/// binary aside, where no later build replaces it while tests run it.
fn build(args: &Args) -> Result<PathBuf> {
    let mut command = workspace::cargo();
    command.args(["build", "--all-features", "--bins", "--tests", "--examples"]);
    select(&mut command, &args.package);
    if !args.package.is_empty() {
        command.args(["--package", "tidewater-gateway"]);
    }
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "the workspace does not build");
    workspace::aside("tidewater", "test")
}

/// The named packages, or all.
fn select(command: &mut Command, packages: &[String]) {
    if packages.is_empty() {
        command.arg("--workspace");
    }
    for name in packages {
        command.args(["--package", name]);
    }
}

/// Which tests a pass runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Those that need nothing, and the doc tests.
    Plain,
    /// Those marked as ignored, because they need a broker or a browser.
    Ignored,
}

/// Runs cargo over all test programs; what they write goes through to stdout, and into the report.
fn pass(
    args: &Args,
    brokers: &Brokers,
    binary: &Path,
    pass: Pass,
    report: &mut Report,
    secrets: &mut Secrets,
) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["test", "--all-features", "--no-fail-fast"]);
    select(&mut command, &args.package);
    if pass == Pass::Ignored {
        command.args(["--tests", "--", "--ignored"]);
        println!("\nNow those that need brokers and a browser");
    } else {
        command.arg("--");
    }
    command.args(&args.filters).envs(brokers.exports.iter().cloned()).env("TIDEWATER_BIN", binary);
    command.envs(secrets.exports());
    // For tests that break a broker: `$TIDEWATER_XTASK services --dir DIR up|kill|down kafka|nats`.
    command.env(
        "TIDEWATER_XTASK",
        workspace::target().join("debug").join("xtask").with_extension(EXE_EXTENSION),
    );

    // One pipe for both, so that cargo's headings (stderr) stand before the tests that they head (stdout).
    let (reader, writer) = pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let group = Group::spawn(&mut command)?;
    // The command holds the pipe's writing end: as long as it lives there is no end of file.
    drop(command);
    report.begin_pass(pass == Pass::Ignored);
    let mut out = std::io::stdout().lock();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader);
    while reader.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        secrets.printed(&line)?;
        report.line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    out.flush()?;
    let status = group.wait()?;
    report.end_pass(status.success());
    Ok(())
}

/// The brokers that the tests use; dropping it stops those that this run started.
struct Brokers {
    exports: Vec<(&'static str, String)>,
    /// A line for each, with its version.
    described: Vec<String>,
    started: Vec<Name>,
}

impl Brokers {
    fn provide() -> Result<Self> {
        let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (kafka, nats) = (named("TIDEWATER_TEST_KAFKA"), named("TIDEWATER_TEST_NATS"));
        let mut missing = Vec::new();
        missing.extend(kafka.is_none().then_some(Name::Kafka));
        missing.extend(nats.is_none().then_some(Name::Nats));
        let up = services::up(&missing)?;
        let mut brokers = Self { exports: Vec::new(), described: Vec::new(), started: up.started };
        group::check_interrupted()?;
        // Addresses that were named win over those of services that happen to run.
        brokers.exports = services::exports(&up.state);
        for (name, value) in [("TIDEWATER_TEST_KAFKA", kafka), ("TIDEWATER_TEST_NATS", nats)] {
            if let Some(value) = value {
                brokers.exports.retain(|(known, _)| *known != name);
                brokers.exports.push((name, value));
            }
        }
        brokers.described = services::described(&up.state, &brokers.exports);
        Ok(brokers)
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if let Err(error) = services::stop(&self.started) {
            eprintln!("error: {error:#}");
        }
    }
}
