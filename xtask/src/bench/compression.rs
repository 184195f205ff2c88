//! `cargo xtask bench compression`: what compressed streams cost, and bring.
//!
//! The program is `encodings` of `tests/fanout-bench`, run anew for each row: its server is measured, and its clients, a
//! process of their own, decode all that they get and check it. All rows are run one after the other, and that several
//! times over; ratios are taken within a round, and then the median over the rounds.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use serde::Deserialize;

use super::{
    codec,
    fanout::{self, Median},
    heading,
};
use crate::{group, process};

/// Arguments of `cargo xtask bench compression`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One round of fewer events, for a rough look.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
}

impl Args {
    /// Whether nothing is left out that a page should say.
    pub(super) fn is_whole(&self) -> bool {
        !self.quick && self.rounds >= 3
    }
}

const CLIENTS: u64 = 200;
const PARTITIONS: [u32; 3] = [1, 16, 64];
/// Events at once, how often, and the milliseconds in between.
const BURSTS: [(u64, u64, u64); 2] = [(1, 180, 6), (16, 50, 20)];

/// How streams are served: the program's word, ours, and the row that it is compared with.
const SERVED: [(&str, &str, &str); 7] = [
    ("plain", "hyper, none", "plain"),
    ("gzip", "hyper, gzip, once for all", "plain"),
    ("zstd", "hyper, zstd, once for all", "plain"),
    ("gzip-each", "hyper, gzip, for each client", "plain"),
    ("direct-plain", "direct, none", "direct-plain"),
    ("direct-gzip", "direct, gzip, once for all", "direct-plain"),
    ("direct-zstd", "direct, zstd, once for all", "direct-plain"),
];

/// Which row: of how many partitions, how many events at once, served how.
type Key = (u32, u64, &'static str);

/// What the program prints.
#[derive(Debug, Deserialize)]
struct Took {
    deliveries: u64,
    bytes: u64,
    busy: u64,
    resident: u64,
}

/// Measures, and answers the report.
pub(super) fn run(args: &Args) -> Result<String> {
    ensure!(cfg!(target_os = "linux"), "what the server uses is read from /proc, which only Linux has");
    let rounds = if args.quick { 1 } else { args.rounds };
    ensure!(rounds > 0, "at least one round");
    let program = fanout::build_programs()?.join("encodings");
    let mut measured = Vec::new();
    for round in 1..=rounds {
        eprintln!("Round {round} of {rounds}");
        let mut took = BTreeMap::new();
        for partitions in PARTITIONS {
            for (burst, bursts, pause) in BURSTS {
                let bursts = if args.quick { bursts / 8 } else { bursts };
                for (served, ..) in SERVED {
                    group::check_interrupted()?;
                    let row = [u64::from(partitions), burst, bursts, pause];
                    took.insert((partitions, burst, served), measure(&program, served, row)?);
                }
            }
        }
        measured.push(took);
    }
    let versions = codec::versions_in(&fanout::package(), &["flate2", "zlib-rs", "zstd-sys", "hyper"])?;
    let mut report = heading("compression", true, &versions);
    report += &format!(
        "\n{CLIENTS} clients, all reading; the median of {rounds} rounds. Bytes are what goes over the sockets, with HTTP's \
         framing and ids; processor time is the server's, with the kernel's, from the message to the sockets; both for a \
         million deliveries. Ratios are to the same server without compression.\n"
    );
    for partitions in PARTITIONS {
        for (burst, ..) in BURSTS {
            report += &table(&measured, partitions, burst);
        }
    }
    Ok(report)
}

fn measure(program: &Path, served: &str, [partitions, burst, bursts, pause]: [u64; 4]) -> Result<Took> {
    let mut command = std::process::Command::new(program);
    command.args(["run", "--served", served]);
    let numbers = [
        ("--partitions", partitions),
        ("--burst", burst),
        ("--bursts", bursts),
        ("--pause", pause),
        ("--clients", CLIENTS),
    ];
    for (name, number) in numbers {
        command.args([name, &number.to_string()]);
    }
    let shown = process::shown(&command);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "`{shown}` failed");
    serde_json::from_slice(&output.stdout).with_context(|| format!("what `{shown}` printed"))
}

fn table(rounds: &[BTreeMap<Key, Took>], partitions: u32, burst: u64) -> String {
    let events = if burst == 1 { "one event at a time".into() } else { format!("{burst} events at a time") };
    let of = if partitions == 1 { "1 partition".into() } else { format!("{partitions} partitions") };
    let mut table = format!(
        "\n{of}, {events}:\n\n| | MB | ratio | processor | ratio | memory |\n|---|--:|--:|--:|--:|--:|\n"
    );
    for (served, name, base) in SERVED {
        let median = |figure: &dyn Fn(&Took) -> f64| -> f64 {
            let all = rounds.iter().filter_map(|round| round.get(&(partitions, burst, served)).map(figure));
            all.collect::<Median>().0.unwrap_or(f64::NAN)
        };
        let ratio = |figure: &dyn Fn(&Took) -> f64| -> f64 {
            let of =
                |round: &BTreeMap<Key, Took>, served| round.get(&(partitions, burst, served)).map(figure);
            let all = rounds.iter().filter_map(|round| Some(of(round, served)? / of(round, base)?));
            all.collect::<Median>().0.unwrap_or(f64::NAN)
        };
        // Bytes for one delivery are megabytes for a million, and microseconds seconds.
        let bytes = |took: &Took| took.bytes as f64 / took.deliveries as f64;
        let busy = |took: &Took| took.busy as f64 / took.deliveries as f64;
        table += &format!(
            "| {name} | {:.0} | {:.2} | {:.2} s | {:.2} | {:.0} MiB |\n",
            median(&bytes),
            ratio(&bytes),
            median(&busy),
            ratio(&busy),
            median(&|took| took.resident as f64 / 1024.0),
        );
    }
    table
}
