//! The scenarios' lines of JSON as tables.

use anyhow::{Context, Result};
use serde::Deserialize;

/// What the scenarios have come to, in a table for each kind of them. Empty where none was played.
#[derive(Default)]
pub(super) struct Tables {
    /// Clients of a gateway.
    pub(super) clients: String,
    /// Pipes.
    pub(super) pipes: String,
}

/// One scenario.
#[derive(Deserialize)]
#[serde(tag = "of", rename_all = "lowercase")]
enum Line {
    Clients(Clients),
    Pipes(Pipes),
}

#[derive(Deserialize)]
struct Clients {
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

#[derive(Deserialize)]
struct Pipes {
    name: String,
    rounds: u64,
    kills: u64,
    messages: u64,
    lost: u64,
    twice: u64,
    disordered: u64,
    wrong: u64,
    /// After the middle kill and after the last one.
    went_on_ms: [Option<u64>; 2],
}

const CLIENTS: &str = "\
| fault | rounds | clients | connections | messages | deliveries | gaps told | lost | twice | out of order | wrong or falsely told \
| recovered after, median and last | descriptors | threads | memory, MiB | of it log |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";
const PIPES: &str = "\
| fault | rounds | kills | messages | lost | twice | out of order | changed or made up | went on after, median and last |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
";

impl Tables {
    /// The tables of these lines.
    pub(super) fn of(lines: &str) -> Result<Self> {
        let mut tables = Self::default();
        for line in lines.lines() {
            let (table, head, row) = match serde_json::from_str(line).with_context(|| line.to_owned())? {
                Line::Clients(line) => (&mut tables.clients, CLIENTS, line.row()),
                Line::Pipes(line) => (&mut tables.pipes, PIPES, line.row()),
            };
            if table.is_empty() {
                table.push_str(head);
            }
            table.push_str(&row);
        }
        Ok(tables)
    }
}

impl Clients {
    fn row(&self) -> String {
        let wrong = self.wrong + self.overlaps + self.false_gaps;
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {wrong} | {} | {} | {} | {} | {} |\n",
            self.name,
            self.rounds,
            self.clients,
            self.connections,
            self.messages,
            self.deliveries,
            self.gaps,
            self.lost,
            self.twice,
            self.disordered,
            both(self.recovery_ms, ", ", seconds),
            both(self.descriptors, " → ", |count| count.to_string()),
            both(self.threads, " → ", |count| count.to_string()),
            both(self.memory_kib, " → ", mebibytes),
            both(self.log_kib, " → ", mebibytes),
        )
    }
}

impl Pipes {
    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.name,
            self.rounds,
            self.kills,
            self.messages,
            self.lost,
            self.twice,
            self.disordered,
            self.wrong,
            both(self.went_on_ms, ", ", seconds),
        )
    }
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
        let clients = r#"{"of":"clients","name":"cut","rounds":2,"clients":3,"messages":4,"deliveries":5,"connections":6,"gaps":7,
            "lost":8,"twice":9,"disordered":10,"wrong":20,"overlaps":2,"false_gaps":1,"recovery_ms":[null,1250],
            "descriptors":[14,15],"threads":[3,3],"memory_kib":[2048,4096],"log_kib":[0,1024],"seconds":1}"#;
        let pipes = r#"{"of":"pipes","name":"a into b","rounds":2,"kills":3,"messages":4,"lost":5,"twice":6,"disordered":7,
            "wrong":8,"went_on_ms":[100,1250],"seconds":1}"#;
        let [clients, pipes] = [clients, pipes].map(|line| line.replace('\n', ""));
        let tables = Tables::of(&format!("{clients}\n{pipes}\n")).unwrap();
        for (table, wanted) in [
            (
                tables.clients,
                "| cut | 2 | 3 | 6 | 4 | 5 | 7 | 8 | 9 | 10 | 23 | –, 1.2 s | 14 → 15 | 3 → 3 | 2 → 4 | 0 → 1 |",
            ),
            (tables.pipes, "| a into b | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 0.1 s, 1.2 s |"),
        ] {
            assert_eq!(table.lines().nth(2).unwrap(), wanted);
            let columns = |line: &str| line.matches('|').count();
            assert!(table.lines().all(|line| columns(line) == columns(wanted)), "{table}");
        }
        assert!(Tables::of(&clients).unwrap().pipes.is_empty());
        assert!(Tables::of("no JSON").is_err());
    }
}
