//! `cargo xtask fuzz`: every target of `fuzz/`, for a while each, with libFuzzer.
//!
//! libFuzzer needs a nightly compiler and C++, which nothing else here does. So `fuzz/` is a workspace of its own, and
//! this command says what is missing before it builds anything. Checks, seeds and regressions run on stable, too:
//! `cargo test` in `fuzz/`.

mod output;
mod tools;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args as ClapArgs;

use self::output::Output;
use crate::{
    group::{self, Group},
    needs, workspace,
};

/// Arguments of `cargo xtask fuzz`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                               every target for a minute
  cargo xtask fuzz --seconds 600 --target decode
  cargo xtask fuzz --target split --target encode

What was found worth keeping stays in fuzz/corpus/, and the next run starts from it. A finding lies in fuzz/artifacts/;
the exit code is then 1, and 3 where a nightly toolchain, cargo-fuzz or a C++ compiler is missing.")]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only this target; may be given several times.
    #[arg(long = "target", value_name = "T")]
    targets: Vec<String>,
}

/// The longest inputs, in bytes, of the first half of a run and of the second. Ten times as many short ones fit in the
/// same time; and the decoder has its last threshold near 5000.
const MOST_BYTES: [u32; 2] = [256, 8192];
/// All checks are linear in their input: one that takes so many seconds hangs.
const TIMEOUT: u32 = 10;
/// How often progress is told.
const EVERY: Duration = Duration::from_secs(10);

/// Runs `cargo xtask fuzz`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    group::catch_interrupts()?;
    let all = targets()?;
    let targets = chosen(&all, &args.targets)?;
    let toolchain = match tools::find() {
        Ok(toolchain) => toolchain,
        Err(lacking) => {
            eprintln!("error: fuzzing needs what is not here:");
            lacking.iter().for_each(|lack| eprintln!("  {lack}"));
            return Ok(ExitCode::from(needs::LACKS));
        }
    };
    let fuzzer = Fuzzer { toolchain, work: workspace::target().join("xtask").join("fuzz") };
    fuzzer.build()?;
    let mut runs = Vec::new();
    for target in targets {
        runs.push(fuzzer.run(target, args.seconds)?);
    }

    println!("\n{}", table(&runs));
    let found: Vec<&Run> = runs.iter().filter(|run| run.output.finding.is_some()).collect();
    found.iter().for_each(|run| fuzzer.tell(run));
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The targets that there are, sorted.
fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    targets.sort();
    Ok(targets)
}

/// Those that were asked for, or all.
fn chosen<'a>(targets: &'a [String], wanted: &'a [String]) -> Result<Vec<&'a str>> {
    if let Some(unknown) = wanted.iter().find(|name| !targets.contains(name)) {
        bail!("there is no target {unknown}; there are: {}", targets.join(", "));
    }
    Ok(if wanted.is_empty() { targets } else { wanted }.iter().map(String::as_str).collect())
}

/// The package's folder.
fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

/// How targets are built and run.
struct Fuzzer {
    /// The nightly toolchain.
    toolchain: String,
    /// For seeds and logs.
    work: PathBuf,
}

/// What a target came to.
struct Run {
    target: String,
    output: Output,
    /// How long it ran.
    seconds: f64,
    log: PathBuf,
}

impl Fuzzer {
    /// Builds the targets and writes the seeds.
    fn build(&self) -> Result<()> {
        eprintln!("Building the targets (two minutes from nothing, else seconds)");
        let mut build = self.cargo_fuzz("build");
        let status = Group::spawn(build.stdin(Stdio::null()))?.wait()?;
        ensure!(status.success(), "the fuzz targets do not build: see above");
        let mut seeds = workspace::cargo();
        seeds.current_dir(folder()).args(["run", "--quiet", "--example", "seeds", "--"]).arg(self.seeds());
        let status = Group::spawn(seeds.stdin(Stdio::null()))?.wait()?;
        ensure!(status.success(), "the seeds cannot be written: see above");
        Ok(())
    }

    /// Runs a target until its time is over or it found something.
    fn run(&self, target: &str, seconds: u64) -> Result<Run> {
        let log = self.work.join(format!("{target}.log"));
        let mut written = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut output = Output::default();
        let begin = Instant::now();
        // libFuzzer would take 0 s for no end.
        let halves = [seconds / 2, seconds.div_ceil(2)].into_iter().zip(MOST_BYTES);
        for (seconds, most) in halves.filter(|(seconds, _)| *seconds > 0) {
            eprintln!("{target}: {seconds} s with inputs of at most {most} bytes");
            let status = self.pass(target, seconds, most, &mut output, &mut written)?;
            if !status.success() {
                ensure!(
                    output.finding.is_some(),
                    "{target} did not run to its end ({status}), and found nothing: see {}",
                    log.display()
                );
                break;
            }
            output.end_pass();
        }
        let target = target.to_owned();
        Ok(Run { target, seconds: begin.elapsed().as_secs_f64(), output, log })
    }

