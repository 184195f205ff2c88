//! Runs a test program without the tests that cannot run here.
//!
//! Cargo starts it in the program's place (its `runner`), so that it keeps the environment and the folder that cargo
//! gives to tests. Test names alone would not do for libtest's `--skip`: it takes parts of names, and two programs may
//! have the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::process;

/// The variable that names the file of [`Skips`].
pub(super) const FILE: &str = "TIDEWATER_XTASK_SKIPS";

/// Tests that are not run, by their programs' file names.
pub(super) type Skips = BTreeMap<String, BTreeSet<String>>;

/// Runs `cargo xtask run-test PROGRAM ARG…`.
pub(crate) fn run(command: &[String]) -> Result<ExitCode> {
    let (program, args) = command.split_first().context("no test program is named")?;
    let file = std::env::var_os(FILE).with_context(|| format!("{FILE} is not set"))?;
    let skips: Skips = serde_json::from_slice(&fs::read(&file)?).context("the file of tests to skip")?;
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut tests = Command::new(program);
    match skips.get(&name) {
        None => tests.args(args),
        Some(skipped) => {
            let listed =
                process::output(Command::new(program).args(args).args(["--list", "--format", "terse"]))?;
            let kept = kept(&listed, skipped);
            if kept.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            tests.args(flags(args)).arg("--exact").args(kept)
        }
    };
    let status = tests.status().with_context(|| program.clone())?;
    ensure!(status.code().is_some(), "{program} was ended by a signal ({status})");
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Names in libtest's terse list (`name: test`) that are not skipped.
fn kept<'a>(listed: &'a str, skipped: &BTreeSet<String>) -> Vec<&'a str> {
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    names.filter(|name| !skipped.contains(*name)).collect()
}

/// Arguments without filters: the list was filtered already.
fn flags(args: &[String]) -> Vec<&String> {
    const WITH_VALUE: [&str; 7] =
        ["--test-threads", "--logfile", "--color", "--format", "--shuffle-seed", "-Z", "--report-time"];
    let mut flags = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        // Those that were skipped are not in the list.
        if arg == "--skip" {
            args.next();
        } else if arg.starts_with('-') {
            flags.push(arg);
            if WITH_VALUE.contains(&arg.as_str()) {
                flags.extend(args.next());
            }
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_is_not_kept_and_its_likes_are() {
        let listed = "kafka: test\nkafka_twice: test\nbench: benchmark\n";
        assert_eq!(kept(listed, &BTreeSet::from(["kafka".to_owned()])), ["kafka_twice"]);
    }

    #[test]
    fn filters_are_no_flags() {
        let args = ["--ignored", "resume", "--test-threads", "1", "--skip", "slow", "--nocapture", "x"];
        let args = args.map(str::to_owned);
        assert_eq!(flags(&args), ["--ignored", "--test-threads", "1", "--nocapture"]);
    }

    #[test]
    fn a_program_runs_without_what_is_skipped() {
        // This very program, asked for one test of two.
        let program = std::env::current_exe().unwrap();
        let listed =
            process::output(Command::new(&program).args(["runner::tests::", "--list", "--format", "terse"]));
        let listed = listed.unwrap();
        let skipped = BTreeSet::from(["test::runner::tests::filters_are_no_flags".to_owned()]);
        let kept = kept(&listed, &skipped);
        assert!(kept.contains(&"test::runner::tests::a_program_runs_without_what_is_skipped"), "{listed}");
        assert!(!kept.contains(&"test::runner::tests::filters_are_no_flags"), "{listed}");
    }
}
