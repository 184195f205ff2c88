//! How far the pipe is behind its source, asked beside the way of the messages; and whether it stands still there.

use std::{convert::Infallible, time::Duration};

use tidewater::Source;
use tokio::time::{Instant, sleep};

use super::progress::Progress;

/// How often the source is asked.
const EVERY: Duration = Duration::from_secs(2);
/// How long a subscription may bring nothing of what the source has. Clients of brokers have been seen to do that.
const STALLED: Duration = Duration::from_secs(60);

/// Asks for ever.
pub(super) async fn watch(source: &dyn Source, progress: &Progress) -> Infallible {
    let (mut last, mut since) = (progress.seen().cursor, Instant::now());
    loop {
        sleep(EVERY).await;
        // What it can't answer now is told where it is read from.
        progress.asked(source.bounds().await.ok());
        let seen = progress.seen();
        let stands =
            seen.away.is_none() && seen.behind().is_some_and(|behind| behind > 0) && seen.cursor == last;
        if !stands {
            (last, since) = (seen.cursor, Instant::now());
        } else if since.elapsed() > STALLED {
            since = Instant::now();
            progress.stalled.notify_waiters();
        }
    }
}
