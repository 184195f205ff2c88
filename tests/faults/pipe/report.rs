//! What the rounds of one fault have come to: a line of the pipes' table.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::ledger::Verdict;
use crate::report::{middle_and_last, tell};

/// All rounds of one fault.
#[derive(Debug)]
pub(super) struct Report {
    name: String,
    began: Instant,
    rounds: usize,
    kills: u64,
    went_on: Vec<Duration>,
}

impl Report {
    pub(super) fn new(name: String) -> Self {
        Self { name, began: Instant::now(), rounds: 0, kills: 0, went_on: Vec::new() }
    }

    /// Something was killed, and so long after its return the sink had the next message.
    pub(super) fn killed(&mut self, went_on: Duration) {
        self.kills += 1;
        self.went_on.push(went_on);
    }

    /// A round is over; so it is by now.
    pub(super) fn round(&mut self, verdict: &Verdict) {
        self.rounds += 1;
        println!(
            "{}: round {}: {} messages, {} kills, {} twice, {:.0?}; went on after {:.1?}",
            self.name,
            self.rounds,
            verdict.messages,
            self.kills,
            verdict.twice,
            self.began.elapsed(),
            self.went_on.last().copied().unwrap_or_default(),
        );
    }

    /// Writes the line.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn finish(mut self, verdict: &Verdict) -> Result<()> {
        tell(&json!({
            "of": "pipes",
            "name": self.name,
            "rounds": self.rounds,
            "kills": self.kills,
            "messages": verdict.messages,
            "lost": verdict.lost,
            "twice": verdict.twice,
            "disordered": verdict.disordered,
            "wrong": verdict.wrong,
            "went_on_ms": middle_and_last(&mut self.went_on),
            "seconds": self.began.elapsed().as_secs(),
        }))
    }
}
