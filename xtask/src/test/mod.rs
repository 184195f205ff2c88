//! `cargo xtask test`: every test of the workspace that can run here, against real brokers and real browsers.
//!
//! First the table of what is needed ([`needs`]); what is missing takes its part of the tests along, and the summary
//! says so. Then two passes over the same programs: first what needs nothing (with the doc tests), then what is marked
//! `#[ignore = "needs Kafka: …"]`. The first pass prints those marks, so the summary can tell how many tests ran against
//! which broker instead of claiming it, and the second can leave out what has no broker. At the end everything that was
//! written is searched for the tests' secrets: one that is found is a failure.

mod brokers;
mod report;
pub(crate) mod runner;
mod secrets;

use std::{
    env::{self, consts::EXE_EXTENSION},
    fs,
    io::{BufRead, BufReader, Write, pipe},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

use self::{brokers::Brokers, report::Report, secrets::Secrets};
use crate::{
    contract_tests,
    group::{self, Group},
    needs::{self, Part, Plan, Required},
    selection::Selection,
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

  cargo xtask test --require all             exit code 3 if anything that is needed is missing (CI=true does it too)
  cargo xtask test --docker                  the brokers from compose.yaml

Brokers that run already stay: those of `cargo xtask services up`, or those that TIDEWATER_TEST_KAFKA
(127.0.0.1:9092) and TIDEWATER_TEST_NATS (nats://127.0.0.1:4222) name. What this run starts, it stops.
What cannot run for want of a broker, a compiler or a browser is named in the summary, behind PARTIAL; the exit code
is then 0 all the same. `cargo xtask doctor` tells it before. `cargo test` alone runs what needs no broker.")]
pub(crate) struct Args {
    /// Tests this package only (repeatable).
    #[arg(short, long = "package", value_name = "NAME")]
    package: Vec<String>,
    /// What must run: all, or a list of kafka, nats, chromium, firefox, npm, nginx and haproxy. If it cannot, nothing runs and the exit code is 3.
    #[arg(long, value_name = "PARTS")]
    require: Option<Required>,
    /// Takes the brokers from docker (compose.yaml) instead of starting them here.
    #[arg(long)]
    docker: bool,
    /// Goes to the test programs: filters and flags of libtest.
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let start = Instant::now();
    let required = args.require.unwrap_or_else(required_by_ci);
    let context = needs::Context::new(args.docker);
    let mut plan = look(&context);
    if let Some(code) = lacks(&plan, required) {
        return Ok(code);
    }
    group::catch_interrupts()?;
    if let Err(error) = needs::obtain_packages(&context) {
        group::check_interrupted()?;
        eprintln!("error: {error:#}\nWithout them:");
    }
    plan = Plan::new(&needs::probe(&context.obtained()));
    provide(&mut plan, Part::Firefox, needs::provide_geckodriver)?;
    provide(&mut plan, Part::Npm, needs::provide_npm)?;
    if let Some(code) = lacks(&plan, required) {
        return Ok(code);
    }

    eprintln!("\nBuilding the workspace and its tests");
    let selection = Selection::new(plan.builds_kafka, plan.builds_nats)?;
    let binary = build(args, &selection)?;
    let brokers = Brokers::provide(args, &mut plan)?;
    if let Some(code) = lacks(&plan, required) {
        return Ok(code);
    }

    let mut report = Report::default();
    let run = Run { args, selection: &selection, brokers: &brokers, binary: &binary };
    let mut secrets = Secrets::new()?;
    run.pass(Pass::Plain, &mut report, &mut secrets)?;
    let skips = report.skips(|part| plan.runs(part));
    run.pass(Pass::Ignored(&skips), &mut report, &mut secrets)?;
    secrets.shown()?.into_iter().for_each(|shown| report.fail(shown));
    drop(secrets);
    let described = brokers.described.clone();
    drop(brokers);
    let contract = contract(args, &mut report)?;

    println!("\n{report}");
    for line in described {
        println!("{line}");
    }
    println!("Browsers: {}", needs::browser_versions());
    if let Some(contract) = contract {
        println!("Contract tests of the client: {contract}");
    }
    println!("Time: {} s", start.elapsed().as_secs());
    if let Some(partial) = plan.partial() {
        println!("PARTIAL. Not run: {partial}");
    }
    println!("{}", report.verdict());
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the contract tests of the client, in a run over all of the workspace. Where their harness is not to be had, that
/// is said and no failure, not even in CI: it is others' work, and Go's proxy may not have it.
fn contract(args: &Args, report: &mut Report) -> Result<Option<String>> {
    if !args.filters.is_empty() || !args.package.is_empty() {
        return Ok(None);
    }
    let service = workspace::aside(contract_tests::SERVICE, "test")?;
    Ok(Some(match contract_tests::within_test(&service) {
        Ok(Ok(outcome)) => {
            outcome.failed.iter().for_each(|name| report.fail(format!("{name}, of the contract tests")));
            outcome.to_string()
        }
        Ok(Err(error)) => {
            report.fail(format!("contract tests: {error:#}"));
            format!("FAILED ({error:#})")
        }
        Err(error) => {
            group::check_interrupted()?;
            format!("not run ({error:#})")
        }
    }))
}

/// Prints the table, and says what will run.
fn look(context: &needs::Context) -> Plan {
    let needs = needs::probe(context);
    eprintln!("The tests need:");
    for need in &needs {
        eprintln!("{need}");
    }
    let plan = Plan::new(&needs);
    eprintln!("\n{}", needs::advice(&needs, &plan));
    plan
}

/// Gets what a part needs; a part for which that fails does not run.
fn provide(plan: &mut Plan, part: Part, get: impl FnOnce() -> Result<()>) -> Result<()> {
    if plan.runs(part)
        && let Err(error) = get()
    {
        group::check_interrupted()?;
        eprintln!("error: {error:#}");
        plan.lack(part, error.to_string());
    }
    Ok(())
}

/// In CI a test that silently does not run is no test.
fn required_by_ci() -> Required {
    if env::var("CI").is_ok_and(|value| value == "true") { Required::ALL } else { Required::default() }
}

fn lacks(plan: &Plan, required: Required) -> Option<ExitCode> {
    let unmet = plan.unmet(required)?;
    eprintln!("error: required and not here: {unmet}");
    Some(ExitCode::from(needs::LACKS))
}

/// Builds tests and binaries in one go (so that no crate is built with two sets of features) and puts the gateway's
/// binary aside, where no later build replaces it while tests run it.
fn build(args: &Args, selection: &Selection) -> Result<PathBuf> {
    let mut command = workspace::cargo();
    command.args(["build", "--bins", "--tests", "--examples"]);
    let mut packages = args.package.clone();
    if !packages.is_empty() && !packages.iter().any(|name| name == GATEWAY) {
        packages.push(GATEWAY.to_owned());
    }
    selection.select(&mut command, &packages)?;
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "the workspace does not build");
    workspace::aside("tidewater", "test")
}

const GATEWAY: &str = "tidewater-gateway";

/// Which tests a pass runs.
#[derive(Clone, Copy)]
enum Pass<'a> {
    /// Those that need nothing, and the doc tests.
    Plain,
    /// Those marked as ignored, because they need a broker or a browser; without those that have none here.
    Ignored(&'a runner::Skips),
}

/// What both passes run with.
struct Run<'a> {
    args: &'a Args,
    selection: &'a Selection,
    brokers: &'a Brokers,
    binary: &'a Path,
}

impl Run<'_> {
    /// Runs cargo over all test programs; what they write goes through to stdout, and into the report.
    fn pass(&self, pass: Pass<'_>, report: &mut Report, secrets: &mut Secrets) -> Result<()> {
        let mut command = self.command(pass)?;
        command.envs(secrets.exports());
        // One pipe for both, so that cargo's headings (stderr) stand before the tests that they head (stdout).
        let (reader, writer) = pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let group = Group::spawn(&mut command)?;
        // The command holds the pipe's writing end: as long as it lives there is no end of file.
        drop(command);
        report.begin_pass(matches!(pass, Pass::Ignored(_)));
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

    fn command(&self, pass: Pass<'_>) -> Result<Command> {
        let xtask = workspace::target().join("debug").join("xtask").with_extension(EXE_EXTENSION);
        let mut command = workspace::cargo();
        command.args(["test", "--no-fail-fast"]);
        self.selection.select(&mut command, &self.args.package)?;
        match pass {
            Pass::Plain => {
                command.arg("--");
            }
            Pass::Ignored(skips) => {
                println!("\nNow those that need brokers and browsers");
                if !skips.is_empty() {
                    let file = workspace::target().join("xtask").join("test").join("skips.json");
                    fs::write(&file, serde_json::to_vec_pretty(skips)?)
                        .with_context(|| format!("cannot write {}", file.display()))?;
                    let runner = serde_json::to_string(
                        &[xtask.as_os_str(), "run-test".as_ref()].map(|word| word.to_string_lossy()),
                    )?;
                    command.args(["--config", &format!("target.\"cfg(all())\".runner={runner}")]);
                    command.env(runner::FILE, file);
                }
                command.args(["--tests", "--", "--ignored"]);
            }
        }
        command
            .args(&self.args.filters)
            .envs(self.brokers.exports.iter().cloned())
            .envs(needs::exports())
            .env("TIDEWATER_BIN", self.binary);
        // For tests that break a broker: `$TIDEWATER_XTASK services --dir DIR up|kill|down kafka|nats`.
        command.env("TIDEWATER_XTASK", xtask);
        Ok(command)
    }
}
