//! A client: it reads block by block, keeps the last id as browsers do, and has every block judged.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tidewater_core::{
    Cursor,
    sse::{Decoder, Event},
};
use tokio::time::{Instant, timeout_at};

use super::{
    alarm::Alarm,
    node::Given,
    oracle::{Complaint, Opening, Oracle, Told},
    script::{Asks, Back, Wants},
    unpack::Unpack,
};
use crate::{Encoding, EventStream};

/// How many of its last blocks a complaint shows.
const SHOWN: usize = 12;
/// More than a client can get in a case: heartbeats of all the time that it waits, and each message for each stream.
const MOST_BLOCKS: usize = 100_000;

pub(crate) struct Client {
    pub(crate) asks: Asks,
    pub(crate) stream: Option<EventStream>,
    /// The node of its last stream, and the channel there.
    pub(crate) node: usize,
    pub(crate) channel: usize,
    /// What it comes back with.
    pub(crate) last_id: Option<String>,
    /// The last id, read. `None`: it has none that the hub gave out.
    pub(crate) at: Option<Cursor>,
    /// Ids that it had.
    pub(crate) former: Vec<String>,
    /// It comes with an id that no hub gave out, and has to be told these reasons, if any.
    pub(crate) forged: Option<Forged>,
    /// What it was like when it came.
    pub(crate) opening: Opening,
    /// Whether this stream has had its first cursor.
    pub(crate) begun: bool,
    alarm: Alarm,
    /// Where what it is given is cut, for one whose socket takes a part and whose server gives the rest back.
    cuts: Option<fastrand::Rng>,
    /// How its streams are compressed.
    encoding: Option<Encoding>,
    unpack: Unpack,
    /// Where it is counted what it gets.
    given: Given,
    decoder: Decoder,
    /// Blocks that have arrived and were not read.
    arrived: VecDeque<Event>,
    seen: VecDeque<Seen>,
    blocks: usize,
    pub(crate) heard: Heard,
}

/// What a client's story is made of.
enum Seen {
    Opens(usize, usize, Option<Cursor>),
    Block(Event),
    Ends,
}

/// What a client has got, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Of every block's bytes.
    hash: u64,
    pub(crate) messages: u64,
    /// How many gaps for each reason.
    pub(crate) gaps: BTreeMap<String, u64>,
}

/// An id that no hub gave out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forged {
    /// The gap that has to be told, if any.
    pub(crate) told: Option<&'static str>,
    /// Whether it has been.
    met: bool,
}

impl Forged {
    pub(crate) fn new(told: Option<&'static str>) -> Self {
        Self { told, met: false }
    }
}

impl Client {
    /// Of two clients whose seeds follow each other one takes all that it is given; and of as many as there are encodings
    /// and one more, one takes each, and one none.
    pub(crate) fn new(asks: Asks, seed: u64) -> Self {
        let cuts = seed.is_multiple_of(2).then(|| fastrand::Rng::with_seed(seed));
        let encoding = Encoding::ALL.get((seed / 2) as usize % (Encoding::ALL.len() + 1)).copied();
        Self {
            cuts,
            encoding,
            unpack: Unpack::new(encoding),
            asks,
            stream: None,
            node: 0,
            channel: 0,
            last_id: None,
            at: None,
            former: Vec::new(),
            forged: None,
            opening: Opening::default(),
            begun: false,
            alarm: Alarm::new(),
            given: Given::default(),
            decoder: Decoder::new(),
            arrived: VecDeque::new(),
            seen: VecDeque::new(),
            blocks: 0,
            heard: Heard::default(),
        }
    }

    /// The connection is gone, with what has not been read.
    pub(crate) fn disconnect(&mut self) {
        self.stream = None;
        self.arrived.clear();
        self.decoder = Decoder::new();
        self.unpack = Unpack::new(self.encoding);
        self.begun = false;
    }

    pub(crate) fn connect(&mut self, stream: EventStream, node: usize, channel: usize, given: &Given) {
        // Whoever can't be served is sent away by a stream of no channel.
        self.given = if stream.is_served() { given.clone() } else { Given::default() };
        self.note(Seen::Opens(node, channel, self.at.clone()));
        (self.node, self.channel) = (node, channel);
        self.stream = Some(stream.encoded(self.encoding));
        self.unpack = Unpack::new(self.encoding);
        self.alarm = Alarm::new();
    }

