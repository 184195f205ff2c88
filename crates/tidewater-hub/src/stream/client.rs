//! A client's phases: the shared bytes, its own path where it needs one, heartbeats, and its end.

use std::{
    ops::Range,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tidewater_core::{Cursor, Result};
use tokio::sync::oneshot;

use super::{
    beat::{End, ROUND},
    conflate::Conflation,
    observed::{Begins, Ending},
    past::Past,
};
use crate::{
    backfill::Segment,
    encoding::{Encoder, Item, packed::Unit},
    log::frame::Batch,
    resume::walk::Walk,
    select::{Select, waiters::Mark},
    settings::LagPolicy,
    state::{Shared, State},
    wire,
};

/// About how much is written at once on a path of a client's own.
pub(super) const OWN_BYTES: usize = if cfg!(test) { 256 } else { 64 << 10 };
/// How many entries are looked at before other tasks get their turn.
const STEPS: usize = if cfg!(test) { 16 } else { 8192 };

pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) select: Select,
    /// What happens if it falls off the log.
    pub(super) lag: LagPolicy,
    pub(super) slot: usize,
    pub(super) generation: u64,
    pub(super) phase: Phase,
    /// The tick of the channel's clock at which it gets a heartbeat.
    pub(super) due: u64,
    /// When its time is over, whatever it waits for then.
    pub(super) end: End,
    pub(super) parked: Option<Parked>,
    /// Whether what it gets is compressed.
    pub(super) encoded: bool,
    pub(super) begins: Begins,
}

/// What a client has left behind that has everything. Servers poll a body again right after each item; nothing is to be done
/// then, and nothing to be locked.
pub(super) struct Parked {
    waker: Waker,
    /// The channel's version then.
    version: u64,
}

pub(super) enum Phase {
    /// On the shared bytes: the next entry, and the cursor there.
    Shared { next: u64, at: Arc<Cursor> },
    /// In the log, on a path of its own.
    Own { next: u64, walk: Walk },
    // The rest is for the few, and behind a pointer: an idle client's room is that of the largest phase.
    /// Catching up by the newest of each key.
    Conflated(Box<Conflation>),
    /// Waiting for how far back it may go.
    Limit { past: Box<Past>, said: oneshot::Receiver<Result<Option<Arc<Cursor>>>> },
    /// Waiting for a piece of the past.
    Fetch { past: Box<Past>, segment: oneshot::Receiver<Result<Weak<Segment>>> },
    /// Reading one: from this entry of this batch on.
    Read { past: Box<Past>, segment: Weak<Segment>, batch: usize, index: usize },
}

/// What one step brings.
pub(super) enum Step {
    Item(Item),
    End(Ending),
    Again,
}

impl Step {
    /// What was written for this client alone, with so many messages in it.
    pub(super) fn own(out: BytesMut, events: usize) -> Self {
        if out.is_empty() { Self::Again } else { Self::Item(Item::own(out.freeze(), events)) }
    }
}

/// What was taken back of an item.
pub(super) struct Given {
    /// The bytes of it that were begun, and stay.
    pub(super) begun: usize,
    /// The messages in the rest.
    pub(super) events: usize,
}

impl Phase {
    /// Where the client is: what is before it has been given, or does not concern it.
    pub(super) fn cursor(&self) -> &Cursor {
        match self {
            Self::Shared { at, .. } => at,
            Self::Own { walk, .. } => &walk.cursor,
            Self::Conflated(conflation) => conflation.cursor(),
            Self::Limit { past, .. } | Self::Fetch { past, .. } | Self::Read { past, .. } => {
                &past.walk.cursor
            }
        }
    }
}

