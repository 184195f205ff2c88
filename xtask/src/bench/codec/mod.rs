//! `cargo xtask bench codec`: the SSE codec beside other people's, in speed and in what they make of the vectors.
//!
//! What is measured is a package of its own, `tests/codec-bench`; here it is run, several times over, and its figures
//! become tables. Of each pair of candidates the ratio is taken within a round, where both ran within seconds of each
//! other, and then the median over the rounds: a machine that is slow for a while is so for both.

mod aims;
mod estimates;
mod verdicts;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::{Args as ClapArgs, ValueEnum};

use self::estimates::Estimates;
use super::heading;
use crate::{
    group::{self, Group},
    process, workspace,
};

/// Crates whose versions matter, as they stand in the package's lock file.
const VERSIONS: [&str; 13] = [
    "async-sse",
    "eventsource-client",
    "eventsource-stream",
    "sse-codec",
    "sse-core",
    "sse-parse",
    "sse-stream",
    "sseer",
    "axum",
    "rocket",
    "salvo",
    "warp",
    "criterion",
];

/// Arguments of `cargo xtask bench codec`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One round only, for a rough look.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// One half only.
    #[arg(long)]
    only: Option<Half>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Half {
    Decode,
    Encode,
}

impl Args {
    /// Whether nothing is left out that a page should say.
    pub(super) fn is_whole(&self) -> bool {
        !self.quick && self.only.is_none() && self.rounds >= 3
    }
}

/// Measures, and answers the report.
pub(super) fn run(args: &Args) -> Result<String> {
    let rounds = if args.quick { 1 } else { args.rounds };
    ensure!(rounds > 0, "at least one round");
    let criterion = target().join("criterion");
    if criterion.is_dir() {
        fs::remove_dir_all(&criterion).with_context(|| criterion.display().to_string())?;
    }
    eprintln!("Building");
    // The package's programs come along with its bench.
    wait(cargo().args(["bench", "--quiet", "--no-run", "--bench", "codec"]))?;
    for round in 0..rounds {
        let began = Instant::now();
        measure(round, args.only)?;
        eprintln!("Round {} of {rounds}: {} s", round + 1, began.elapsed().as_secs());
    }
    let estimates = Estimates::read(&criterion, rounds)?;
    let verdicts = match args.only {
        Some(Half::Encode) => None,
        _ => Some(verdicts::read(&vectors()?)?),
    };

    let mut report = heading("codec", true, &versions()?);
    let times = if rounds == 1 { "one round".into() } else { format!("medians of {rounds} rounds") };
    report +=
        &format!("\nMB/s, {times}; decoding counts the bytes of the stream, encoding those of the data.\n\n");
    for half in ["decode", "encode"] {
        if let Some(table) = estimates.table(half) {
            report += &format!("{table}\n");
        }
    }
    report += &format!("{}\n", aims::table(&estimates));
    if let Some(verdicts) = &verdicts {
        report += &format!("{}\n{}\n", aims::conforming(&estimates, verdicts), verdicts::table(verdicts));
    }
    Ok(report)
}

/// One round over all candidates; criterion keeps its estimates under the round's name.
fn measure(round: usize, only: Option<Half>) -> Result<()> {
    let log = target().join("codec.log");
    let file = File::create(&log).with_context(|| log.display().to_string())?;
    let mut command = cargo();
    command.args(["bench", "--bench", "codec", "--", "--save-baseline", &estimates::round(round)]);
    match only {
        Some(Half::Decode) => command.arg("^decode "),
        Some(Half::Encode) => command.arg("^encode "),
        None => &mut command,
    };
    command.env("CRITERION_HOME", target().join("criterion")).stdout(file.try_clone()?).stderr(file);
    wait(&mut command).with_context(|| format!("what it wrote is in {}", log.display()))
}

/// What the decoders make of the vectors, as JSON.
fn vectors() -> Result<String> {
    let program = format!("vectors{}", std::env::consts::EXE_SUFFIX);
    let output = Command::new(target().join("release").join(program)).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "vectors: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

fn wait(command: &mut Command) -> Result<()> {
    let shown = process::shown(command);
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    group::check_interrupted()?;
    ensure!(status.success(), "`{shown}` failed");
    Ok(())
}

fn package() -> PathBuf {
    workspace::root().join("tests").join("codec-bench")
}

/// A target folder of its own: the packages in it are others than the workspace's.
fn target() -> PathBuf {
    workspace::target().join("codec-bench")
}

fn cargo() -> Command {
    let mut command = workspace::cargo();
    command.current_dir(package()).env("CARGO_TARGET_DIR", target());
    command
}

fn versions() -> Result<Vec<String>> {
    versions_in(&package(), &VERSIONS)
}

/// The versions of these crates in a package's lock file.
pub(super) fn versions_in(package: &Path, names: &[&str]) -> Result<Vec<String>> {
    let file = package.join("Cargo.lock");
    let lock = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    names
        .iter()
        .map(|name| {
            let version =
                version(&lock, name).with_context(|| format!("{} has no {name}", file.display()))?;
            Ok(format!("{name} {version}"))
        })
        .collect()
}

/// The version of the package in the text of a lock file.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = lock.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    after.split_once('"').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_the_lock_file() {
        let lock = "[[package]]\nname = \"sse-core-x\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"sse-core\"\nversion = \"0.2.3\"\n";
        assert_eq!(version(lock, "sse-core"), Some("0.2.3"));
        assert_eq!(version(lock, "sse"), None);
        assert_eq!(versions().unwrap().len(), VERSIONS.len());
    }
}
