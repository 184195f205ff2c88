//! The scenarios' lines of JSON as a table.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What one scenario has come to.
#[derive(Deserialize)]
struct Line {
    name: String,
    rounds: u64,
    clients: u64,
    messages: u64,
    deliveries: u64,
    connections: u64,
    gaps: u64,
    lost: u64,
    twice: u64,
    disordered: u64,
    wrong: u64,
    overlaps: u64,
    false_gaps: u64,
    /// Of the middle one and of the last one.
    recovery_ms: [Option<u64>; 2],
    /// After the first round and after the last, as all below.
    descriptors: [Option<u64>; 2],
    threads: [Option<u64>; 2],
    memory_kib: [Option<u64>; 2],
    log_kib: [Option<u64>; 2],
}

/// The table of these lines.
pub(super) fn of(lines: &str) -> Result<String> {
    let mut table = String::from(
        "| fault | rounds | clients | connections | messages | deliveries | gaps told | lost | twice | out of order \
         | wrong or falsely told | recovered after, median and last | descriptors | threads | memory, MiB | of it log |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for line in lines.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let wrong = line.wrong + line.overlaps + line.false_gaps;
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {wrong} | {} | {} | {} | {} | {} |",
            line.name,
            line.rounds,
            line.clients,
            line.connections,
            line.messages,
            line.deliveries,
            line.gaps,
            line.lost,
            line.twice,
            line.disordered,
            both(line.recovery_ms, ", ", seconds),
            both(line.descriptors, " → ", |count| count.to_string()),
            both(line.threads, " → ", |count| count.to_string()),
            both(line.memory_kib, " → ", mebibytes),
            both(line.log_kib, " → ", mebibytes),
        )?;
    }
    Ok(table)
}

fn both(pair: [Option<u64>; 2], between: &str, shown: fn(u64) -> String) -> String {
    pair.map(|one| one.map_or("–".to_owned(), shown)).join(between)
}

fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1e3)
}

fn mebibytes(kib: u64) -> String {
    format!("{:.0}", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_row() {
        let line = r#"{"name":"cut","rounds":2,"clients":3,"messages":4,"deliveries":5,"connections":6,"gaps":7,
            "lost":8,"twice":9,"disordered":10,"wrong":20,"overlaps":2,"false_gaps":1,"recovery_ms":[null,1250],
            "descriptors":[14,15],"threads":[3,3],"memory_kib":[2048,4096],"log_kib":[0,1024],"seconds":1}"#;
        let table = of(&line.replace('\n', "")).unwrap();
        let row = table.lines().nth(2).unwrap();
        let wanted =
            "| cut | 2 | 3 | 6 | 4 | 5 | 7 | 8 | 9 | 10 | 23 | –, 1.2 s | 14 → 15 | 3 → 3 | 2 → 4 | 0 → 1 |";
        assert_eq!(row, wanted);
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| columns(line) == columns(row)), "{table}");
        assert!(of("no JSON").is_err());
    }
}
