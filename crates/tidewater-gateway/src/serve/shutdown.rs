//! From a signal to the end.

use std::{io, process, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::site::Site;
use crate::failure::Failure;

/// How long connections that carry no stream may take to end, once the streams are gone.
#[cfg(any(feature = "warp", feature = "salvo"))]
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Signals so close to each other are one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

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
            let again = async {
                // Who signals a whole group of processes, as shells and supervisors do, can hit one twice.
                let same = tokio::time::sleep(SAME_SIGNAL);
                tokio::pin!(same);
                loop {
                    tokio::select! {
                        () = &mut same => break,
                        () = signals.next() => {}
                    }
                }
                signals.next().await;
            };
            tokio::select! {
                () = drain => {}
                () = again => process::exit(1),
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

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
