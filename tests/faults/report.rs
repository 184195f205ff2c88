//! What a scenario has come to: a line of JSON, which `cargo xtask faults` makes a row of a table of.

use std::{
    fs::File,
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{books::Verdict, leaks::Held};

/// How often a fault is repeated: `TIDEWATER_FAULT_ROUNDS`, by default once, which is the short form.
///
/// # Errors
/// If it is not a number from 1 on.
pub(crate) fn rounds() -> Result<usize> {
    let Some(text) = std::env::var("TIDEWATER_FAULT_ROUNDS").ok().filter(|text| !text.is_empty()) else {
        return Ok(1);
    };
    let rounds = text.parse().with_context(|| format!("TIDEWATER_FAULT_ROUNDS={text:?}"))?;
    ensure!(rounds > 0, "TIDEWATER_FAULT_ROUNDS=0");
    Ok(rounds)
}

/// Whether figures are wanted, however many rounds: `cargo xtask faults` says that, and `cargo xtask test` doesn't.
pub(crate) fn measures() -> bool {
    std::env::var_os("TIDEWATER_FAULT_REPORT").is_some_and(|path| !path.is_empty())
}

/// All rounds of one scenario.
#[derive(Debug)]
pub(crate) struct Report {
    name: String,
    began: Instant,
    clients: usize,
    rounds: usize,
    pub(crate) messages: u64,
    connections: u64,
    verdict: Verdict,
    recoveries: Vec<Duration>,
    held: Vec<Held>,
}

impl Report {
    /// Of nothing yet.
    pub(crate) fn new(name: &str, clients: usize) -> Self {
        Self {
            name: name.to_owned(),
            began: Instant::now(),
            clients,
            rounds: 0,
            messages: 0,
            connections: 0,
            verdict: Verdict::default(),
            recoveries: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Adds a round.
    pub(crate) fn round(
        &mut self,
        verdict: &Verdict,
        connections: u64,
        recoveries: Vec<Duration>,
        held: Held,
    ) {
        self.rounds += 1;
        self.verdict.add(verdict);
        self.connections += connections;
        self.recoveries.extend(recoveries);
        self.held.push(held);
        println!(
            "{}: round {}: {} deliveries, {} connections, {} gaps, {} KiB, {} descriptors, {:.0?}",
            self.name,
            self.rounds,
            verdict.deliveries,
            connections,
            verdict.gaps,
            held.memory,
            held.descriptors,
            self.began.elapsed()
        );
    }

    /// Writes the line: to standard output, and to the end of the file that `TIDEWATER_FAULT_REPORT` names.
    ///
    /// # Errors
    /// If the file can't be written, or what the gateway held has grown from round to round.
    pub(crate) fn finish(mut self) -> Result<()> {
        let (first, last) = (self.held.first(), self.held.last());
        let both = |part: fn(&Held) -> u64| [first.map(part), last.map(part)];
        let line = json!({
            "of": "clients",
            "name": self.name,
            "rounds": self.rounds,
            "clients": self.clients,
            "messages": self.messages,
            "deliveries": self.verdict.deliveries,
            "connections": self.connections,
            "gaps": self.verdict.gaps,
            "lost": self.verdict.lost,
            "twice": self.verdict.twice,
            "disordered": self.verdict.disordered,
            "wrong": self.verdict.wrong,
            "overlaps": self.verdict.overlaps,
            "false_gaps": self.verdict.false_gaps,
            "recovery_ms": middle_and_last(&mut self.recoveries),
            "descriptors": both(|held| held.descriptors as u64),
            "threads": both(|held| held.threads as u64),
            "memory_kib": both(|held| held.memory),
            "log_kib": both(|held| held.log),
            "seconds": self.began.elapsed().as_secs(),
        });
        tell(&line)?;
        grown(&self.held).context(self.name)
    }
}

/// Writes a scenario's line.
///
/// # Errors
/// If the file can't be written.
pub(crate) fn tell(line: &Value) -> Result<()> {
    println!("{line}");
    if let Some(path) = std::env::var_os("TIDEWATER_FAULT_REPORT").filter(|path| !path.is_empty()) {
        let mut file = File::options().create(true).append(true).open(path)?;
        writeln!(file, "{line}")?;
    }
    Ok(())
}

/// The middle one and the last one, in milliseconds.
pub(crate) fn middle_and_last(times: &mut [Duration]) -> [Option<u64>; 2] {
    times.sort_unstable();
    [times.get(times.len() / 2), times.last()].map(|time| time.map(|time| time.as_millis() as u64))
}

/// Memory that a gateway takes once and keeps is no leak: its log, as far as it goes back (in the process about half as
/// much again as the channel counts: seen), and what its allocator has had and doesn't give back, which differs by some
/// percent from round to round. So the first rounds don't count, the log is left out, and the later half of the others may
/// have a tenth more than the earlier one, and 1 MiB for each round that lies between. Descriptors and threads may come
/// and go, but not grow.
fn grown(held: &[Held]) -> Result<()> {
    const WARM_UP: usize = 2;
    const ENOUGH: usize = 4;
    let held = held.get(WARM_UP..).unwrap_or_default();
    if held.len() < ENOUGH {
        return Ok(());
    }
    let half = held.len() / 2;
    let (before, after) = (&held[..half], &held[held.len() - half..]);
    let own = |held: &Held| held.memory.saturating_sub(held.log * 3 / 2);
    let mean = |held: &[Held]| held.iter().map(own).sum::<u64>() / held.len() as u64;
    let allowed = mean(before) / 10 + 1024 * (held.len() - half) as u64;
    ensure!(mean(after) <= mean(before) + allowed, "memory grows from round to round: {held:#?}");
    for part in [|held: &Held| held.descriptors as u64, |held: &Held| held.threads as u64] {
        let (most, least) = (before.iter().map(part).max(), after.iter().map(part).min());
        ensure!(least <= most, "descriptors or threads grow from round to round: {held:#?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_seen_and_what_is_kept_is_not() {
        let rounds = |one: fn(u64) -> Held| grown(&(0..10).map(one).collect::<Vec<_>>());
        let idle = Held { descriptors: 20, threads: 8, memory: 50_000, ..Held::default() };
        let idle = move |_| idle;
        grown(&(0..10).map(idle).collect::<Vec<_>>()).unwrap();
        rounds(|round| Held { memory: 50_000 + round * 4_000, ..Held::default() }).unwrap_err();
        rounds(|round| Held { memory: 50_000 + round * 4_000, log: round * 4_000, ..Held::default() })
            .unwrap();
        rounds(|round| Held { descriptors: 20 + round as usize, ..Held::default() }).unwrap_err();
        rounds(|round| Held { threads: 8 + round as usize, ..Held::default() }).unwrap_err();
        rounds(|round| Held { descriptors: 20 + round as usize % 3, ..Held::default() }).unwrap();
    }
}
