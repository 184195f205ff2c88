//! `cargo xtask bench`: what things cost, measured on the gateway as it is shipped, against real brokers; and what its
//! codec costs, beside other people's.
//!
//! A bench prints tables; with `--write` they replace those in `docs/benchmarks/`, between two marks, so that the words
//! around them stay and the figures are always a program's.

mod channels;
mod codec;
mod gateway;
mod ids;
mod usage;

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use clap::{Args as ClapArgs, Subcommand};
use sysinfo::System;

use crate::{
    group::{self, Group},
    process, workspace,
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

Brokers that run already stay, as with `cargo xtask test`; the others are started and stopped.")]
pub(crate) struct Args {
    /// Puts the tables into docs/benchmarks/ too.
    #[arg(long, global = true)]
    write: bool,
    /// Measures a release build (the first takes some minutes); else a debug build. `codec` always does.
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
    /// The SSE codec beside other people's: speed over three shapes of events, and who reads what as the standard says.
    Codec(codec::Args),
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    group::catch_interrupts()?;
    if let What::Codec(own) = &args.what {
        ensure!(
            !args.write || own.is_whole(),
            "--write wants the whole: without --quick, --only and --rounds"
        );
    }
    let (page, name, report) = match &args.what {
        What::Channels(own) => ("channels", "channels", channels::run(own, args.release)?),
        What::Ids => ("channels", "ids", ids::run(args.release)?),
        What::Codec(own) => ("codec", "codec", codec::run(own)?),
    };
    println!("{report}");
    if args.write {
        write(page, name, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was run, on what, when.
fn heading(command: &str, release: bool, versions: &[String]) -> String {
    let mut system = System::new();
    let memory = system.as_mut().map_or(0, |system| {
        system.refresh_memory();
        system.total_memory() >> 30
    });
    let (cores, profile) =
        (thread::available_parallelism().map_or(0, usize::from), if release { "release" } else { "debug" });
    let rustc = process::output(Command::new("rustc").arg("--version")).unwrap_or_default();
    format!(
        "`cargo xtask bench {command}`, {profile} build, {}, {cores} cores, {memory} GiB, {} {}; {}; {}.\n",
        today(),
        std::env::consts::OS,
        std::env::consts::ARCH,
        rustc.trim(),
        versions.join("; "),
    )
}

/// The day, in UTC.
fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() / 86_400);
    // Days to a date of the Gregorian calendar, in eras of 400 years that begin in March.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{}-{month:02}-{day:02}", era * 400 + year + next)
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

/// Replaces what stands between the marks of this name in `docs/benchmarks/PAGE.md`.
fn write(page: &str, name: &str, report: &str) -> Result<()> {
    let file = workspace::root().join("docs").join("benchmarks").join(page).with_extension("md");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let text = replace(&text, name, report)
        .with_context(|| format!("{} has no marks <!-- bench {name} -->", file.display()))?;
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    eprintln!("Written to {}", file.display());
    Ok(())
}

fn replace(text: &str, name: &str, report: &str) -> Option<String> {
    let (open, close) = (format!("<!-- bench {name} -->\n"), format!("<!-- end {name} -->\n"));
    let (before, rest) = text.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}\n{}\n\n{close}{after}", report.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = "a\n<!-- bench ids -->\nold\n<!-- end ids -->\nb\n";
        let new = replace(text, "ids", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- bench ids -->\n\nnew\n\n<!-- end ids -->\nb\n");
        assert_eq!(replace(&new, "ids", "new").unwrap(), new);
        assert_eq!(replace(text, "channels", "new"), None);
    }

    #[test]
    fn a_day_is_a_date() {
        let today = today();
        assert!(today.len() == 10 && today.starts_with("20"), "{today}");
    }
}
