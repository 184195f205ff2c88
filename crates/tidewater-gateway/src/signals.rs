//! Ctrl-C and SIGTERM.

use std::{io, time::Duration};

/// Signals so close to each other are one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// What asks the process to end.
pub(crate) struct Signals(Inner);

impl Signals {
    /// Listens from now on. Inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Inner::new().map(Self)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        self.0.next().await;
    }

    /// Waits for one more, after the first: somebody is impatient.
    pub(crate) async fn again(&mut self) {
        // Who signals a whole group of processes, as shells and supervisors do, can hit one twice.
        let same = tokio::time::sleep(SAME_SIGNAL);
        tokio::pin!(same);
        loop {
            tokio::select! {
                () = &mut same => break,
                () = self.next() => {}
            }
        }
        self.next().await;
    }
}

#[cfg(unix)]
struct Inner {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Inner {
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
struct Inner(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Inner {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
