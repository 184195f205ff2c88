//! What a stream comes to, for whoever wants to know: an access log, say. Nothing is counted for streams that nobody observes.

use std::{fmt, time::Duration};

use tidewater_core::Cursor;
use tokio::time::Instant;

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begins {
    /// With what comes from now on.
    Latest,
    /// In the log of this node.
    Log,
    /// Behind the log: the source is read for it.
    Broker,
    /// Elsewhere than the client wanted: it is told first what is missing.
    Gap,
}

/// Why a stream is over, or was never more than a time to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It was dropped: its client has gone, or the server has cut it off.
    Left,
    /// The hub drains, or the channel was closed.
    Drained,
    /// The client fell behind, and its policy is to end then; or what it had to read was too much to catch up with.
    Lagged,
    /// Its time was over ([`EventStream::ends_after`](crate::EventStream::ends_after)).
    Expired,
    /// What the source has now is not what this node had given out.
    Reset,
    /// The source can't be read now, or nobody can say who may.
    Unavailable,
    /// There are as many streams as there may be.
    Full,
}

/// What a stream has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Why it is over.
    pub why: Ending,
    /// How long it has been there since it was observed.
    pub lasted: Duration,
    /// The messages that went out, without gaps and signs of life.
    pub events: u64,
    /// The bytes that went out, compressed where the stream is. They were given to the server; whether the client took
    /// the last of them nobody knows.
    pub bytes: u64,
    /// Where it was: what is before this has gone out, or does not concern its client. `None` where it never was anywhere.
    pub cursor: Option<Cursor>,
}

/// What is called when a stream has ended.
pub type OnEnd = Box<dyn FnOnce(Ended) + Send + Sync>;

/// Counts what one stream brings, and tells it when it is dropped.
pub(super) struct Tally {
    on_end: Option<OnEnd>,
    since: Instant,
    ended: Ended,
}

impl Begins {
    /// A word for it: `latest`, `log`, `broker`, `gap`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Log => "log",
            Self::Broker => "broker",
            Self::Gap => "gap",
        }
    }
}

impl fmt::Display for Begins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Ending {
    /// A word for it: `left`, `drained`, `lagged`, `expired`, `reset`, `unavailable`, `full`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Drained => "drained",
            Self::Lagged => "lagged",
            Self::Expired => "expired",
            Self::Reset => "reset",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Tally {
    pub(super) fn new(on_end: OnEnd) -> Self {
        let ended = Ended { why: Ending::Left, lasted: Duration::ZERO, events: 0, bytes: 0, cursor: None };
        Self { on_end: Some(on_end), since: Instant::now(), ended }
    }

    /// Somebody else observes the stream.
    pub(super) fn forget(&mut self) {
        self.on_end = None;
    }

    /// So much goes out.
    pub(super) fn add(&mut self, events: usize, bytes: usize) {
        self.ended.events += events as u64;
        self.ended.bytes += bytes as u64;
    }

    /// So much of it was not sent.
    pub(super) fn take_back(&mut self, events: usize, bytes: usize) {
        self.ended.events = self.ended.events.saturating_sub(events as u64);
        self.ended.bytes = self.ended.bytes.saturating_sub(bytes as u64);
    }

    /// The client is over, where it was then.
    pub(super) fn end(&mut self, why: Ending, cursor: Cursor) {
        self.ended.why = why;
        self.ended.cursor = Some(cursor);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Some(on_end) = self.on_end.take() else { return };
        on_end(Ended { lasted: self.since.elapsed(), ..self.ended.clone() });
    }
}
