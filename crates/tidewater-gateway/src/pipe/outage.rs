//! What is away for a while: waited for, longer each time, and told once.

use std::{fmt, time::Duration};

use tidewater::{Error, ErrorKind, Retry};
use tokio::time::{Instant, sleep};

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(10);

/// How a source or a sink is.
#[derive(Debug)]
pub(super) struct Outage {
    name: String,
    since: Option<Instant>,
    /// When it last began to work.
    worked: Option<Instant>,
    next: Duration,
}

impl Outage {
    /// Of what has this name.
    pub(super) fn new(name: &impl fmt::Display) -> Self {
        Self { name: name.to_string(), since: None, worked: None, next: FIRST }
    }

    /// Whether it may work later. What has never worked is a mistake more often than it is away: a name, a password, a
    /// right.
    pub(super) fn passes(&self, error: &Error) -> bool {
        let mistake = matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Config | ErrorKind::Unsupported
        );
        error.retry() == Retry::Later && (!mistake || self.worked.is_some())
    }

    /// It does not work: waits before the next try.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn wait(&mut self, error: &Error) {
        let steady = self.since.is_none() && self.worked.is_some_and(|at| at.elapsed() > LAST);
        let most = if steady { FIRST } else { self.next };
        let wait = most.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (most * 2).min(LAST);
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!("{} is away, and tried again until it is back: {error}", self.name);
        } else {
            tracing::debug!("{} is still away: {error}", self.name);
        }
        sleep(wait).await;
    }

    /// It does what it is there for.
    pub(super) fn over(&mut self) {
        if self.since.is_some() {
            self.answers();
            self.worked = None;
        }
        self.worked.get_or_insert_with(Instant::now);
    }

    /// It answers, which is not yet to say that it does what it is there for.
    pub(super) fn answers(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::info!("{} is back after {:.1?}", self.name, since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "no")
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_begin_anew_when_it_has_worked_for_a_while() {
        let mut outage = Outage::new(&"it");
        let waited = async |outage: &mut Outage| {
            let began = Instant::now();
            outage.wait(&error(ErrorKind::Unavailable)).await;
            began.elapsed()
        };
        for most in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            let (wait, most) = (waited(&mut outage).await, Duration::from_millis(most));
            assert!(wait >= most / 2 && wait <= most + Duration::from_millis(2), "{wait:?} of {most:?}");
        }
        outage.over();
        assert!(waited(&mut outage).await >= LAST / 2, "it works, and fails at once");
        outage.over();
        sleep(2 * LAST).await;
        assert!(waited(&mut outage).await <= FIRST + Duration::from_millis(2));
    }

    #[test]
    fn what_was_never_there_is_not_waited_for() {
        let mut outage = Outage::new(&"it");
        assert!(outage.passes(&error(ErrorKind::Unavailable)));
        assert!(!outage.passes(&error(ErrorKind::Denied)));
        let mistakes = [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Config, ErrorKind::Unsupported];
        let later = |kind| error(kind).with_retry(Retry::Later);
        outage.answers();
        assert!(mistakes.iter().all(|kind| !outage.passes(&later(*kind))));
        outage.over();
        assert!(mistakes.iter().all(|kind| outage.passes(&later(*kind))));
        assert!(!outage.passes(&error(ErrorKind::Denied)));
    }
}
