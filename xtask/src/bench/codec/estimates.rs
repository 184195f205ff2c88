//! Criterion's estimates, read from the files it keeps.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};

/// The kinds of candidates, in the order of tables; an id begins with one.
const KINDS: [&str; 5] = ["ours", "plain", "peer", "framework", "floor"];
/// The inputs, in the order of tables.
const INPUTS: [&str; 3] = ["json", "tokens", "multi-line"];

/// What criterion calls the estimates of a round.
pub(super) fn round(round: usize) -> String {
    format!("round-{round}")
}

/// MB/s in each round, by cell (`decode json 1 B`, `encode json`) and candidate (`peer: sse-core`).
#[derive(Debug, Default)]
pub(super) struct Estimates(pub(super) BTreeMap<String, BTreeMap<String, Vec<f64>>>);

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: String,
    throughput: Throughput,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Bytes")]
    bytes: f64,
}

#[derive(Deserialize)]
struct Measured {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// Nanoseconds.
    point_estimate: f64,
}

impl Estimates {
    /// All that criterion has kept of these rounds.
    pub(super) fn read(criterion: &Path, rounds: usize) -> Result<Self> {
        let mut all = Self::default();
        for group in folders(criterion)? {
            for candidate in folders(&group)? {
                for round in (0..rounds).map(round) {
                    let folder = candidate.join(&round);
                    // Criterion's own reports are folders too.
                    if !folder.is_dir() {
                        continue;
                    }
                    let benchmark: Benchmark = json(&folder.join("benchmark.json"))?;
                    let measured: Measured = json(&folder.join("estimates.json"))?;
                    let speed = benchmark.throughput.bytes * 1e3 / measured.median.point_estimate;
                    let cell = all.0.entry(benchmark.group_id).or_default();
                    cell.entry(benchmark.function_id).or_default().push(speed);
                }
            }
        }
        ensure!(!all.0.is_empty(), "criterion has left no estimates in {}", criterion.display());
        for (cell, candidates) in &all.0 {
            for (id, speeds) in candidates {
                ensure!(speeds.len() == rounds, "{cell}, {id}: {} of {rounds} rounds", speeds.len());
            }
        }
        Ok(all)
    }

    /// The cells of `decode` or `encode`, in the order of tables.
    pub(super) fn cells(&self, half: &str) -> Vec<&str> {
        let mut cells: Vec<&str> =
            self.0.keys().map(String::as_str).filter(|cell| cell.starts_with(half)).collect();
        cells.sort_by_key(|cell| {
            let input = cell.split(' ').nth(1).unwrap_or_default();
            let input = INPUTS.iter().position(|known| *known == input);
            // The larger chunks first: `64 KiB`, `1460 B`, `1 B`.
            (input, std::cmp::Reverse(bytes(cell)))
        });
        cells
    }

    /// The candidates of a cell whose ids begin with one of these kinds.
    pub(super) fn of_kinds<'a>(
        &'a self,
        cell: &str,
        kinds: &'a [&str],
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        let ids = self.0.get(cell).into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        ids.filter(|id| kinds.iter().any(|kind| id.starts_with(kind)))
    }

    /// How many times as fast one is as the other: the median over the rounds.
    pub(super) fn ratio(&self, cell: &str, one: &str, other: &str) -> Option<f64> {
        let cell = self.0.get(cell)?;
        let (one, other) = (cell.get(one)?, cell.get(other)?);
        Some(median(one.iter().zip(other).map(|(one, other)| one / other).collect()))
    }

    /// MB/s of all candidates of `decode` or `encode`, if it was measured.
    pub(super) fn table(&self, half: &str) -> Option<String> {
        let cells = self.cells(half);
        let mut ids: Vec<&str> = self.of_kinds(cells.first()?, &KINDS).collect();
        ids.sort_by_key(|id| KINDS.iter().position(|kind| id.starts_with(kind)));
        let mut table = format!("| {half} |");
        for cell in &cells {
            table += &format!(" {} |", name(cell));
        }
        table += &format!("\n|---|{}", "--:|".repeat(cells.len()));
        for id in ids {
            table += &format!("\n| {id} |");
            for cell in &cells {
                let speeds = self.0.get(*cell).and_then(|cell| cell.get(id)).cloned().unwrap_or_default();
                table += &format!(" {} |", grouped(median(speeds)));
            }
        }
        table.push('\n');
        Some(table)
    }
}

/// A cell without its half: `json, 1 B`.
pub(super) fn name(cell: &str) -> String {
    cell.split(' ').skip(1).collect::<Vec<_>>().join(" ").replacen(' ', ", ", 1)
}

/// The bytes of a cell's chunks.
fn bytes(cell: &str) -> usize {
    let mut words = cell.split(' ').skip(2);
    let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    if words.next() == Some("KiB") { number << 10 } else { number }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    match (of.len(), of.len() / 2) {
        (0, _) => f64::NAN,
        (len, half) if len % 2 == 0 => f64::midpoint(of[half - 1], of[half]),
        (_, half) => of[half],
    }
}

/// `12,345`.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn folders(of: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(of).with_context(|| of.display().to_string())?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

fn json<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds() {
        let speeds = [("ours: a", vec![10.0, 30.0, 20.0]), ("peer: b", vec![5.0, 10.0, 20.0])];
        let cell = speeds.map(|(id, speeds)| (id.to_owned(), speeds)).into();
        let estimates = Estimates([("decode json 1 B".to_owned(), cell)].into());
        assert_eq!(estimates.ratio("decode json 1 B", "ours: a", "peer: b"), Some(2.0));
        assert_eq!(estimates.ratio("decode json 1 B", "ours: a", "peer: c"), None);
        let table = estimates.table("decode").unwrap();
        assert_eq!(table, "| decode | json, 1 B |\n|---|--:|\n| ours: a | 20 |\n| peer: b | 10 |\n");
        assert_eq!(estimates.table("encode"), None);
    }

    #[test]
    fn cells_are_in_order() {
        let cells = ["decode tokens 1 B", "decode json 1 B", "decode json 1460 B", "decode json 64 KiB"];
        let estimates = Estimates(cells.map(|cell| (cell.to_owned(), BTreeMap::new())).into());
        let order = ["decode json 64 KiB", "decode json 1460 B", "decode json 1 B", "decode tokens 1 B"];
        assert_eq!(estimates.cells("decode"), order);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0.4, 999.0, 1000.0, 12_345.6, 1e6].map(grouped),
            ["0", "999", "1,000", "12,346", "1,000,000"]
        );
    }
}
