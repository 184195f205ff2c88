//! `cargo xtask bench fanout`: what the fan-out costs, beside other people's.
//!
//! What is measured is a package of its own, `tests/fanout-bench`, with a server for each contender and the load; here
//! they are run, each workload's contenders one after the other and all of that several times over, and their figures
//! become tables. Of each pair the ratio is taken within a round, and then the median over the rounds: a machine that is
//! slow for a while is so for both.

mod aims;
mod brokers;
mod contender;
mod measured;
mod nchan;
mod plot;
mod results;
mod server;
mod tables;
mod workload;

use std::{collections::BTreeMap, fs, path::PathBuf, process::Stdio, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

pub(super) use self::results::Median;
use self::{
    brokers::Brokers,
    contender::Contender,
    measured::{Figure, Measured},
    results::Results,
    server::{Programs, Server},
    workload::{Run, Workload},
};
use super::{codec, heading};
use crate::{
    group::{self, Group},
    process, workspace,
};

/// Crates whose versions matter, as they stand in the package's lock file.
const VERSIONS: [&str; 6] = ["axum", "hyper", "rocket", "salvo", "tokio", "warp"];

/// Arguments of `cargo xtask bench fanout`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask bench fanout                               all of it: some 25 minutes
  cargo xtask bench fanout --write                       the same, into docs/benchmarks/
  cargo xtask bench fanout --quick                       a rough look
  cargo xtask bench fanout --only W1,W1w8 --contenders hyper,hand-hyper,floor --rounds 5

Nothing else should run meanwhile. Linux only: it reads /proc. nchan is Debian's nginx with libnginx-mod-nchan: as root
it is installed, else its rows are left out where it is not there. The same goes for kcat, without which there is no W8.")]
pub(crate) struct Args {
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One round of fewer events, for a rough look.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// These workloads alone.
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    only: Vec<Workload>,
    /// These servers alone.
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<Contender>,
}

impl Args {
    /// Whether nothing is left out that a page should say.
    pub(super) fn is_whole(&self) -> bool {
        !self.quick && self.only.is_empty() && self.contenders.is_empty() && self.rounds >= 3
    }
}

/// What was measured, for the page: its text and its plot.
pub(super) struct Report {
    pub(super) text: String,
    pub(super) plot: Option<String>,
}

/// Measures, and answers the report.
pub(super) fn run(args: &Args) -> Result<Report> {
    ensure!(cfg!(target_os = "linux"), "what servers use is read from /proc, which only Linux has");
    let rounds = if args.quick { 1 } else { args.rounds };
    ensure!(rounds > 0, "at least one round");
    let mut runs = runs(args);
    let mut results = Results::default();
    let mut versions = codec::versions_in(&package(), &VERSIONS)?;
    if runs.iter().any(|(_, run)| run.contender == Contender::Nchan) {
        match nchan::find() {
            Ok(version) => versions.push(version),
            Err(error) => {
                eprintln!("nchan is left out: {error:#}");
                results.failures.push(format!("nchan is left out: {error:#}"));
                runs.retain(|(_, run)| run.contender != Contender::Nchan);
            }
        }
    }
    let programs = build()?;
    raise_files()?;
    let mut brokers = None;
    if runs.iter().any(|(workload, _)| *workload == Workload::W8) {
        match Brokers::up() {
            Ok(up) => {
                versions.extend(up.versions());
                brokers = Some(up);
            }
            Err(error) => {
                group::check_interrupted()?;
                eprintln!("W8 is left out: {error:#}");
                results.failures.push(format!("W8 is left out: {error:#}"));
                runs.retain(|(workload, _)| *workload != Workload::W8);
            }
        }
    }
    let measured = measure_all(&programs, brokers.as_ref(), &runs, rounds, &mut results);
    if let Some(brokers) = brokers {
        brokers.down()?;
    }
    measured?;
    Ok(report(args, rounds, &versions, &results))
}

/// All runs, so many times over. Each round begins elsewhere: a machine that is slow for a while is so for other runs each
/// time.
fn measure_all(
    programs: &Programs,
    brokers: Option<&Brokers>,
    runs: &[(Workload, Run)],
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    for round in 0..rounds {
        let began = Instant::now();
        results.rounds.push(BTreeMap::new());
        for at in 0..runs.len() {
            let (workload, run) = &runs[(at + round * runs.len() / rounds) % runs.len()];
            measure(programs, brokers, *workload, run, results)?;
        }
        eprintln!("Round {} of {rounds}: {} s", round + 1, began.elapsed().as_secs());
    }
    Ok(())
}

/// Allows what is started as many open files as may be: a gateway has a thousand clients.
fn raise_files() -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(())
}

