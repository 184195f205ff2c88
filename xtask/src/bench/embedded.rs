//! `cargo xtask bench embedded`: what a log in a folder costs, beside the store below it and beside a log in memory.
//!
//! The program is `tests/embedded-bench`, run anew for each row. All rows are run one after the other, and that several
//! times over; ratios are taken within a round, and then the median over the rounds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use serde::{Deserialize, de::DeserializeOwned};

use super::{codec, fanout::Median, heading};
use crate::{
    group::{self, Group},
    process, workspace,
};

/// Arguments of `cargo xtask bench embedded`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How often everything is measured.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// One round, shorter, for a rough look.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// The disk that is written to. Default: that of the build.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Args {
    /// Whether nothing is left out that a page should say.
    pub(super) fn is_whole(&self) -> bool {
        !self.quick && self.rounds >= 3
    }
}

/// The program's words for when the log is synced.
const SYNCS: [&str; 3] = ["always", "100ms", "os"];
const SENDERS: [usize; 3] = [1, 16, 256];
/// How long each row writes, in milliseconds.
const MILLIS: usize = 1_000;

/// What is taken of a measurement, and whether it has an aim.
type Figure = (fn(&Fanout) -> u64, bool);

const CLIENTS: usize = 1_000;
/// Messages at once, and messages in all.
const BURSTS: [(usize, usize); 2] = [(1, 500), (16, 8_000)];
/// Milliseconds from one to the next: more than it takes.
const EVERY: usize = 8;
/// Logs below the channel: the program's words, and ours. The first is what the others are compared with.
const LOGS: [(&[&str], &str); 3] = [
    (&["memory"], "`memory:`"),
    (&["embedded", "--sync", "os"], "`embedded:`, `sync=os`"),
    (&["embedded", "--sync", "always"], "`embedded:`, `sync=always`"),
];
/// What is told of a fan-out, and what has an aim.
const FIGURES: [Figure; 4] = [
    (|took| took.busy, false),
    (|took| took.micros, false),
    (|took| took.busy.saturating_sub(took.writing), true),
    (|took| took.micros.saturating_sub(took.publishing), true),
];
/// What a fan-out may cost beside that from memory: no more, but for what one round differs from another by.
const AIM: f64 = 1.05;

/// What was written.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Appends {
    messages: u64,
    micros: u64,
}

/// What the clients were given.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Fanout {
    deliveries: u64,
    micros: u64,
    publishing: u64,
    busy: u64,
    writing: u64,
}

/// One round.
#[derive(Debug, Default)]
struct Round {
    /// By sync and senders: by the sink, and by the store alone.
    appends: BTreeMap<(&'static str, usize), [Appends; 2]>,
    /// By burst, in the order of [`LOGS`].
    fanout: BTreeMap<usize, Vec<Fanout>>,
}

/// Measures, and answers the report.
pub(super) fn run(args: &Args) -> Result<String> {
    let (rounds, shorter) = if args.quick { (1, 10) } else { (args.rounds, 1) };
    ensure!(rounds > 0, "at least one round");
    ensure!(cfg!(target_os = "linux"), "processor time is read from /proc, which only Linux has");
    let program = build()?;
    let dir = args.dir.clone().unwrap_or_else(target);
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let mut measured = Vec::new();
    for number in 1..=rounds {
        eprintln!("Round {number} of {rounds}");
        measured.push(round(&program, &dir, shorter)?);
    }
    let versions = codec::versions_in(&package(), &["fjall", "tokio"])?;
    let mut report = heading("embedded", true, &versions);
    report += &format!("\nMedians of {rounds} rounds; ratios are taken within a round.\n\n");
    report += &appends(&measured);
    report += &fanouts(&measured);
    Ok(report)
}

fn round(program: &Path, dir: &Path, shorter: usize) -> Result<Round> {
    let mut round = Round::default();
    let row = |what: &str, args: &[&str], numbers: &[(&str, usize)]| {
        group::check_interrupted()?;
        let mut command = Command::new(program);
        command.arg("--dir").arg(dir).arg(what).args(args);
        for (name, number) in numbers {
            command.args([*name, &number.to_string()]);
        }
        Ok::<_, anyhow::Error>(command)
    };
    for sync in SYNCS {
        for senders in SENDERS {
            let by = |by: &str| {
                let numbers = [("--senders", senders), ("--millis", MILLIS / shorter)];
                measure(row("appends", &["--by", by, "--sync", sync], &numbers)?)
            };
            round.appends.insert((sync, senders), [by("sink")?, by("store")?]);
        }
    }
    for (burst, events) in BURSTS {
        let took = LOGS.map(|(log, _)| {
            let args = [&["--source"], log].concat();
            let events = (events / shorter).next_multiple_of(burst);
            let numbers =
                [("--clients", CLIENTS), ("--burst", burst), ("--every", EVERY), ("--events", events)];
            measure(row("fanout", &args, &numbers)?)
        });
        round.fanout.insert(burst, took.into_iter().collect::<Result<_>>()?);
    }
    Ok(round)
}

fn measure<T: DeserializeOwned>(mut command: Command) -> Result<T> {
    let shown = process::shown(&command);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "`{shown}` failed");
    serde_json::from_slice(&output.stdout).with_context(|| format!("what `{shown}` printed"))
}

