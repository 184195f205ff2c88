//! What other threads leave for a shard.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use bytes::Bytes;
use tidewater_hub::EventStream;

use super::socket::Socket;
use crate::admission::Held;

/// A stream that a shard is handed.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) head: Bytes,
    pub(crate) stream: EventStream,
    pub(crate) held: Held,
}

/// Its shard sleeps while there is nothing in it.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    waker: mio::Waker,
}

#[derive(Default)]
struct Waiting {
    arrivals: Vec<Arrival>,
    ready: Vec<usize>,
    /// The shard waits for its sockets, and is to be woken.
    asleep: bool,
    closed: bool,
}

/// What a shard finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Clients that have something to write, or new ones.
    Work,
    /// Nothing: the next to leave something wakes the shard.
    Nothing,
    /// The end.
    Closed,
}

impl Inbox {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Self { waiting: Mutex::default(), waker }
    }

    /// Leaves a new stream, unless none is taken any more. Answers whether it did.
    pub(super) fn arrive(&self, arrival: &mut Option<Arrival>) -> bool {
        let mut waiting = self.lock();
        if waiting.closed {
            return false;
        }
        waiting.arrivals.extend(arrival.take());
        self.wake(waiting);
        true
    }

    /// No more streams come.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.wake(waiting);
    }

    /// Whether there is something. If not, the shard may sleep.
    pub(super) fn look(&self) -> Found {
        let mut waiting = self.lock();
        if waiting.closed {
            return Found::Closed;
        }
        waiting.asleep = waiting.ready.is_empty() && waiting.arrivals.is_empty();
        if waiting.asleep { Found::Nothing } else { Found::Work }
    }

    /// Takes everything out, into lists that are empty. The shard is awake.
    pub(super) fn take(&self, arrivals: &mut Vec<Arrival>, ready: &mut Vec<usize>) {
        let mut waiting = self.lock();
        waiting.asleep = false;
        std::mem::swap(&mut waiting.arrivals, arrivals);
        std::mem::swap(&mut waiting.ready, ready);
    }

    fn ready(&self, key: usize) {
        let mut waiting = self.lock();
        waiting.ready.push(key);
        self.wake(waiting);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        if !std::mem::take(&mut waiting.asleep) {
            return;
        }
        drop(waiting);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a shard of streams can't be woken");
        }
    }

    /// A panic elsewhere leaves it as it was: every change is one step.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

/// The waker of one client: puts it on its shard's list, once until its next turn.
pub(super) struct Call {
    inbox: Arc<Inbox>,
    key: usize,
    waits: AtomicBool,
}

impl Call {
    pub(super) fn new(inbox: Arc<Inbox>, key: usize) -> Self {
        Self { inbox, key, waits: AtomicBool::new(false) }
    }

    /// The client has its turn: what comes from now on needs another one.
    pub(super) fn answered(&self) {
        self.waits.store(false, Ordering::SeqCst);
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.waits.swap(true, Ordering::SeqCst) {
            self.inbox.ready(self.key);
        }
    }
}
