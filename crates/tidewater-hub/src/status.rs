//! How a channel is.

use std::{fmt, sync::Arc};

use tidewater_core::Error;

/// Where a channel's upstream subscription stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamState {
    /// It has not been reached yet.
    #[default]
    Starting,
    /// Messages come.
    Live,
    /// It is lost, or can't be reached, and is tried again.
    Degraded,
}

impl UpstreamState {
    /// In one word: `starting`, `live`, `degraded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Degraded => "degraded",
        }
    }
}

impl fmt::Display for UpstreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a channel is, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Where the upstream subscription stands.
    pub upstream: UpstreamState,
    /// Why it is not live, where that is known.
    pub error: Option<Arc<Error>>,
    /// Open streams.
    pub clients: usize,
    /// Streams opened so far.
    pub opened: u64,
    /// Events in the log.
    pub log_events: usize,
    /// Bytes of the log.
    pub log_bytes: usize,
    /// Gap events sent to single clients (not those that the whole channel got).
    pub gaps: u64,
    /// Streams with an id that could go on from the log.
    pub resumes_from_log: u64,
    /// Streams that were filled up from the broker.
    pub resumes_from_broker: u64,
    /// Clients that fell behind the log.
    pub lagged: u64,
    /// How often the upstream subscription had stalled while the broker had more, and was made anew.
    pub stalls: u64,
    /// Messages on which the channel's map failed.
    pub map_failures: u64,
    /// Events whose name was illegal or reserved and went out as `message`.
    pub names_replaced: u64,
    /// Payloads that were not text and went out in base64.
    pub binary_payloads: u64,
}
