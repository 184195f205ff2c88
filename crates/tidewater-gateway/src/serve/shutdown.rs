//! From a signal to the end.

#[cfg(any(feature = "warp", feature = "salvo"))]
use std::time::Duration;
use std::{process, sync::Arc};

use tokio::sync::watch;

use super::site::Site;
use crate::{failure::Failure, signals::Signals};

/// How long connections that carry no stream may take to end, once the streams are gone.
#[cfg(any(feature = "warp", feature = "salvo"))]
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Waits for Ctrl-C or SIGTERM, then drains the hub. Clones wait for the same.
#[derive(Clone, Debug)]
pub(super) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for the signals from now on.
    pub(super) fn new(site: Arc<Site>) -> Result<Self, Failure> {
        let mut signals = Signals::new()
            .map_err(|error| Failure::runtime(format_args!("signals can't be listened for: {error}")))?;
        let (drained, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!("draining; once more ends it at once");
            let drain = async {
                site.drain().await;
                drained.send_replace(true);
                // The server's own end is bounded too, and as open to impatience.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = drain => {}
                () = signals.again() => process::exit(1),
            }
        });
        Ok(Self(receiver))
    }

    /// Resolves when every stream has ended, or the time for that is over: the server can go now.
    ///
    /// Until then the server has to go on accepting: who comes is told when to come back.
    pub(super) async fn drained(mut self) {
        // The sender's task ends only with the process.
        if self.0.wait_for(|drained| *drained).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