    /// The next block. `None`: none came in time, or the stream is at its end.
    pub(crate) async fn next(&mut self, until: Instant) -> Result<Option<Event>, Complaint> {
        loop {
            if let Some(event) = self.arrived.pop_front() {
                return Ok(Some(event));
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let selects = self.asks.wants != Wants::All;
            let alarm = &mut self.alarm;
            let next = poll_fn(|cx| {
                let was_shared = stream.is_shared();
                let polled = alarm.poll(cx, |cx| stream.poll_next_unpin(cx));
                alarm.judge(selects && was_shared && stream.is_shared());
                polled
            });
            let next = timeout_at(until, next).await;
            if alarm.is_idle() {
                return Err("I8: it was woken for what it doesn't want".into());
            }
            match next {
                Err(_) => return Ok(None),
                Ok(None) => {
                    self.note(Seen::Ends);
                    self.unpack.end()?;
                    self.disconnect();
                }
                Ok(Some(chunk)) => {
                    for piece in self.taken(chunk) {
                        self.given.lock().unwrap().1 += piece.len() as u64;
                        self.decoder.feed(&self.unpack.take(&piece)?);
                    }
                    while let Some(event) = self.decoder.next_event().map_err(|error| error.to_string())? {
                        let is_event = !event.event_type.starts_with("tidewater.");
                        self.given.lock().unwrap().0 += u64::from(is_event);
                        self.arrived.push_back(event);
                    }
                    if self.decoder.buffered() != 0 {
                        return Err("an item that doesn't end at an event boundary".into());
                    }
                }
            }
        }
    }

    /// What is written of an item, and perhaps of those behind it: all, or a part, and of what is given back the rest of
    /// an event.
    fn taken(&mut self, item: Bytes) -> Vec<Bytes> {
        let mut items = vec![item];
        let (Some(cuts), Some(stream)) = (&mut self.cuts, &mut self.stream) else { return items };
        if cuts.bool() {
            return items;
        }
        let mut context = Context::from_waker(Waker::noop());
        while items.len() < 3 && cuts.bool() {
            let alarm = &mut self.alarm;
            match alarm.poll(&mut context, |cx| stream.poll_next_unpin(cx)) {
                Poll::Ready(Some(item)) => items.push(item),
                Poll::Ready(None) => {
                    // All of it goes out; the next look finds the end.
                    alarm.refresh();
                    return items;
                }
                Poll::Pending => break,
            }
        }
        let all: usize = items.iter().map(Bytes::len).sum();
        let mut room = cuts.usize(..=all);
        let mut taken = Vec::new();
        items.retain_mut(|item| {
            let part = item.split_to(room.min(item.len()));
            room -= part.len();
            taken.push(part);
            !item.is_empty()
        });
        while let Some(last) = items.last_mut() {
            let kept = stream.give_back(last);
            last.truncate(kept);
            if kept > 0 {
                break;
            }
            items.pop();
        }
        self.alarm.refresh();
        taken.extend(items);
        taken
    }

    /// A stream that has to end does so, whatever it still has.
    pub(crate) async fn runs_out(&mut self) -> Result<(), Complaint> {
        let until = Instant::now() + PATIENCE;
        while self.stream.is_some() {
            if self.next(until).await?.is_none() && Instant::now() >= until {
                return Err("it stays in a stream of a log that is over".into());
            }
        }
        self.disconnect();
        Ok(())
    }

    /// Takes a block in.
    pub(crate) fn take(&mut self, event: &Event, oracle: &Oracle<'_>) -> Result<(), Complaint> {
        self.note(Seen::Block(event.clone()));
        self.blocks += 1;
        if self.blocks > MOST_BLOCKS {
            return Err("it gets blocks without an end".into());
        }
        self.heard.hash = self.heard.hash.wrapping_mul(31).wrapping_add(hash(event));
        let id = event.last_event_id.parse::<Cursor>();
        let id = id.map_err(|error| format!("I2: an id that can't be read: {error}"))?;
        match &*event.event_type {
            "tidewater.cursor" => self.cursor(&id, oracle)?,
            "tidewater.gap" => {
                let told = Told::parse(event)?;
                *self.heard.gaps.entry(told.reason.clone()).or_default() += 1;
                self.gap(&told, &id, oracle)?;
            }
            "message" | "long" => {
                self.heard.messages += 1;
                let at =
                    self.at.as_ref().filter(|_| self.begun).ok_or("I6: a message before the first cursor")?;
                oracle.message(event, at, &id)?;
            }
            other => return Err(format!("an event of the name {other}")),
        }
        self.last_id = Some(event.last_event_id.to_string());
        if self.forged.is_none() {
            self.former.extend(self.last_id.clone());
            self.at = Some(id);
        }
        Ok(())
    }

    /// Whether its id says that it has everything up to here.
    pub(crate) fn has(&self, end: &Cursor) -> bool {
        self.begun && self.at.as_ref().is_some_and(|at| at.dominates(end))
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.arrived.is_empty() && self.stream.as_ref().is_some_and(EventStream::is_shared)
    }

    /// The last blocks that it saw, for a complaint.
    pub(crate) fn story(&self) -> String {
        let line = |seen: &Seen| match seen {
            Seen::Opens(node, channel, at) => {
                format!("    -- opens at node {node}, channel {channel}, with {at:?}\n")
            }
            Seen::Ends => "    -- the stream ends\n".to_owned(),
            Seen::Block(event) => {
                let (name, data) = (&*event.event_type, &*event.data);
                format!("    {name} {data:?} {:?}\n", event.last_event_id.parse::<Cursor>())
            }
        };
        self.seen.iter().map(line).collect()
    }

    fn cursor(&mut self, id: &Cursor, oracle: &Oracle<'_>) -> Result<(), Complaint> {
        let forged = self.forged.take();
        if let Some(Forged { told: Some(reason), met: false }) = forged {
            return Err(format!("I3: a forged id without a gap of reason {reason}"));
        }
        if !self.begun {
            oracle.limited(id)?;
        }
        match &self.at {
            Some(at) => oracle.cursor(at, id)?,
            None => oracle.begins(id, forged.is_none() && oracle.setup.earliest && oracle.setup.replay)?,
        }
        self.begun = true;
        Ok(())
    }

    fn gap(&mut self, told: &Told, id: &Cursor, oracle: &Oracle<'_>) -> Result<(), Complaint> {
        if let Some(forged) = &mut self.forged {
            forged.met |= forged.told == Some(&told.reason);
            return Ok(());
        }
        match &self.at {
            Some(at) => oracle.gap(told, at, id),
            // Who asks for more than it may have is told so.
            None if told.reason == "replay"
                && oracle.setup.earliest
                && oracle.setup.back != Back::Everything =>
            {
                Ok(())
            }
            None => Err(format!("a gap for a client that had nothing: {}", told.reason)),
        }
    }

    fn note(&mut self, what: Seen) {
        if self.seen.len() == SHOWN {
            self.seen.pop_front();
        }
        self.seen.push_back(what);
    }
}

fn hash(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.hash(&mut hasher);
    hasher.finish()
}

/// How long a client waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(400);
