//! Being asked to end.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How long what is under way may take when the pipe is to end.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Whether the pipe is to end, and since when.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<Option<Instant>>);

/// What says that it is.
#[derive(Debug)]
pub(super) struct Asked(watch::Sender<Option<Instant>>);

impl Asked {
    pub(super) fn now(&self) {
        self.0.send_replace(Some(Instant::now()));
    }
}

impl Stop {
    pub(super) fn new() -> (Asked, Self) {
        let (asked, stop) = watch::channel(None);
        (Asked(asked), Self(stop))
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Whether it has been for so long that nothing more is waited for.
    pub(super) fn is_overdue(&self) -> bool {
        self.0.borrow().is_some_and(|asked| asked.elapsed() > GRACE)
    }

    /// Resolves when it is wanted.
    pub(super) async fn wanted(&self) {
        self.asked().await;
    }

    /// Resolves when it is overdue.
    pub(super) async fn overdue(&self) {
        sleep_until(self.asked().await + GRACE).await;
    }

    async fn asked(&self) -> Instant {
        match self.0.clone().wait_for(Option::is_some).await.map(|asked| *asked) {
            Ok(Some(asked)) => asked,
            // Without anybody who could ask, it never is.
            _ => std::future::pending().await,
        }
    }
}
