//! What is told.

use hdrhistogram::Histogram;
use serde::Serialize;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) clients: usize,
    /// From the first connection to the last answer's head.
    pub(crate) connect_seconds: f64,
    /// The server's processor time for it.
    pub(crate) connect_cpu_seconds: f64,
    /// The server's memory with one client, and with all, idle.
    pub(crate) memory_before: u64,
    pub(crate) memory_connected: u64,
    /// Events that went to the server, measured ones alone.
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) told: u64,
    pub(crate) strange: u64,
    /// Clients whose stream ended.
    pub(crate) ended: usize,
    /// From the first event to the last delivery.
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// The load's own.
    pub(crate) load_cpu_seconds: f64,
    /// All that came over the wire while it was measured.
    pub(crate) bytes: u64,
    pub(crate) latency: Option<Latency>,
    /// The server's memory when six tenths of the events had gone, when all had, and at the end.
    pub(crate) memory_midway: u64,
    pub(crate) memory_sent: u64,
    pub(crate) memory_end: u64,
    /// Of the clients that had stopped reading: what they got once they read again.
    pub(crate) stalled: Option<Stalled>,
}

/// Microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Stalled {
    pub(crate) clients: usize,
    pub(crate) deliveries: u64,
    pub(crate) told: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) strange: u64,
    pub(crate) ended: usize,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile);
        (!histogram.is_empty()).then(|| Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        })
    }
}
