//! What a channel does with its clients.

use std::time::Duration;

use tidewater_core::Start;

use crate::{backfill::READERS, log::LogBounds};

/// What happens to a client that falls behind the log (I7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LagPolicy {
    /// It is filled up from the broker. Where the source can't replay, as [`Skip`](Self::Skip).
    #[default]
    Backfill,
    /// Its stream ends; it comes back with the id it had.
    Disconnect,
    /// It goes on where the log starts, behind gap events of reason `lag`.
    Skip,
}

/// What becomes of a message on which the channel's map fails or panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapFailure {
    /// A gap event of reason `map` in its place.
    #[default]
    Gap,
    /// It goes out as it would without a map.
    AsIs,
}

/// How far back a client may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllowedReplay {
    /// To the first message that the broker has.
    #[default]
    Everything,
    /// To the first event in this node's log; what is older is a gap of reason `replay`.
    Log,
}

/// How much of the broker's past a channel reads into its log when it starts, so that clients of a node that was
/// restarted go on from memory. Whichever bound is reached first counts, and the log's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prewarm {
    /// The most events, from all partitions together.
    pub events: usize,
    /// The most bytes, of wire text and book-keeping.
    pub bytes: usize,
    /// How long ago they were written at most. Only where the source finds positions by time
    /// ([`from_time`](tidewater_core::Capabilities::from_time)); else it is not looked at.
    pub age: Option<Duration>,
}

impl Default for Prewarm {
    /// 8,192 events, 8 MiB, of any age.
    fn default() -> Self {
        Self { events: 8_192, bytes: 8 << 20, age: None }
    }
}

/// What a channel does with its clients.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) log: LogBounds,
    pub(crate) lag: LagPolicy,
    pub(crate) replay: AllowedReplay,
    pub(crate) heartbeat: Duration,
    pub(crate) retry: Duration,
    pub(crate) start: Start,
    pub(crate) large_ids: bool,
    /// How many readers of the past the source may have.
    pub(crate) readers: usize,
    pub(crate) prewarm: Option<Prewarm>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log: LogBounds::default(),
            lag: LagPolicy::default(),
            replay: AllowedReplay::default(),
            heartbeat: Duration::from_secs(15),
            retry: Duration::from_secs(2),
            start: Start::Latest,
            large_ids: false,
            readers: READERS,
            prewarm: Some(Prewarm::default()),
        }
    }
}
