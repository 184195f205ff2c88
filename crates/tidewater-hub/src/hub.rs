//! All channels of a process.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidewater_core::{Error, ErrorKind, Result, ShareKey, Source};
use tokio::time::{Instant, timeout_at};

use crate::{
    builder::ChannelBuilder,
    channel::Channel,
    state::Shared,
    stream::beat,
    upstream::{Origin, Pulse, Upstream},
};

/// All channels of a process. Cloning shares it. When the last clone is dropped (a [`Channel`] holds one), upstream
/// subscriptions and streams end.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Default)]
struct Inner {
    channels: Mutex<Channels>,
    pulse: Arc<Pulse>,
}

#[derive(Default)]
struct Channels {
    all: BTreeMap<Arc<str>, (Arc<Shared>, Arc<Upstream>)>,
    /// The upstreams that may be shared.
    upstreams: HashMap<ShareKey, Arc<Upstream>>,
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

    /// Ends a channel: its streams as a [`drain`](Self::drain) does, and its upstream subscription unless others
    /// share it. Answers whether there was one of this name. A [`Channel`] that somebody still holds gets nothing more.
    pub fn close(&self, name: &str) -> bool {
        let mut channels = self.lock();
        let Some((shared, upstream)) = channels.all.remove(name) else { return false };
        if !upstream.leave(&shared) {
            channels.upstreams.retain(|_, shared| !Arc::ptr_eq(shared, &upstream));
        }
        drop(channels);
        shared.drain();
        true
    }

    /// Adds a channel of this name, on the upstream that reads what `source` does, or on one of its own.
    pub(crate) fn insert(
        &self,
        name: &Arc<str>,
        source: Arc<dyn Source>,
        share: bool,
        make: impl FnOnce(Arc<Origin>) -> Shared,
    ) -> Result<Channel> {
        let key = if share { source.share_key() } else { None };
        let mut channels = self.lock();
        let refused = |kind, why: &str| Err(Error::new(kind, why).context(format!("channel {name:?}")));
        if channels.draining {
            return refused(ErrorKind::Closed, "the hub is draining");
        }
        if channels.all.contains_key(name) {
            return refused(ErrorKind::Config, "there is a channel of that name already");
        }
        let running = key.as_ref().and_then(|key| channels.upstreams.get(key)).filter(|other| other.runs());
        let upstream = match running {
            Some(running) => running.clone(),
            None => Upstream::start(source, &self.0.pulse),
        };
        if let Some(key) = key {
            channels.upstreams.insert(key, upstream.clone());
        }
        let shared = Arc::new(make(upstream.origin.clone()));
        upstream.join(shared.clone());
        tokio::spawn(beat::turn(Arc::downgrade(&shared)));
        channels.all.insert(name.clone(), (shared.clone(), upstream));
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
        channels.upstreams.clear();
        for (shared, upstream) in std::mem::take(&mut channels.all).into_values() {
            drop(upstream);
            shared.drain();
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("channels", &self.lock().all.keys()).finish_non_exhaustive()
    }
}
