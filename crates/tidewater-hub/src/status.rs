//! How a channel is.

use std::{fmt, sync::Arc, time::Duration};

use tidewater_core::{Error, GapReason};

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

/// Gap events, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps([u64; GapReason::ALL.len()]);

impl Gaps {
    /// Those of one reason.
    pub fn of(&self, reason: GapReason) -> u64 {
        self.by_reason().filter(|(own, _)| *own == reason).map(|(_, gaps)| gaps).sum()
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason, with its gaps.
    pub fn by_reason(self) -> impl Iterator<Item = (GapReason, u64)> {
        GapReason::ALL.iter().copied().zip(self.0)
    }

    pub(crate) fn add(&mut self, reason: GapReason, gaps: u64) {
        let mut all = GapReason::ALL.iter().zip(&mut self.0);
        if let Some((_, count)) = all.find(|(own, _)| **own == reason) {
            *count += gaps;
        }
    }
}

/// How far a node is behind its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// Offsets that the broker had and the node had not read, over all partitions: messages, where every offset is one
    /// (not so with Kafka's transaction markers and compaction).
    pub offsets: u64,
    /// How long ago that was seen: the broker's bounds are read when a subscription begins, then every 5 s behind a silence and
    /// every 30 s otherwise, in a hub with many upstreams less often.
    pub age: Duration,
}

/// How a channel is, at one moment. Counts begin with the channel, and never go down.
///
/// An *event* is a message as clients get it. What is told beside them (gaps, cursors) is none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Where the upstream subscription stands.
    pub upstream: UpstreamState,
    /// Why it is not live, where that is known.
    pub error: Option<Arc<Error>>,
    /// How far behind the broker the upstream subscription is. `None` where nobody can know: the source can't replay, or its
    /// positions are no numbers; or it has not been reached yet.
    pub lag: Option<Lag>,
    /// How often the upstream subscription was made again after it was lost. Channels that share it show the same, what was before
    /// they joined it among it.
    pub resubscriptions: u64,
    /// How often the upstream subscription had stalled while the broker had more, and was made anew: of all that share it, too.
    pub stalls: u64,
    /// Events that came by the upstream subscription, into the log.
    pub events_in: u64,
    /// The bytes that they take in the log, as they are sent, and those of gaps that came between them.
    pub bytes_in: u64,
    /// How long ago the last one came.
    pub last_event: Option<Duration>,
    /// Events that were given to clients, counted for each client.
    pub events_out: u64,
    /// All bytes that open streams were given: of events, gaps and cursors, compressed where the stream is.
    pub bytes_out: u64,
    /// Open streams.
    pub clients: usize,
    /// Streams opened so far.
    pub opened: u64,
    /// Clients that were told when to come back (I10): those that could not be served, and those whose stream was ended by a
    /// drain, a lag policy, the end of what they were granted, or a log that begins anew. Limits count those that they turn away
    /// themselves.
    pub sent_away: u64,
    /// Events in the log, with gaps and what the map left out.
    pub log_events: usize,
    /// Bytes of the log.
    pub log_bytes: usize,
    /// Gap events for all clients, as they came by the upstream subscription: each counted once, whoever gets it, and not again
    /// where it is read from the past.
    pub channel_gaps: Gaps,
    /// Gap events sent to single clients (not those that the whole channel got).
    pub gaps: Gaps,
    /// Streams that came with an id, or wanted to start in the past, and could go on from the log.
    pub resumes_from_log: u64,
    /// The same, filled up from the broker.
    pub resumes_from_broker: u64,
    /// The same, where something could no longer be had: they began with a gap, and went on from wherever.
    pub resumes_with_gap: u64,
    /// Clients that fell behind the log.
    pub lagged: u64,
    /// Streams that the lag policy ended: of clients that fell behind the log, or did not reach it from the past.
    pub lag_disconnects: u64,
    /// Readers of the past that read for this channel now.
    pub backfill_readers: usize,
    /// How many may read at a time, for all channels of the source together.
    pub backfill_readers_most: usize,
    /// Pieces of the past that wait for a reader.
    pub backfill_waiting: usize,
    /// Pieces of the past that were read.
    pub backfill_segments: u64,
    /// Messages on which the channel's map failed.
    pub map_failures: u64,
    /// Events whose name was illegal or reserved and went out as `message`.
    pub names_replaced: u64,
    /// Payloads that were not text and went out in base64.
    pub binary_payloads: u64,
}
