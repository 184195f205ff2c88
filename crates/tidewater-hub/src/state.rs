//! A channel's shared state: the log and the waiters under one lock, and what the tasks tell each other.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tidewater_core::{Cursor, Error, Sink, Source};
use tokio::{sync::watch, time::Instant};

use crate::{
    backfill::{Backfill, prewarm},
    counts::Counts,
    encoding::{Item, packed::Cells},
    log::Log,
    render::{Pressed, Render},
    resume::{Topics, limit::Limits},
    retry,
    select::waiters::Waiters,
    settings::Settings,
    status::UpstreamState,
    stream::beat::Clock,
    upstream::Origin,
    wire,
};

/// One channel: what its handle, its upstream and its streams share.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) origin: Arc<Origin>,
    pub(crate) sink: Option<Arc<dyn Sink>>,
    pub(crate) render: Render,
    pub(crate) backfill: Backfill,
    pub(crate) limits: Limits,
    pub(crate) counts: Counts,
    state: Mutex<State>,
    /// When clients are due a heartbeat.
    pub(crate) clock: Clock,
    /// Counted up by every change that concerns a client which has everything: one that was parked and finds it unchanged
    /// need not take the lock.
    version: AtomicU64,
    /// Whether the channel has a position, for those who wait for it.
    pub(crate) positioned: watch::Sender<bool>,
    /// Whether nothing of the past is being read into the log.
    pub(crate) warm: watch::Sender<bool>,
    /// How many streams there are, for those who wait until there are none.
    pub(crate) clients: watch::Sender<usize>,
}

/// What the lock guards.
pub(crate) struct State {
    /// `None` until the upstream subscription has started once.
    pub(crate) log: Option<Log>,
    pub(crate) waiters: Waiters,
    pub(crate) topics: Topics,
    pub(crate) upstream: UpstreamState,
    pub(crate) error: Option<Arc<Error>>,
    pub(crate) draining: bool,
    /// When the last event came.
    pub(crate) last_event: Option<Instant>,
    /// Counted up when the upstream's log turned out shorter than ours: every stream of an older one ends.
    pub(crate) generation: u64,
    /// The cursor block at the head, made when first asked for.
    heartbeat: Option<Heartbeat>,
}

/// A cursor block, and what it becomes when it is compressed.
type Heartbeat = (Bytes, Arc<Cells>);

impl Shared {
    pub(crate) fn new(
        name: Arc<str>,
        settings: Settings,
        origin: Arc<Origin>,
        sink: Option<Arc<dyn Sink>>,
        render: Render,
    ) -> Self {
        let clock = Clock::new(settings.heartbeat);
        Self {
            name,
            settings,
            origin,
            sink,
            render,
            backfill: Backfill::default(),
            limits: Limits::default(),
            counts: Counts::default(),
            state: Mutex::new(State {
                log: None,
                waiters: Waiters::default(),
                topics: Topics::default(),
                upstream: UpstreamState::Starting,
                error: None,
                draining: false,
                last_event: None,
                generation: 0,
                heartbeat: None,
            }),
            clock,
            version: AtomicU64::new(0),
            positioned: watch::Sender::new(false),
            warm: watch::Sender::new(true),
            clients: watch::Sender::new(0),
        }
    }

    /// Where messages come from.
    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        &self.origin.source
    }

    /// The state. A panic elsewhere leaves it as it was: every change under the lock is whole or nothing.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counted up while the lock is held, before anybody is woken.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The log starts here, and with it the channel. Streams of a log before it end. Answers whether it is the first one,
    /// and [pre-warmed](prewarm).
    pub(crate) fn begin(&self, start: Cursor, topics: Topics) -> bool {
        let mut wakers = Vec::new();
        let warming;
        {
            let mut state = self.lock();
            warming = state.log.is_none() && prewarm::applies(self);
            self.warm.send_replace(!warming);
            if state.log.is_some() {
                state.generation += 1;
            }
            state.topics = topics;
            let log = Log::new(self.settings.log, start);
            state.log = Some(if self.settings.conflates() { log.conflating() } else { log });
            state.heartbeat = None;
            state.waiters.all(&mut wakers);
            self.changed();
        }
        self.positioned.send_replace(true);
        wake(wakers);
        warming
    }

    /// Appends what the upstream has brought, and wakes those whom it concerns.
    pub(crate) fn append(&self, pressed: Vec<Pressed>) {
        let mut wakers = Vec::new();
        {
            let state = &mut *self.lock();
            let Some(log) = &mut state.log else { return };
            for pressed in pressed {
                match pressed {
                    Pressed::Batch(batch) => {
                        self.counts.came(&batch);
                        if batch.others < batch.frames.len() {
                            state.last_event = Some(batch.at);
                        }
                        let batch = log.append(batch);
                        state.waiters.appended(&batch, &mut wakers);
                    }
                    Pressed::Progress(cursor) => log.progress(cursor),
                }
            }
            state.heartbeat = None;
            #[cfg(test)]
            crate::model::broken::wake_up(&mut state.waiters, &mut wakers);
            self.changed();
        }
        wake(wakers);
    }

    /// The clock goes on: those who are due a heartbeat, or whose time is over, are woken.
    pub(crate) fn beat(&self, ticks: u64) {
        let mut wakers = Vec::new();
        {
            let mut state = self.lock();
            for tick in self.clock.advance(ticks) {
                state.waiters.beat(tick, &mut wakers);
            }
        }
        wake(wakers);
    }

    /// Ends every stream, and every one that comes from now on, with a reconnection time of its own (I9).
    pub(crate) fn drain(&self) {
        let mut wakers = Vec::new();
        {
            let mut state = self.lock();
            state.draining = true;
            state.waiters.all(&mut wakers);
            self.changed();
        }
        wake(wakers);
    }

    /// Where the upstream stands. An error stays readable until it is live again.
    pub(crate) fn upstream(&self, upstream: UpstreamState, error: Option<Arc<Error>>) {
        let mut state = self.lock();
        state.upstream = upstream;
        state.error = error;
    }

    /// A stream is there, or gone.
    pub(crate) fn count_client(&self, comes: bool) {
        if comes {
            self.counts.opened.fetch_add(1, Ordering::Relaxed);
        }
        self.clients.send_modify(|count| *count = if comes { *count + 1 } else { count.saturating_sub(1) });
    }

    /// What a client gets that is sent away: its last block (I10).
    pub(crate) fn send_away(&self) -> Bytes {
        self.counts.sent_away.fetch_add(1, Ordering::Relaxed);
        wire::come_back(self.jittered_retry())
    }

    /// A reconnection time for a client that is sent away: spread, and never under 500 ms.
    fn jittered_retry(&self) -> Duration {
        retry::spread(self.settings.retry, fastrand::f64())
    }
}

impl State {
    /// The cursor block at the head of the log.
    pub(crate) fn heartbeat(&mut self) -> Item {
        let head = self.log.as_ref().map(|log| log.head().clone()).unwrap_or_default();
        let (bytes, cells) = self.heartbeat.get_or_insert_with(|| {
            let mut out = BytesMut::new();
            wire::cursor(&mut out, &head);
            (out.freeze(), Arc::default())
        });
        Item { bytes: bytes.clone(), events: 0, cells: Some(cells.clone()) }
    }

    /// Removes what has become too old.
    pub(crate) fn evict(&mut self, now: Instant) {
        if let Some(log) = &mut self.log {
            log.evict(now);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .field("source", self.source())
            .finish_non_exhaustive()
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