    /// Runs a target with inputs of at most so many bytes, and tells how it gets on.
    fn pass(
        &self,
        target: &str,
        seconds: u64,
        most: u32,
        output: &mut Output,
        log: &mut File,
    ) -> Result<ExitStatus> {
        let corpus = folder().join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
        let mut command = self.cargo_fuzz("run");
        // What is new goes into the first folder.
        command.arg(target).arg(&corpus).arg(self.seeds().join(target));
        command.arg(folder().join("regressions").join(target)).arg("--");
        command.args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={most}"),
            format!("-timeout={TIMEOUT}"),
            format!("-dict={}", folder().join("sse.dict").display()),
            "-print_final_stats=1".to_owned(),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Group::spawn(&mut command)?;
        let stderr = child.stderr().context("the target's output cannot be read")?;
        let (begin, mut told) = (Instant::now(), Instant::now());
        for line in BufReader::new(stderr).split(b'\n') {
            // A panic may show bytes that are no text.
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            writeln!(log, "{line}")?;
            output.line(&line);
            if told.elapsed() >= EVERY {
                told = Instant::now();
                eprintln!("{target}: {} of {seconds} s, {output}", begin.elapsed().as_secs());
            }
        }
        child.wait()
    }

    /// Says what was found, where it lies, and what can be done with it.
    fn tell(&self, run: &Run) {
        let Some(file) = &run.output.finding else { return };
        let name = &run.target;
        let bytes = fs::metadata(file).map_or(0, |meta| meta.len());
        let file = shown(file);
        println!("\n{name} found something, with an input of {bytes} bytes: {file}");
        run.output.panic.iter().for_each(|line| println!("    {line}"));
        let sub =
            |command| format!("cargo +{} fuzz {command} --sanitizer none {name} {file}", self.toolchain);
        println!("  replay it    cargo run --manifest-path fuzz/Cargo.toml --bin {name} -- {file}");
        println!("  or           {}", sub("run"));
        println!("  make it less {}", sub("tmin"));
        println!("  keep it      as fuzz/regressions/{name}/WHAT-IT-SHOWS; `cargo test` in fuzz/ replays it");
        println!("  all it said  {}", shown(&run.log));
    }

    /// A subcommand of cargo-fuzz, in the workspace's root.
    ///
    /// Without a sanitizer: no code of ours is unsafe, and the address sanitizer takes half of the speed.
    fn cargo_fuzz(&self, subcommand: &str) -> Command {
        let mut command = tools::cargo_fuzz(&self.toolchain);
        command.args([subcommand, "--fuzz-dir", "fuzz", "--sanitizer", "none"]);
        command
    }

    fn seeds(&self) -> PathBuf {
        self.work.join("seeds")
    }
}

/// A path as it is typed in the workspace's root.
fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

fn table(runs: &[Run]) -> String {
    let mut text =
        format!("{:<10} {:>12} {:>10} {:>10}  finding", "target", "executions", "exec/s", "coverage");
    for Run { target, output, seconds, .. } in runs {
        let executions = output.executions();
        let rate = (executions as f64 / seconds.max(1.0)).round();
        let coverage = output.coverage.map_or("-".to_owned(), |edges| edges.to_string());
        let finding = output.finding.as_deref().map_or("none".to_owned(), shown);
        text.push_str(&format!("\n{target:<10} {executions:>12} {rate:>10} {coverage:>10}  {finding}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_target_lists_the_known_ones() {
        let targets = targets().unwrap();
        assert_eq!(targets, ["cursor", "decode", "encode", "forwarded", "head", "split"]);
        assert_eq!(chosen(&targets, &[]).unwrap().len(), 6);
        assert_eq!(chosen(&targets, &["split".to_owned()]).unwrap(), ["split"]);
        let error = chosen(&targets, &["none".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no target none; there are: cursor, decode, encode, forwarded, head, split"
        );
    }

    #[test]
    fn the_table_says_what_was_found() {
        let run = |target: &str, finding: Option<&str>| {
            let mut output = Output::default();
            output.line("#1000 DONE cov: 7 ft: 9 exec/s: 50");
            output.finding = finding.map(|name| folder().join(name));
            Run { target: target.to_owned(), output, seconds: 20.0, log: PathBuf::new() }
        };
        let text = table(&[run("decode", None), run("split", Some("artifacts/split/crash-1"))]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["decode", "1000", "50", "7", "none"]);
        assert_eq!(lines[2], ["split", "1000", "50", "7", "fuzz/artifacts/split/crash-1"]);
    }
}
