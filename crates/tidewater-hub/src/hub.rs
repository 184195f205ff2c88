//! All channels of a process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidewater_core::{Error, ErrorKind, Result};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use crate::{builder::ChannelBuilder, channel::Channel, state::Shared};

/// All channels of a process. Cloning shares it. When the last clone is dropped (a [`Channel`] holds one), upstream
/// subscriptions and streams end.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Default)]
struct Inner {
    channels: Mutex<Channels>,
}

#[derive(Default)]
struct Channels {
    all: BTreeMap<Arc<str>, (Arc<Shared>, AbortHandle)>,
    draining: bool,
}

impl Hub {
    /// A hub without channels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a channel of this name.
    pub fn channel(&self, name: impl Into<String>) -> ChannelBuilder {
        ChannelBuilder::new(self.clone(), name.into())
    }

    /// The channel of this name.
    pub fn get(&self, name: &str) -> Option<Channel> {
        let (shared, _) = self.lock().all.get(name)?.clone();
        Some(Channel { hub: self.clone(), shared })
    }

    /// Every channel, sorted by name.
    pub fn channels(&self) -> Vec<Channel> {
        self.lock()
            .all
            .values()
            .map(|(shared, _)| Channel { hub: self.clone(), shared: shared.clone() })
            .collect()
    }

    /// Ends every stream at an event boundary, each with a reconnection time of its own, and answers every stream
    /// that is opened from now on in the same way (I9). Resolves when no stream is left, or at the deadline: a client
    /// that doesn't read can't be told.
    ///
    /// # Cancel safety
    /// Safe: the hub drains on.
    pub async fn drain(&self, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        let channels: Vec<_> = {
            let mut channels = self.lock();
            channels.draining = true;
            channels.all.values().map(|(shared, _)| shared.clone()).collect()
        };
        for shared in &channels {
            shared.drain();
        }
        for shared in &channels {
            let mut clients = shared.clients.subscribe();
            if timeout_at(deadline, clients.wait_for(|count| *count == 0)).await.is_err() {
                tracing::warn!(
                    channel = &*shared.name,
                    "{} streams did not end in time",
                    *shared.clients.borrow()
                );
            }
        }
    }

    /// Whether [`drain`](Self::drain) has begun.
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    pub(crate) fn insert(
        &self,
        shared: Arc<Shared>,
        run: impl FnOnce(Arc<Shared>) -> AbortHandle,
    ) -> Result<Channel> {
        let mut channels = self.lock();
        let refused =
            |kind, why: &str| Err(Error::new(kind, why).context(format!("channel {:?}", &*shared.name)));
        if channels.draining {
            return refused(ErrorKind::Closed, "the hub is draining");
        }
        if channels.all.contains_key(&shared.name) {
            return refused(ErrorKind::Config, "there is a channel of that name already");
        }
        let pump = run(shared.clone());
        channels.all.insert(shared.name.clone(), (shared.clone(), pump));
        drop(channels);
        Ok(Channel { hub: self.clone(), shared })
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.0.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let channels = self.channels.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (shared, pump) in channels.all.values() {
            pump.abort();
            shared.drain();
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("channels", &self.lock().all.keys()).finish_non_exhaustive()
    }
}
