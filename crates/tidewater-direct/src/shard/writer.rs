//! The thread of a shard.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mio::{Events, Interest, Poll, Token, event::Event};
use slab::Slab;

use super::{
    LINGER, Settings,
    client::{Client, Turn},
    inbox::{Arrival, Call, Found, Inbox},
    pace::Pace,
};

/// What wakes the thread. Every other token is a client's key.
const INBOX: Token = Token(usize::MAX);
/// How many sockets are told of at once.
const EVENTS: usize = 1024;
/// How often those that take nothing are looked at.
const PATIENCE: Duration = Duration::from_secs(1);

/// A shard: its clients, and what they wait for.
pub(super) struct Writer {
    poll: Poll,
    inbox: Arc<Inbox>,
    settings: Settings,
    clients: Slab<Client>,
    /// How many of them wait for their sockets.
    stalled: usize,
    looked: Instant,
    pace: Pace,
    arrivals: Vec<Arrival>,
    ready: Vec<usize>,
    pieces: Vec<Bytes>,
}

impl Writer {
    pub(super) fn new(settings: Settings) -> io::Result<(Self, Arc<Inbox>)> {
        let poll = Poll::new()?;
        let inbox = Arc::new(Inbox::new(mio::Waker::new(poll.registry(), INBOX)?));
        let now = Instant::now();
        let writer = Self {
            poll,
            inbox: inbox.clone(),
            settings,
            clients: Slab::new(),
            stalled: 0,
            looked: now,
            pace: Pace::new(settings.hold_off, now),
            arrivals: Vec::new(),
            ready: Vec::new(),
            pieces: Vec::new(),
        };
        Ok((writer, inbox))
    }

    /// Writes until the inbox is closed.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = match self.inbox.look() {
                Found::Closed => return self.finish(&mut events),
                Found::Work => {
                    let hold = self.pace.hold();
                    if !hold.is_zero() {
                        thread::sleep(hold);
                    }
                    Some(Duration::ZERO)
                }
                Found::Nothing => (self.stalled > 0).then_some(PATIENCE),
            };
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a shard can't wait for its sockets: its streams end");
                return;
            }
            if timeout != Some(Duration::ZERO) {
                self.pace.rested(Instant::now());
            }
            events.iter().for_each(|event| self.event(event));
            self.inbox.take(&mut self.arrivals, &mut self.ready);
            self.arrive();
            self.pass();
            self.end_stuck();
        }
    }

    /// Streams that go on are cut. Those that have ended have some time for what their sockets have not taken yet.
    fn finish(mut self, events: &mut Events) {
        self.inbox.take(&mut self.arrivals, &mut self.ready);
        self.arrive();
        self.pass();
        self.clients.retain(|_, client| client.is_ending());
        self.stalled = self.clients.len();
        let end = Instant::now() + LINGER;
        while !self.clients.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::debug!(
                    "{} streams have ended but for what their clients don't take",
                    self.clients.len()
                );
                return;
            }
            if let Err(error) = self.poll.poll(events, Some(left))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a shard can't wait for its sockets: its streams end");
                return;
            }
            events.iter().for_each(|event| self.event(event));
        }
    }

    /// A socket takes more, or its client has said something, or has gone.
    fn event(&mut self, event: &Event) {
        let key = event.token().0;
        // The inbox's own, or of a client that is over.
        let Some(client) = self.clients.get_mut(key) else { return };
        let is_told = event.is_readable() || event.is_read_closed() || event.is_error();
        if is_told && !client.read() {
            return self.remove(key);
        }
        if event.is_writable() && client.is_stalled() {
            self.turn(key, Client::write);
        }
    }

    /// Takes new streams in, and writes the first bytes of each.
    fn arrive(&mut self) {
        for mut arrival in std::mem::take(&mut self.arrivals) {
            let entry = self.clients.vacant_entry();
            let key = entry.key();
            let both = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = arrival.socket.register(self.poll.registry(), Token(key), both) {
                tracing::warn!(%error, "a stream's socket can't be waited for");
                continue;
            }
            let call = Call::new(self.inbox.clone(), key);
            entry.insert(Client::new(arrival, call));
            self.stalled += 1;
            self.turn(key, Client::write);
        }
    }

    /// One turn for each client that was called.
    fn pass(&mut self) {
        self.pace.begin(Instant::now());
        let mut ready = std::mem::take(&mut self.ready);
        for key in ready.drain(..) {
            if let Some(client) = self.clients.get_mut(key) {
                self.pace.turn(&mut client.pass);
                self.turn(key, Client::called);
            }
        }
        self.ready = ready;
        self.pace.end(Instant::now());
    }

    fn turn(&mut self, key: usize, turn: impl FnOnce(&mut Client, &mut Vec<Bytes>) -> Turn) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let was_stalled = client.is_stalled();
        let came_to = turn(client, &mut self.pieces);
        match came_to {
            Turn::Waits => {}
            Turn::Again => client.call_again(),
            Turn::Over => {
                self.stalled -= usize::from(was_stalled);
                self.clients.remove(key);
                return;
            }
        }
        let is_stalled = client.is_stalled();
        self.stalled = self.stalled + usize::from(is_stalled) - usize::from(was_stalled);
    }

    fn remove(&mut self, key: usize) {
        let client = self.clients.remove(key);
        self.stalled -= usize::from(client.is_stalled());
    }

    /// Ends those that have taken nothing for too long.
    fn end_stuck(&mut self) {
        let now = Instant::now();
        if self.stalled == 0 || now.saturating_duration_since(self.looked) < PATIENCE {
            return;
        }
        self.looked = now;
        let timeout = self.settings.write_timeout;
        let stuck = self.clients.iter().filter(|(_, client)| client.is_stuck(now, timeout));
        for key in stuck.map(|(key, _)| key).collect::<Vec<_>>() {
            // A socket tells that it takes more when much of its room is free: one that is read slowly may take some before.
            self.turn(key, Client::write);
            if self.clients.get(key).is_some_and(|client| client.is_stuck(now, timeout)) {
                tracing::debug!("a stream's client takes nothing");
                self.remove(key);
            }
        }
    }
}

/// However the thread ends, nobody is left waiting for it.
impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox.close();
        self.inbox.take(&mut Vec::new(), &mut Vec::new());
    }
}