impl Client {
    /// The next bytes; `Err` says why there are no more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Ending>> {
        if self.parked_by(cx).is_some_and(|parked| parked.version == self.shared.version()) {
            return Poll::Pending;
        }
        let mut steps = STEPS;
        while steps > 0 {
            steps -= 1;
            let step = match &self.phase {
                Phase::Shared { .. } => self.shared(cx, &mut steps),
                Phase::Own { .. } => self.own(cx, &mut steps),
                Phase::Conflated(_) => self.conflated(&mut steps),
                Phase::Limit { .. } => self.limited(cx),
                Phase::Fetch { .. } => self.fetched(cx),
                Phase::Read { .. } => self.read(&mut steps),
            };
            match ready!(step) {
                Step::Item(item) => return Poll::Ready(Ok(item)),
                Step::End(why) => return Poll::Ready(Err(why)),
                Step::Again => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.shared.clock.is_over(self.end)
    }

    /// Its time is over so long from now; the earlier end counts.
    pub(super) fn end_after(&mut self, time: Duration) {
        let (end, until) = self.shared.clock.end_after(time);
        if end < self.end {
            self.end = end;
            self.shared.lock().waiters.ends_at(self.slot, until);
        }
    }

    /// Nothing else is to be written: is it time for a cursor (I6)?
    pub(super) fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Item> {
        let now = self.shared.clock.now();
        if now < self.due {
            return Poll::Pending;
        }
        // The same tick of every round, of those that it has missed one.
        self.due += (now - self.due) / ROUND * ROUND + ROUND;
        let own = match &mut self.phase {
            Phase::Shared { next, at } => {
                let mut state = self.shared.lock();
                if state.has_everything(self.slot, self.generation, *next) {
                    if let Some(log) = &state.log {
                        // Should the client fall off the log, it goes on from what it has been told.
                        *at = log.head().clone();
                    }
                    return Poll::Ready(state.heartbeat());
                }
                drop(state);
                // Something was appended since it was polled, and has woken it: that comes first, with its ids.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            own => own.cursor(),
        };
        #[cfg(test)]
        if crate::model::broken::is(crate::model::broken::Fault::HeadAsHeartbeat) {
            return Poll::Ready(self.shared.lock().heartbeat());
        }
        let mut out = BytesMut::new();
        wire::cursor(&mut out, own);
        Poll::Ready(Item::own(out.freeze(), 0))
    }

    fn shared(&mut self, cx: &mut Context<'_>, steps: &mut usize) -> Poll<Step> {
        let Phase::Shared { next, at } = &mut self.phase else { return Poll::Ready(Step::Again) };
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if let Some(why) = state.ends(self.generation) {
            return Poll::Ready(Step::End(why));
        }
        let Some(log) = &state.log else { return Poll::Pending };
        let mark = if self.select.is_all() { Mark::Reading } else { state.waiters.unpark(self.slot) };
        match mark {
            Mark::Reading => {}
            Mark::Nothing => *next = log.next(),
            // Its cursor stays behind: what lies between does not concern it.
            Mark::First(seq) => *next = seq,
        }
        if *next >= log.next() {
            if !Arc::ptr_eq(at, log.head()) {
                *at = log.head().clone();
            }
            park(state, &self.shared, self.slot, &mut self.parked, cx.waker());
            return Poll::Pending;
        }
        let Some(batch) = log.find(*next).cloned() else {
            let (behind, next) = ((**at).clone(), *next);
            drop(guard);
            return Poll::Ready(self.lag(behind, next));
        };
        let (from, entries) = ((*next - batch.first) as usize, batch.frames.len());
        let Unit { end, cursor, cells } =
            if self.encoded { batch.packed.unit(from, entries, log.packed()) } else { Unit::rest(entries) };
        *next = batch.first + end as u64;
        if *next == log.next() {
            // With these it has everything: so the poll after this one has nothing to do.
            park(state, &self.shared, self.slot, &mut self.parked, cx.waker());
        }
        drop(guard);
        *at = cursor.unwrap_or_else(|| batch.end.clone());
        *steps = steps.saturating_sub(end - from);
        let (bytes, events) = wanted(&batch, from..end, &self.select);
        if bytes.is_empty() {
            return Poll::Ready(Step::Again);
        }
        // Where something is left out, the block holds nothing that this client doesn't get.
        let cells = cells.filter(|_| bytes.len() == batch.range(from..end).len());
        Poll::Ready(Step::Item(Item { bytes, events, cells }))
    }

    /// Goes back to the first event of which nothing has been sent, if `rest` is the end of the batch before the next
    /// entry. Answers how much of it belongs to an event before that.
    pub(super) fn give_back(&mut self, rest: &Bytes) -> Option<Given> {
        let Phase::Shared { next, at } = &mut self.phase else { return None };
        let mut state = self.shared.lock();
        let log = state.log.as_ref().filter(|_| state.generation == self.generation)?;
        let batch = log.find(next.checked_sub(1)?)?.clone();
        if batch.next() != *next || batch.bytes.as_ptr_range().end != rest.as_ptr_range().end {
            return None;
        }
        let from = batch.bytes.len().checked_sub(rest.len())?;
        let mut index = batch.frames.partition_point(|frame| frame.end <= from);
        let mut begun = 0;
        if batch.offset(index) < from {
            begun = batch.frames[index].end - from;
            index += 1;
        }
        *next = batch.first + index as u64;
        self.parked = None;
        has_less(&mut state, self.slot);
        drop(state);
        *at = Arc::new(batch.cursor_at(index));
        Some(Given { begun, events: batch.messages(index..batch.frames.len()) })
    }

    /// The same where bytes are compressed: if `rest` is all that all clients get up to the next entry, nothing of it is
    /// sent.
    pub(super) fn give_back_encoded(&mut self, rest: &Bytes, encoder: &mut Encoder) -> Option<Given> {
        let Phase::Shared { next, at } = &mut self.phase else { return None };
        let mut state = self.shared.lock();
        let log = state.log.as_ref().filter(|_| state.generation == self.generation)?;
        let batch = log.find(next.checked_sub(1)?)?.clone();
        let end = (*next - batch.first) as usize;
        let mut units = batch.packed.ending(end, batch.frames.len());
        let (start, _) = units.find(|(_, cells)| encoder.take_back(cells, rest))?;
        *next = batch.first + start as u64;
        self.parked = None;
        has_less(&mut state, self.slot);
        drop(state);
        *at = Arc::new(batch.cursor_at(start));
        Some(Given { begun: 0, events: batch.messages(start..end) })
    }

    fn own(&mut self, cx: &mut Context<'_>, steps: &mut usize) -> Poll<Step> {
        let Phase::Own { next, walk } = &mut self.phase else { return Poll::Ready(Step::Again) };
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if let Some(why) = state.ends(self.generation) {
            return Poll::Ready(Step::End(why));
        }
        let Some(log) = &state.log else { return Poll::Pending };
        if log.strands(*next, &walk.cursor) {
            return Poll::Ready(Step::End(Ending::Reset));
        }
        let batch = log.find(*next).cloned();
        let node = match &batch {
            Some(batch) if batch.first == *next => Some(batch.start.clone()),
            Some(_) => None,
            None if *next >= log.next() => Some(log.head().clone()),
            None => {
                let (behind, next) = (walk.cursor.clone(), *next);
                drop(guard);
                return Poll::Ready(self.lag(behind, next));
            }
        };
        if let Some(node) = node {
            walk.reach(&node);
            if node.dominates(&walk.cursor) {
                self.phase = Phase::Shared { next: *next, at: node };
                return Poll::Ready(Step::Again);
            }
        }
        let Some(batch) = batch else {
            state.waiters.park(self.slot, true, cx.waker());
            return Poll::Pending;
        };
        drop(guard);
        let mut out = BytesMut::new();
        let from = (*next - batch.first) as usize;
        let to = walk.write(&batch, from, &self.select, &mut out, OWN_BYTES, steps);
        *next = batch.first + to.next as u64;
        Poll::Ready(Step::own(out, to.events))
    }

    /// What this task has left behind, if it has everything.
    fn parked_by(&self, cx: &Context<'_>) -> Option<&Parked> {
        self.parked.as_ref().filter(|parked| parked.waker.will_wake(cx.waker()))
    }

    pub(super) fn take_phase(&mut self) -> Phase {
        // What is left says where the client was, should its stream end without another phase.
        let at = Arc::new(self.phase.cursor().clone());
        std::mem::replace(&mut self.phase, Phase::Shared { next: 0, at })
    }
}

/// A client on the shared bytes has everything, and waits for what it wants.
fn park(state: &mut State, shared: &Shared, slot: usize, parked: &mut Option<Parked>, waker: &Waker) {
    state.waiters.park(slot, false, waker);
    let version = shared.version();
    match parked {
        Some(parked) if parked.waker.will_wake(waker) => parked.version = version,
        parked => *parked = Some(Parked { waker: waker.clone(), version }),
    }
}

/// A client has not got everything any more: it must not jump to what concerns it next.
fn has_less(state: &mut State, slot: usize) {
    #[cfg(not(test))]
    state.waiters.unpark(slot);
    #[cfg(test)]
    crate::model::broken::given_back(&mut state.waiters, slot);
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.lock().waiters.remove(self.slot);
        self.shared.count_client(false);
    }
}

impl State {
    /// Why a client of this generation can't go on, if it can't.
    pub(super) fn ends(&self, generation: u64) -> Option<Ending> {
        match (self.draining, self.generation == generation) {
            (true, _) => Some(Ending::Drained),
            (false, false) => Some(Ending::Reset),
            (false, true) => None,
        }
    }