/// What is to be run in each round, in its order.
fn runs(args: &Args) -> Vec<(Workload, Run)> {
    let wanted = |workload: &Workload| args.only.is_empty() || args.only.contains(workload);
    let runs = Workload::ALL.iter().filter(|workload| wanted(workload)).flat_map(|workload| {
        let runs = workload.runs(args.quick).into_iter();
        runs.map(|run| (*workload, run))
    });
    runs.filter(|(_, run)| args.contenders.is_empty() || args.contenders.contains(&run.contender)).collect()
}

/// One run; one that comes to nothing is told, and the others go on.
fn measure(
    programs: &Programs,
    brokers: Option<&Brokers>,
    workload: Workload,
    run: &Run,
    results: &mut Results,
) -> Result<()> {
    let name = format!("{workload:?} {} {}", run.contender.title(), run.part);
    let measured = match brokers.filter(|_| workload == Workload::W8) {
        Some(brokers) => brokers.measure(programs, run),
        None => Server::start(programs, run.contender, &run.load)
            .and_then(|server| server.measure(programs, &run.load)),
    };
    group::check_interrupted()?;
    match measured {
        Ok(measured) => {
            eprintln!("  {:<46} {}", name.trim(), shown(workload, &measured));
            let key = (workload, run.contender, run.part);
            if let Some(round) = results.rounds.last_mut() {
                round.insert(key, measured);
            }
        }
        Err(error) => {
            eprintln!("  {:<46} failed: {error:#}", name.trim());
            results.failures.push(format!("{}: {error:#}", name.trim()));
        }
    }
    Ok(())
}

/// What is told of a run while others are to come.
fn shown(workload: Workload, measured: &Measured) -> String {
    let faults = measured.faults().map(|faults| format!("  !: {faults}")).unwrap_or_default();
    let figure = |figure| measured.figure(figure);
    if workload == Workload::W2 {
        return format!("{:>8.0} B, {:.0}/s{faults}", figure(Figure::Memory), figure(Figure::Accepted));
    }
    format!(
        "{:>8.2} CPU µs, p50 {:.1} ms, p99 {:.1} ms, load {:.0} %{faults}",
        figure(Figure::Cpu),
        figure(Figure::P50),
        figure(Figure::P99),
        measured.load_cpu_seconds / measured.seconds * 100.0,
    )
}

fn report(args: &Args, rounds: usize, versions: &[String], results: &Results) -> Report {
    let heading = heading("fanout", true, versions);
    let mut text = heading.clone();
    let times = if rounds == 1 { "One round".into() } else { format!("Medians of {rounds} rounds") };
    text += &format!("\n{times}; ratios are taken within a round.\n\n");
    text += &tables::all(results, args.quick);
    text += &format!("### Aims\n\n{}\n", aims::table(results));
    for failure in &results.failures {
        text += &format!("- {failure}\n");
    }
    let caption = heading.replace('`', "").replace('&', "&amp;").replace('<', "&lt;");
    let caption = caption.split("; ").next().unwrap_or_default().trim();
    let caption = format!("Server CPU seconds per million deliveries; less is better. {caption}");
    Report { text, plot: plot::svg(results, &caption) }
}

fn build() -> Result<Programs> {
    let folder = build_programs()?;
    let logs = workspace::target().join("xtask").join("fanout");
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    Ok(Programs { folder, logs })
}

/// Builds all programs of the package, and answers where they are.
pub(super) fn build_programs() -> Result<PathBuf> {
    eprintln!("Building");
    let mut command = workspace::cargo();
    command.current_dir(package()).env("CARGO_TARGET_DIR", target());
    command.args(["build", "--quiet", "--locked", "--release", "--bins"]);
    let shown = process::shown(&command);
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "`{shown}` failed");
    Ok(target().join("release"))
}

pub(super) fn package() -> PathBuf {
    workspace::root().join("tests").join("fanout-bench")
}

/// A target folder of its own: the packages in it are others than the workspace's.
fn target() -> PathBuf {
    workspace::target().join("fanout-bench")
}
