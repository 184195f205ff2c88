//! What a channel does with its clients.

use std::{fmt, str::FromStr, time::Duration};

use tidewater_core::Start;

use crate::{backfill::READERS, log::LogBounds};

/// What happens to a client that falls behind the log (I7).
///
/// ```
/// use tidewater_hub::LagPolicy;
///
/// assert_eq!("skip".parse(), Ok(LagPolicy::Skip));
/// assert_eq!(LagPolicy::Conflate.to_string(), "conflate");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LagPolicy {
    /// It is filled up from the broker. Where the source can't replay, as [`Skip`](Self::Skip).
    #[default]
    Backfill,
    /// Its stream ends; it comes back with the id it had.
    Disconnect,
    /// It goes on where the log starts, behind gap events of reason `lag`.
    Skip,
    /// It gets the newest message of each key that it wants (without keys: of each topic and partition), and gap events
    /// of reason `conflated` for what these stand for. Where positions are no numbers, as [`Skip`](Self::Skip).
    ///
    /// A channel on which this is possible keeps the newest message of each key for as long again as its
    /// [log](crate::ChannelBuilder::log) keeps messages, in as much memory again; what has gone from there too is in the
    /// gap.
    Conflate,
}

impl LagPolicy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Backfill, Self::Disconnect, Self::Skip, Self::Conflate];

    /// In one word: `backfill`, `disconnect`, `skip`, `conflate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::Disconnect => "disconnect",
            Self::Skip => "skip",
            Self::Conflate => "conflate",
        }
    }
}

impl fmt::Display for LagPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LagPolicy {
    type Err = UnknownLagPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownLagPolicy> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownLagPolicy)
    }
}

/// A word that is no [`LagPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLagPolicy;

impl fmt::Display for UnknownLagPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = LagPolicy::ALL.map(LagPolicy::as_str).join(", ");
        write!(f, "there is no such lag policy (there are: {all})")
    }
}

impl std::error::Error for UnknownLagPolicy {}

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
    /// So far back in time, by the times that the broker has for its messages; what is older is a gap of reason
    /// `replay`. Where the source knows no times
    /// ([`Capabilities::from_time`](tidewater_core::Capabilities::from_time)): to the first event that came to this node
    /// within that time and is in its log. To a second: the limit is asked for no more often.
    Age(Duration),
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
    /// The channel's own policy first, then what a subscription may choose besides.
    pub(crate) lag: Vec<LagPolicy>,
    pub(crate) replay: AllowedReplay,
    pub(crate) heartbeat: Duration,
    pub(crate) retry: Duration,
    pub(crate) start: Start,
    pub(crate) large_ids: bool,
    /// How many readers of the past the source may have.
    pub(crate) readers: usize,
    pub(crate) prewarm: Option<Prewarm>,
    pub(crate) linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log: LogBounds::default(),
            lag: vec![LagPolicy::default()],
            replay: AllowedReplay::default(),
            heartbeat: Duration::from_secs(15),
            retry: Duration::from_secs(2),
            start: Start::Latest,
            large_ids: false,
            readers: READERS,
            prewarm: Some(Prewarm::default()),
            linger: Duration::ZERO,
        }
    }
}

impl Settings {
    /// The policy for a client that asks for one, or for none. What the channel doesn't allow is as nothing asked.
    pub(crate) fn lag(&self, asked: Option<LagPolicy>) -> LagPolicy {
        asked.filter(|asked| self.lag.contains(asked)).or(self.lag.first().copied()).unwrap_or_default()
    }

    /// Whether any client can be told the newest of each key.
    pub(crate) fn conflates(&self) -> bool {
        self.lag.contains(&LagPolicy::Conflate)
    }
}