fn appends(rounds: &[Round]) -> String {
    let mut table = String::from(
        "Messages of 200 bytes in a second, by senders that each wait for the answer before they send the next; and the store alone, \
         with the same bytes in batches of as many, synced as often.\n\n\
         | `sync` | senders | messages a second | the store alone | ratio |\n|---|--:|--:|--:|--:|\n",
    );
    let rate = |took: &Appends| took.messages as f64 / (took.micros as f64 / 1e6);
    for sync in SYNCS {
        for senders in SENDERS {
            let median = |figure: &dyn Fn(&[Appends; 2]) -> f64| -> f64 {
                let all = rounds.iter().filter_map(|round| round.appends.get(&(sync, senders)).map(figure));
                all.collect::<Median>().0.unwrap_or(f64::NAN)
            };
            table += &format!(
                "| {sync} | {senders} | {:.0} | {:.0} | {:.2} |\n",
                median(&|[sink, _]| rate(sink)),
                median(&|[_, store]| rate(store)),
                median(&|[sink, store]| rate(sink) / rate(store)),
            );
        }
    }
    table
}

fn fanouts(rounds: &[Round]) -> String {
    let mut report = format!(
        "\nFrom a channel to {CLIENTS} clients in the same process, 200 bytes each, every {EVERY} ms. All is for one \
         delivery; time is that from the publishing to the last client. The fan-out is what is left without writing: processor time without that of the log's own threads, and time \
         from the sink's answer on. The aim is a fan-out that takes no more than that from memory, but for the twentieth that rounds differ by.\n",
    );
    for (burst, _) in BURSTS {
        let events =
            if burst == 1 { "One event at a time".into() } else { format!("{burst} events at a time") };
        report += &format!(
            "\n{events}:\n\n| | processor | ratio | time | ratio | fan-out: processor | ratio | aim | | time | ratio | aim | |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|---|\n"
        );
        for (index, (_, name)) in LOGS.iter().enumerate() {
            report += &format!("| {name} |");
            for (figure, is_aim) in FIGURES {
                // Microseconds for one delivery are nanoseconds for a thousand.
                let figure = |took: &Fanout| figure(took) as f64 * 1e3 / took.deliveries as f64;
                let all = || rounds.iter().filter_map(|round| round.fanout.get(&burst));
                let median = all().map(|took| figure(&took[index])).collect::<Median>();
                let ratio = all().map(|took| figure(&took[index]) / figure(&took[0])).collect::<Median>();
                let (median, ratio) = (median.0.unwrap_or(f64::NAN), ratio.0.unwrap_or(f64::NAN));
                report += &format!(" {median:.0} ns | {ratio:.2} |");
                match index {
                    _ if !is_aim => {}
                    0 => report += " | |",
                    _ => {
                        report +=
                            &format!(" ≤ {AIM:.2} | {} |", if is_met(ratio) { "met" } else { "**not met**" })
                    }
                }
            }
            report += "\n";
        }
    }
    report
}

/// As it is shown, in hundredths.
fn is_met(ratio: f64) -> bool {
    (ratio * 100.0).round() <= AIM * 100.0
}

/// Builds the program, and answers where it is.
fn build() -> Result<PathBuf> {
    eprintln!("Building");
    let mut command = workspace::cargo();
    command.current_dir(package()).env("CARGO_TARGET_DIR", target());
    command.args(["build", "--quiet", "--locked", "--release"]);
    let shown = process::shown(&command);
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "`{shown}` failed");
    Ok(target().join("release").join("tidewater-embedded-bench"))
}

fn package() -> PathBuf {
    workspace::root().join("tests").join("embedded-bench")
}

/// A target folder of its own: the packages in it are others than the workspace's.
fn target() -> PathBuf {
    workspace::target().join("embedded-bench")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fanout(busy: u64, writing: u64) -> Fanout {
        Fanout { deliveries: 1_000, micros: 500, publishing: 100, busy, writing }
    }

    #[test]
    fn figures_are_rows_and_an_aim_is_met_or_not() {
        let mut round = Round::default();
        let of = |messages| Appends { messages, micros: 2_000_000 };
        round.appends.insert(("always", 1), [of(1_000), of(4_000)]);
        round.fanout.insert(1, vec![fanout(200, 0), fanout(250, 50), fanout(300, 50)]);
        let rounds = [round];
        assert!(appends(&rounds).contains("| always | 1 | 500 | 2000 | 0.25 |\n"), "{}", appends(&rounds));
        let told = fanouts(&rounds);
        let time = "400 ns | 1.00 | ≤ 1.05 | met |";
        for row in [
            "| `memory:` | 200 ns | 1.00 | 500 ns | 1.00 | 200 ns | 1.00 | | | 400 ns | 1.00 | | |"
                .to_owned(),
            format!("os` | 250 ns | 1.25 | 500 ns | 1.00 | 200 ns | 1.00 | ≤ 1.05 | met | {time}"),
            format!(
                "always` | 300 ns | 1.50 | 500 ns | 1.00 | 250 ns | 1.25 | ≤ 1.05 | **not met** | {time}"
            ),
        ] {
            assert!(told.contains(&format!("{row}\n")), "{row}{told}");
        }
        let columns = |line: &str| line.matches('|').count();
        let rows = || told.lines().filter(|line| line.starts_with('|'));
        assert!(rows().all(|line| columns(line) == columns(rows().next().unwrap_or_default())), "{told}");
    }
}
