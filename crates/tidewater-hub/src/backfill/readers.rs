//! The readers of one source: few, and held by what is read rather than by who wants it (I5).

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidewater_core::Cursor;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{
    queue::{Ask, Queue},
    segment::Reader,
};

/// How many readers a source has unless a channel allows more.
pub(crate) const READERS: usize = 4;
/// How long a subscription is kept open for whoever wants the next segment.
pub(super) const WARM: Duration = Duration::from_secs(5);

/// The readers of one source, for all channels that read it.
pub(crate) struct Readers(Mutex<State>);

struct State {
    queue: Queue<oneshot::Sender<Turn>>,
    /// Subscriptions that may be gone on with. Together with those that read, never more than there may be readers.
    warm: Vec<Warm>,
}

struct Warm {
    channel: Arc<str>,
    since: Instant,
    reader: Reader,
}

/// What somebody gets who has waited.
pub(super) enum Turn {
    /// It may read.
    Read(Box<Permit>),
    /// Somebody else reads what it wants: told at the end.
    Follow(watch::Receiver<()>),
}

/// The right to read. Whoever follows looks again when it is dropped, and the next one begins.
pub(super) struct Permit {
    readers: Arc<Readers>,
    number: u64,
    /// What to read after: at or before what was asked for, so that it suits the followers too.
    pub(super) wanted: Option<Cursor>,
    /// A subscription that stands there.
    pub(super) warm: Option<Reader>,
    /// One that others may go on with.
    back: Option<Warm>,
    _ends: watch::Sender<()>,
}

impl Readers {
    /// From now on there may be so many, unless there already are more.
    pub(crate) fn allow(self: &Arc<Self>, readers: usize) {
        self.lock().queue.allow(readers);
        self.dispatch();
    }

    /// Waits for a reader.
    ///
    /// # Cancel safety
    /// Safe: whoever is gone is left out.
    pub(super) async fn turn(self: &Arc<Self>, ask: Ask) -> Turn {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.lock();
            if let Some(ended) = state.queue.passing(&ask) {
                return Turn::Follow(ended);
            }
            state.queue.push(ask, sender);
        }
        self.dispatch();
        // A sender is dropped unanswered only together with its queue: looking again finds out.
        receiver.await.unwrap_or_else(|_| Turn::Follow(watch::channel(()).1))
    }

    /// How many read for a channel, how many may at a time in all, and how many of its pieces wait.
    pub(crate) fn of(&self, channel: &Arc<str>) -> (usize, usize, usize) {
        let queue = &self.lock().queue;
        let waiting = queue.waiting_for(channel, oneshot::Sender::is_closed);
        (queue.running_for(channel), queue.readers(), waiting)
    }

    /// Ends subscriptions that nobody has gone on with.
    pub(super) fn cool(&self) {
        let old: Vec<_> = self.lock().warm.extract_if(.., |warm| warm.since.elapsed() >= WARM).collect();
        drop(old);
    }

    /// Lets those begin who can.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let (started, warm, old) = {
                let mut state = self.lock();
                let Some(started) = state.queue.start(oneshot::Sender::is_closed) else { return };
                let warm = state.take_warm(&started.channel, started.wanted.as_ref());
                (started, warm, state.make_room())
            };
            // Outside the lock: a source's own code runs here.
            drop(old);
            let (number, wanted, _ends) = (started.number, started.wanted, started.ends);
            let permit = Box::new(Permit { readers: self.clone(), number, wanted, warm, back: None, _ends });
            for follower in started.followers {
                drop(follower.send(Turn::Follow(started.ended.clone())));
            }
            // Whoever has gone just now gives it back.
            drop(started.reply.send(Turn::Read(permit)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Readers {
    /// One, until a channel allows more.
    fn default() -> Self {
        Self(Mutex::new(State { queue: Queue::new(1), warm: Vec::new() }))
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Readers")
            .field("running", &state.queue.running())
            .field("warm", &state.warm.len())
            .finish_non_exhaustive()
    }
}

impl State {
    /// A subscription of this channel that stands there.
    fn take_warm(&mut self, channel: &Arc<str>, wanted: Option<&Cursor>) -> Option<Reader> {
        let fits = |warm: &Warm| Arc::ptr_eq(&warm.channel, channel) && Some(warm.reader.at()) == wanted;
        let index = self.warm.iter().position(fits)?;
        Some(self.warm.remove(index).reader)
    }

    /// Takes out the oldest subscriptions that are too many beside those that read.
    fn make_room(&mut self) -> Vec<Warm> {
        let most = self.queue.readers().saturating_sub(self.queue.running());
        let old = self.warm.len().saturating_sub(most);
        self.warm.drain(..old).collect()
    }
}

impl Permit {
    /// Ends, and keeps the subscription for whoever goes on where it stands.
    pub(super) fn keep(mut self, channel: &Arc<str>, reader: Reader) {
        self.back = Some(Warm { channel: channel.clone(), since: Instant::now(), reader });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let old = {
            let mut state = self.readers.lock();
            state.queue.end(self.number);
            state.warm.extend(self.back.take());
            state.make_room()
        };
        drop(old);
        self.readers.dispatch();
    }
}
