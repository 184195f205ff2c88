//! One client's stream: how it is opened, and what comes out of it.
//!
//! | file | holds |
//! |---|---|
//! | `client` | the phases of a client, and the two in the log: the shared bytes, and a path of its own |
//! | `past` | the phases behind the log: how far back it may go, waiting for a piece of the past, and reading it |
//! | `lag` | what happens to a client that fell off the log |
//! | `beat` | when a client is due a heartbeat |
//! | `conflate` | a client that gets the newest of each key: pure |
//! | `observed` | where it begins, why it ends, and what it has come to |

pub(crate) mod beat;
mod client;
mod conflate;
mod lag;
mod observed;
mod past;

use std::{
    any::Any,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tidewater_core::Cursor;

pub use self::observed::{Begins, Ended, Ending, OnEnd};
use self::{
    beat::{Clock, End},
    client::{Client, Given, Phase},
    observed::Tally,
    past::Past,
};
use crate::{
    encoding::{Encoder, Encoding, Item},
    resume::{
        Place, Resume,
        open::{Begun, begin, begin_now, first_block, plan},
        walk::Walk,
    },
    select::Select,
    settings::LagPolicy,
    state::{Shared, State},
    wire,
};

/// One client's stream of wire bytes. Each item ends at an event boundary. Dropping it removes the client at once.
///
/// It never fails: what can't be served ends with a reconnection time, so that an `EventSource` comes back (I10).
pub struct EventStream {
    client: Option<Client>,
    /// For a moment, or for a few: an idle client has a pointer to nothing.
    beside: Option<Box<Beside>>,
}

/// What a stream has besides its client.
#[derive(Default)]
struct Beside {
    /// What comes before anything of the client's.
    first: Option<Bytes>,
    encoder: Option<Encoder>,
    held: Option<Box<dyn Any + Send + Sync>>,
    tally: Option<Box<Tally>>,
    /// Why there has never been a client.
    closed: Option<Ending>,
}

impl EventStream {
    /// A stream that tells its client when to come back, and ends. Why is for who [asks](Self::begins).
    pub fn closed(why: Ending, retry: Duration) -> Self {
        Self::never(why, wire::come_back(retry))
    }

    /// Where it begins, to be asked before it is polled.
    ///
    /// # Errors
    /// Why it says nothing but when to come back.
    pub fn begins(&self) -> Result<Begins, Ending> {
        match &self.client {
            Some(client) => Ok(client.begins),
            None => Err(self.beside.as_ref().and_then(|beside| beside.closed).unwrap_or(Ending::Left)),
        }
    }

    /// Counts from now on what goes out, and tells it when the stream is dropped, wherever it has gone to by then. That has to
    /// be quick: it is called where the stream is written, by a thread that writes others too. Who observed it before
    /// is not told any more.
    ///
    /// To be called before the stream is polled. A stream that nobody observes counts nothing of its own.
    pub fn observe(&mut self, on_end: OnEnd) {
        if let Some(tally) = Beside::tally(&mut self.beside) {
            tally.forget();
        }
        self.beside.get_or_insert_default().tally = Some(Box::new(Tally::new(on_end)));
    }

    /// The same stream, compressed: what all clients get is compressed once for all of them, what one gets alone for it.
    /// `None` leaves it as it is, which suits what [a request accepts](Encoding).
    ///
    /// Each item can be decoded as soon as it has arrived, to its last byte, and still ends at an event boundary. The end
    /// of the stream is the end of what is encoded, with its check sum; a stream that is dropped has none. To be called
    /// before the stream is polled: what has come out already was not compressed.
    ///
    /// How long something is when it is compressed tells what is in it to who sees the wire and can put text of his own
    /// beside it. So it is for streams that don't mix secrets with what others can write.
    #[must_use]
    pub fn encoded(mut self, encoding: impl Into<Option<Encoding>>) -> Self {
        let encoder = encoding.into().map(Encoder::new);
        if let Some(client) = &mut self.client {
            client.encoded = encoder.is_some();
        }
        if encoder.is_some() || self.encoding().is_some() {
            self.beside.get_or_insert_default().encoder = encoder;
        }
        self
    }

    /// How it is compressed, if it is.
    pub fn encoding(&self) -> Option<Encoding> {
        self.beside.as_ref()?.encoder.as_ref().map(Encoder::encoding)
    }

    /// Opens a stream, as far as it takes to know where it starts.
    pub(crate) async fn open(shared: Arc<Shared>, resume: Resume, select: Select) -> Self {
        let lag = shared.settings.lag(resume.lag);
        let select = resume.select.clone().and(select);
        match begin(&shared, &resume).await {
            Ok(begun) => Self::start(shared, select, lag, begun),
            Err(error) => {
                tracing::debug!(channel = &*shared.name, "a client is sent away for a while: {error}");
                Self::sent_away(&shared, Ending::Unavailable)
            }
        }
    }

    /// A stream of this channel that tells its client when to come back, and ends.
    pub(crate) fn sent_away(shared: &Shared, why: Ending) -> Self {
        Self::never(why, shared.send_away())
    }

    fn never(why: Ending, last: Bytes) -> Self {
        let beside = Beside { first: Some(last), closed: Some(why), ..Beside::default() };
        Self { client: None, beside: Some(Box::new(beside)) }
    }

    /// The same where nothing has to be asked for: most clients have no id, and begin with what comes from now on.
    pub(crate) fn open_now(shared: &Arc<Shared>, resume: &Resume, select: &Select) -> Option<Self> {
        let begun = begin_now(shared, resume)?;
        let select = resume.select.clone().and(select.clone());
        Some(Self::start(shared.clone(), select, shared.settings.lag(resume.lag), begun))
    }

    /// Ends it so long from now, at an event boundary and with a reconnection time: for who may read for a limited time only.
    /// Of several times the first to end counts.
    ///
    /// Nothing is given once the time is over, whatever was to come. Who waits then is woken at the channel's next tick or the
    /// one after it: there are sixteen to a heartbeat, so within two seconds at the default of 15 s.
    #[must_use]
    pub fn ends_after(mut self, time: Duration) -> Self {
        if let Some(client) = &mut self.client {
            client.end_after(time);
        }
        self
    }

    /// Takes the end of the last item back: `rest` has not been sent. It comes again, as far as the log still has it then;
    /// what has fallen off the log is as for any client that is behind (I7).
    ///
    /// Answers how many bytes of it can't be taken back and go out first: the rest of an event that has been begun, or
    /// all, where the bytes are this client's own or the log has put them elsewhere. Of several items the last one is
    /// given back first, and the one before it only if nothing was left of it. Of an [encoded](Self::encoded) stream an
    /// item can be given back that all clients get, and only as a whole. Nobody is woken for what was given back:
    /// the stream is to be polled once there is room.
    ///
    /// For servers that keep no bytes for a client that does not read.
    pub fn give_back(&mut self, rest: &Bytes) -> usize {
        let Some(client) = &mut self.client else { return rest.len() };
        let given = match Beside::encoder(&mut self.beside) {
            None => client.give_back(rest),
            Some(encoder) => client.give_back_encoded(rest, encoder),
        };
        let Some(Given { begun, events }) = given else { return rest.len() };
        client.shared.counts.sent.take_back(events, rest.len() - begun);
        if let Some(tally) = Beside::tally(&mut self.beside) {
            tally.take_back(events, rest.len() - begun);
        }
        begun
    }

    /// Keeps something until the stream is dropped, wherever it has gone to by then: a place among those that there are, say.
    /// What was kept before is dropped.
    pub fn hold(&mut self, kept: Box<dyn Any + Send + Sync>) {
        self.beside.get_or_insert_default().held = Some(kept);
    }

    /// Lets its client go, and says to who observes it why and where.
    fn part(&mut self, why: Ending) {
        let Some(client) = self.client.take() else { return };
        if let Some(tally) = Beside::tally(&mut self.beside) {
            tally.end(why, client.phase.cursor().clone());
        }
    }

    fn start(shared: Arc<Shared>, select: Select, lag: LagPolicy, begun: Begun) -> Self {
        let made = {
            let mut state = shared.lock();
            if state.draining {
                Err(Ending::Drained)
            } else {
                let plan = plan(&shared, &state, &begun).ok_or(Ending::Unavailable);
                plan.map(|plan| (plan, state.add(&select, &shared.clock)))
            }
        };
        let (plan, (slot, generation, next, head, due)) = match made {
            Ok(made) => made,
            Err(why) => return Self::sent_away(&shared, why),
        };
        shared.count_client(true);
        if !matches!(begun, Begun::Latest) {
            shared.counts.resumed(&plan);
        }
        let begins = match (&begun, plan.place) {
            _ if !plan.gaps.is_empty() => Begins::Gap,
            (Begun::Latest, _) => Begins::Latest,
            (_, Place::Backfill) => Begins::Broker,
            _ => Begins::Log,
        };
        let first = first_block(shared.settings.retry, &plan);
        #[cfg(test)]
        let first = crate::model::broken::first_block(first, shared.settings.retry, &plan, &head);
        let cursor = plan.cursor;
        let phase = match plan.place {
            Place::Shared(at) if at == next => Phase::Shared { next: at, at: head },
            Place::Shared(at) => Phase::Shared { next: at, at: Arc::new(cursor) },
            Place::Own(next) => Phase::Own { next, walk: Walk { cursor } },
            Place::Backfill => Phase::fetch(&shared, Past::new(cursor, head)),
        };
        Self {
            client: Some(Client {
                shared,
                select,
                lag,
                slot,
                generation,
                phase,
                due,
                end: End::NEVER,
                parked: None,
                encoded: false,
                begins,
            }),
            beside: Beside::first(first),
        }
    }
}

impl Beside {
    fn first(first: Bytes) -> Option<Box<Self>> {
        Some(Box::new(Self { first: Some(first), ..Self::default() }))
    }

    /// What comes first, once. Its room goes with it, unless there is more in it.
    fn take_first(beside: &mut Option<Box<Self>>) -> Option<Bytes> {
        let all = beside.as_mut()?;
        let first = all.first.take()?;
        if all.encoder.is_none() && all.held.is_none() && all.tally.is_none() {
            *beside = None;
        }
        Some(first)
    }

    fn encoder(beside: &mut Option<Box<Self>>) -> Option<&mut Encoder> {
        beside.as_mut()?.encoder.as_mut()
    }

    fn tally(beside: &mut Option<Box<Self>>) -> Option<&mut Tally> {
        beside.as_mut()?.tally.as_deref_mut()
    }
}

/// What an idle client is made of is paid for each of a million.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<EventStream>() <= 144);

#[cfg(test)]
impl EventStream {
    /// Whether it has a client, who may get something.
    pub(crate) fn is_served(&self) -> bool {
        self.client.is_some()
    }

    /// Whether it is on the shared bytes.
    pub(crate) fn is_shared(&self) -> bool {
        self.client.as_ref().is_some_and(|client| matches!(client.phase, client::Phase::Shared { .. }))
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        let mut ends = None;
        let item = if let Some(client) = this.client.as_ref().filter(|client| client.is_over()) {
            ends = Some(Ending::Expired);
            // Nothing is given any more, not even what was to come first.
            Beside::take_first(&mut this.beside);
            Item::own(client.shared.send_away(), 0)
        } else if let Some(first) = Beside::take_first(&mut this.beside) {
            Item::own(first, 0)
        } else {
            let Some(client) = &mut this.client else { return Poll::Ready(None) };
            match client.poll(cx) {
                Poll::Ready(Ok(item)) => item,
                Poll::Ready(Err(why)) => {
                    ends = Some(why);
                    Item::own(client.shared.send_away(), 0)
                }
                Poll::Pending => ready!(client.poll_heartbeat(cx)),
            }
        };
        let is_last = ends.is_some() || this.client.is_none();
        let events = item.events;
        let bytes = match Beside::encoder(&mut this.beside) {
            None => item.bytes,
            Some(encoder) => encoder.encode(&item, is_last),
        };
        if let Some(client) = &this.client {
            client.shared.counts.sent.add(events, bytes.len());
        }
        if let Some(tally) = Beside::tally(&mut this.beside) {
            tally.add(events, bytes.len());
        }
        if let Some(why) = ends {
            this.part(why);
        }
        Poll::Ready(Some(bytes))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.part(Ending::Left);
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.client.as_ref().map(|client| &client.shared.name);
        f.debug_struct("EventStream").field("channel", &channel).finish_non_exhaustive()
    }
}

impl State {
    /// A slot for a client, the generation it belongs to, the live edge, and when it is due a heartbeat.
    fn add(&mut self, select: &Select, clock: &Clock) -> (usize, u64, u64, Arc<Cursor>, u64) {
        let due = clock.first();
        let slot = self.waiters.add(select, due);
        let (next, head) = match &self.log {
            Some(log) => (log.next(), log.head().clone()),
            None => (0, Arc::default()),
        };
        (slot, self.generation, next, head, due)
    }
}