    /// Whether a client on the shared bytes, which is to read `next`, has all that it wants up to the head.
    fn has_everything(&self, slot: usize, generation: u64, next: u64) -> bool {
        let at_end = self.log.as_ref().is_some_and(|log| log.next() == next);
        generation == self.generation && (at_end || self.waiters.is_parked(slot))
    }
}

/// The bytes of what a client wants of these entries of a batch, shared where they lie in one piece; and how many messages
/// that is.
fn wanted(batch: &Batch, entries: Range<usize>, select: &Select) -> (Bytes, usize) {
    if select.is_all() {
        return (batch.bytes.slice(batch.range(entries.clone())), batch.messages(entries));
    }
    let (mut runs, mut events) = (Vec::new(), 0);
    for index in entries {
        if !select.wants(&batch.frames[index]) {
            continue;
        }
        events += usize::from(batch.frames[index].is_message());
        let range = batch.offset(index)..batch.frames[index].end;
        match runs.last_mut() {
            Some(Range { end, .. }) if *end == range.start => *end = range.end,
            _ => runs.push(range),
        }
    }
    let bytes = match &runs[..] {
        [] => Bytes::new(),
        [one] => batch.bytes.slice(one.clone()),
        many => {
            let mut out = BytesMut::with_capacity(many.iter().map(ExactSizeIterator::len).sum());
            for range in many {
                out.extend_from_slice(&batch.bytes[range.clone()]);
            }
            out.freeze()
        }
    };
    (bytes, events)
}
