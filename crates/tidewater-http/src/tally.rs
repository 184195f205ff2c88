//! What endpoints count: how they answered, and what became of what was to be published.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tidewater_core::{Error, ErrorKind};

/// Counts what endpoints answer and publish: all of those that it is given to ([`Endpoint::tally`](crate::Endpoint::tally)).
/// Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    answers: [AtomicU64; 5],
    published: AtomicU64,
    refused: [AtomicU64; Refused::ALL.len()],
    failed: AtomicU64,
    /// How many sends took up to each of [`SinkTime::BOUNDS`] and longer than the one before it; then those above all.
    took: [AtomicU64; SinkTime::BOUNDS.len() + 1],
    took_nanos: AtomicU64,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// The request can't be read (400).
    BadRequest,
    /// There is no token that is good for anything (401).
    Unauthenticated,
    /// Publishing is off, or not granted, or a page of another origin asks (403).
    Forbidden,
    /// The body did not come in time (408).
    Timeout,
    /// The body is too large (413).
    TooLarge,
    /// The broker takes no such message (422).
    Rejected,
    /// The client publishes too often (429).
    Rate,
    /// The channel has no sink (501).
    Unsupported,
    /// Nobody could say what is granted (503).
    Unavailable,
}

impl Refused {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Timeout,
        Self::TooLarge,
        Self::Rejected,
        Self::Rate,
        Self::Unsupported,
        Self::Unavailable,
    ];

    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::Rate => "rate",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
        }
    }

    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::REQUEST_TIMEOUT => Self::Timeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => Self::Rate,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            _ => Self::BadRequest,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a [`Tally`] has counted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TallyStatus {
    /// Requests answered, by the class of their status: 1xx to 5xx.
    pub answers: [u64; 5],
    /// Messages that the broker has.
    pub published: u64,
    /// Messages that were not let through, or that the broker does not take, by reason: each has a place.
    pub refused: Vec<(Refused, u64)>,
    /// Messages that could not be published because of the broker: whether it has them is not known.
    pub failed: u64,
    /// How long sinks took.
    pub sink_time: SinkTime,
}

/// How long sinks took for messages, whatever became of them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SinkTime {
    /// For each of [`BOUNDS`](Self::BOUNDS): how many took up to so long, and longer than the bound before it.
    pub up_to: [u64; SinkTime::BOUNDS.len()],
    /// All of them, those that took longer among them.
    pub count: u64,
    /// How long they took together.
    pub sum: Duration,
}

impl SinkTime {
    /// The bounds of times: 1 ms to 10 s.
    pub const BOUNDS: [Duration; 12] = [
        Duration::from_millis(1),
        Duration::from_micros(2_500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_millis(2_500),
        Duration::from_secs(10),
    ];
}

impl Tally {
    /// What it has counted.
    pub fn status(&self) -> TallyStatus {
        let Counts { answers, published, refused, failed, took, took_nanos } = &*self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // Once: what is sent in between must not look as if it had taken longest.
        let took: [u64; SinkTime::BOUNDS.len() + 1] = std::array::from_fn(|bound| read(&took[bound]));
        TallyStatus {
            answers: std::array::from_fn(|class| read(&answers[class])),
            published: read(published),
            refused: Refused::ALL.iter().copied().zip(refused.iter().map(read)).collect(),
            failed: read(failed),
            sink_time: SinkTime {
                up_to: std::array::from_fn(|bound| took[bound]),
                count: took.iter().sum(),
                sum: Duration::from_nanos(read(took_nanos)),
            },
        }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(class) = self.0.answers.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A message was not given to the sink.
    pub(crate) fn refused(&self, status: StatusCode) {
        self.refuse(Refused::of(status));
    }

    /// A sink took so long for a message, and then it was there, or not.
    pub(crate) fn sent(&self, took: Duration, error: Option<&Error>) {
        let bound = SinkTime::BOUNDS.partition_point(|bound| *bound < took);
        self.0.took[bound].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.took_nanos.fetch_add(nanos, Ordering::Relaxed);
        match error.map(Error::kind) {
            None => _ = self.0.published.fetch_add(1, Ordering::Relaxed),
            Some(ErrorKind::Rejected) => self.refuse(Refused::Rejected),
            Some(ErrorKind::Unsupported) => self.refuse(Refused::Unsupported),
            Some(_) => _ = self.0.failed.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn refuse(&self, reason: Refused) {
        let mut all = Refused::ALL.iter().zip(&self.0.refused);
        if let Some((_, count)) = all.find(|(own, _)| **own == reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(tally: &Tally) -> Vec<(&'static str, u64)> {
        let all = tally.status().refused.into_iter().filter(|(_, count)| *count > 0);
        all.map(|(reason, count)| (reason.as_str(), count)).collect()
    }

    #[test]
    fn each_message_has_one_outcome() {
        let tally = Tally::default();
        let error = |kind| Error::new(kind, "no");
        tally.sent(Duration::from_millis(1), None);
        tally.sent(Duration::from_millis(3), Some(&error(ErrorKind::Rejected)));
        tally.sent(Duration::from_secs(60), Some(&error(ErrorKind::Unavailable)));
        tally.refused(StatusCode::TOO_MANY_REQUESTS);
        tally.refused(StatusCode::IM_A_TEAPOT);
        let status = tally.clone().status();
        assert_eq!((status.published, status.failed), (1, 1));
        assert_eq!(refusals(&tally), [("bad_request", 1), ("rejected", 1), ("rate", 1)]);
        let SinkTime { up_to, count, sum } = status.sink_time;
        assert_eq!((&up_to[..3], up_to.iter().sum::<u64>()), (&[1, 0, 1][..], 2), "a bound is in its own");
        assert_eq!((count, sum), (3, Duration::from_millis(60_004)));
    }

    #[test]
    fn answers_are_counted_by_class() {
        let tally = Tally::default();
        for status in [200, 204, 302, 404, 503, 999] {
            tally.answered(StatusCode::from_u16(status).unwrap());
        }
        assert_eq!(tally.status().answers, [0, 2, 1, 1, 1]);
    }
}
