//! Upstream subscriptions: one for each source, shared by the channels that read the same.
//!
//! ```text
//! Source ── one task (pump) ──┬─> channel A: its map, its log
//!                             └─> channel B: its map, its log
//! ```
//!
//! Channels of one hub whose sources have equal [share keys](tidewater_core::ShareKey) are *members* of one upstream.
//! Each message is read once and rendered for each member, into a log of its own. What happens upstream (gaps, new
//! epochs, a log that got shorter, outages) happens to all of them; what one member does (a map that panics, ids that
//! are too long, its end) to none of the others. A map that is slow delays all: they follow one stream.
//!
//! A channel that joins while the upstream runs starts where the upstream is, between two deliveries.

mod members;
mod origin;
mod probe;
mod pump;
mod watchdog;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidewater_core::Source;
use tokio::{sync::watch, task::AbortHandle};

use crate::state::Shared;

pub(crate) use origin::Origin;

/// One subscription, and the channels that it is for. It ends when it is dropped.
pub(crate) struct Upstream {
    pub(crate) origin: Arc<Origin>,
    members: watch::Sender<Vec<Arc<Shared>>>,
    pulse: Arc<Pulse>,
    task: AbortHandle,
}

impl Upstream {
    /// Starts the task; it reads nothing before a channel joins.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn start(source: Arc<dyn Source>, pulse: &Arc<Pulse>) -> Arc<Self> {
        let origin = Arc::new(Origin::new(source));
        let (members, joined) = watch::channel(Vec::new());
        let task = tokio::spawn(pump::run(origin.clone(), joined, pulse.clone())).abort_handle();
        pulse.upstreams.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { origin, members, pulse: pulse.clone(), task })
    }

    /// Whether it still runs: the runtime that it was started on may be gone.
    pub(crate) fn runs(&self) -> bool {
        !self.task.is_finished()
    }

    /// A channel is to get what comes from now on.
    pub(crate) fn join(&self, shared: Arc<Shared>) {
        self.origin.readers.allow(shared.settings.readers);
        self.members.send_modify(|members| members.push(shared));
    }

    /// A channel gets no more. Answers whether any is left.
    pub(crate) fn leave(&self, shared: &Arc<Shared>) -> bool {
        self.members.send_modify(|members| members.retain(|member| !Arc::ptr_eq(member, shared)));
        !self.members.borrow().is_empty()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
        self.pulse.upstreams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("source", &self.origin.source)
            .field("members", &self.members.borrow().len())
            .finish_non_exhaustive()
    }
}

/// What the upstreams of a hub tell each other.
pub(crate) struct Pulse {
    /// How many there are: the more, the less often each asks its broker.
    upstreams: AtomicUsize,
    /// Counted up when one of them finds its broker lost: the others had better ask too.
    alarm: watch::Sender<u64>,
}

impl Pulse {
    /// One upstream has lost its broker.
    fn raise(&self) {
        self.alarm.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self { upstreams: AtomicUsize::new(0), alarm: watch::Sender::new(0) }
    }
}
