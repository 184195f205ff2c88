//! A table for each workload.

use super::{
    measured::{Figure, Measured},
    results::{Key, Results},
    workload::Workload,
};

/// A column: its heading, and what stands in it.
type Column = (&'static str, fn(&Results, Key) -> String);

const CPU: Column = ("CPU s per million deliveries", |results, key| number(results, key, Figure::Cpu, 2));
const RATE: Column = ("deliveries/s", |results, key| number(results, key, Figure::Rate, 0));
const P50: Column = ("p50 ms", |results, key| number(results, key, Figure::P50, 1));
const P99: Column = ("p99 ms", |results, key| number(results, key, Figure::P99, 1));
const P999: Column = ("p99.9 ms", |results, key| number(results, key, Figure::P999, 1));
const BYTES: Column = ("bytes per delivery", |results, key| number(results, key, Figure::Bytes, 0));
const PER_CPU: Column =
    ("deliveries per CPU s", |results, key| number(results, key, Figure::PerCpuSecond, 0));
const PER_EVENT: Column =
    ("CPU µs per message", |results, key| number(results, key, Figure::CpuPerEvent, 1));
const MEMORY: Column = ("PSS bytes per connection", |results, key| number(results, key, Figure::Memory, 0));
const ACCEPTED: Column = ("connections accepted/s", |results, key| number(results, key, Figure::Accepted, 0));
const GROWTH: Column =
    ("memory, from 6/10 of the events on", |results, key| number(results, key, Figure::Growth, 2));
const LOST: Column = ("lost", |results, key| most(results, key, |measured| measured.lost));
const LATE: Column = ("of those who stopped: delivered, told", |results, key| {
    let stalled = results.each(key).filter_map(|measured| measured.stalled).last();
    stalled.map_or("–".into(), |stalled| {
        format!("{}, {}", grouped(stalled.deliveries as f64, 0), grouped(stalled.told as f64, 0))
    })
});

impl Workload {
    fn columns(self) -> &'static [Column] {
        match self {
            Self::W1 | Self::W1w8 => &[CPU, RATE, P50, P99, P999, BYTES],
            Self::W1p => &[CPU, BYTES],
            Self::W2 => &[MEMORY, ACCEPTED],
            Self::W3 | Self::W8 => &[P50, P99, P999, CPU],
            Self::W5 => &[P50, P99, P999, GROWTH, LATE],
            Self::W6 => &[PER_CPU, RATE, LOST],
            Self::W7 => &[PER_EVENT, P50, P99],
        }
    }
}

/// All of them.
pub(super) fn all(results: &Results, quick: bool) -> String {
    let mut text = String::new();
    for workload in Workload::ALL.iter().filter(|workload| results.has(**workload)) {
        text += &format!("### {}\n\n{}\n", workload.title(), one(results, *workload, quick));
    }
    text
}

fn one(results: &Results, workload: Workload, quick: bool) -> String {
    let columns = workload.columns();
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let mut table = format!("| | {} | |\n|---|{}---|\n", heads.join(" | "), "--:|".repeat(columns.len()));
    for run in workload.runs(quick) {
        let key = (workload, run.contender, run.part);
        if results.each(key).next().is_none() {
            continue;
        }
        let name = run.title();
        table += &format!("| {name} |");
        for (_, cell) in columns {
            table += &format!(" {} |", cell(results, key));
        }
        let faults: Vec<String> = results.each(key).filter_map(Measured::faults).collect();
        table += &format!(" {} |\n", faults.first().map_or(String::new(), |fault| format!("!: {fault}")));
    }
    table
}

fn number(results: &Results, key: Key, figure: Figure, decimals: usize) -> String {
    results.figure(key, figure).map_or("–".into(), |number| grouped(number, decimals))
}

fn most(results: &Results, key: Key, of: fn(&Measured) -> u64) -> String {
    results.each(key).map(of).max().map_or("–".into(), |number| grouped(number as f64, 0))
}

/// `12,345.6`.
fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::{super::contender::Contender, *};

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(12_345.64, 1), "12,345.6");
        assert_eq!(grouped(999.0, 0), "999");
    }

    #[test]
    fn what_is_wrong_with_a_run_stands_beside_it() {
        let measured =
            Measured { lost: 7, deliveries: 10, cpu_seconds: 2e-5, seconds: 1.0, ..Measured::default() };
        let round = [((Workload::W6, Contender::HandWarp, ""), measured)];
        let table = all(&Results { rounds: vec![round.into()], failures: Vec::new() }, false);
        assert!(table.contains("| warp by hand | 500,000 | 10 | 7 | !: 7 lost |\n"), "{table}");
        assert!(!table.contains("W1"), "{table}");
    }
}
