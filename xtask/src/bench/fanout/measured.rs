//! What the load tells of a run.

use serde::Deserialize;

/// One run of one contender.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Measured {
    pub(super) clients: u64,
    pub(super) connect_seconds: f64,
    pub(super) connect_cpu_seconds: f64,
    pub(super) memory_before: u64,
    pub(super) memory_connected: u64,
    pub(super) events: u64,
    pub(super) deliveries: u64,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) told: u64,
    pub(super) strange: u64,
    pub(super) ended: u64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) load_cpu_seconds: f64,
    pub(super) bytes: u64,
    pub(super) latency: Option<Latency>,
    pub(super) memory_midway: u64,
    pub(super) memory_sent: u64,
    pub(super) stalled: Option<Stalled>,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
}

/// Clients that had stopped reading, once they read again.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Stalled {
    pub(super) deliveries: u64,
    pub(super) told: u64,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) strange: u64,
    pub(super) ended: u64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// Server CPU seconds per million deliveries, which are microseconds per delivery.
    Cpu,
    /// Server CPU per event, in microseconds.
    CpuPerEvent,
    /// Deliveries per second of the clock.
    Rate,
    /// Deliveries per CPU second.
    PerCpuSecond,
    /// Bytes of memory per connection.
    Memory,
    /// Connections accepted a second.
    Accepted,
    /// Bytes on the wire per delivery.
    Bytes,
    P50,
    P99,
    P999,
    /// How much the server's memory has grown over the last four tenths of the events.
    Growth,
}

impl Measured {
    pub(super) fn figure(&self, figure: Figure) -> f64 {
        let each = |what: f64| what / self.deliveries as f64;
        let milliseconds =
            |of: fn(&Latency) -> u64| self.latency.as_ref().map_or(f64::NAN, |l| of(l) as f64 / 1e3);
        match figure {
            Figure::Cpu => each(self.cpu_seconds * 1e6),
            Figure::CpuPerEvent => self.cpu_seconds * 1e6 / self.events as f64,
            Figure::Rate => self.deliveries as f64 / self.seconds,
            Figure::PerCpuSecond => self.deliveries as f64 / self.cpu_seconds,
            Figure::Memory => {
                self.memory_connected.saturating_sub(self.memory_before) as f64
                    / (self.clients - 1).max(1) as f64
            }
            Figure::Accepted => (self.clients - 1) as f64 / self.connect_seconds,
            Figure::Bytes => each(self.bytes as f64),
            Figure::P50 => milliseconds(|latency| latency.p50),
            Figure::P99 => milliseconds(|latency| latency.p99),
            Figure::P999 => milliseconds(|latency| latency.p999),
            Figure::Growth => self.memory_sent as f64 / self.memory_midway as f64,
        }
    }

    /// What is wrong with it, if anything: events that are missing without a word, twice, or not ours.
    pub(super) fn faults(&self) -> Option<String> {
        let stalled = self.stalled.unwrap_or_default();
        let counts = [
            ("lost", self.lost + stalled.lost),
            ("out of order or twice", self.repeated + stalled.repeated),
            ("not understood", self.strange + stalled.strange),
            ("streams ended", self.ended + stalled.ended),
        ];
        let found: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}
