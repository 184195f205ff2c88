//! One client: the shared bytes, its own path where it needs one, heartbeats, and its end.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tidewater_core::{Cursor, GapReason, Result};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};

use crate::{
    backfill::{self, Segment},
    frame::Batch,
    open::{Begun, begin, first_block, known, plan},
    resume::{Place, Resume},
    select::Select,
    settings::{AllowedReplay, LagPolicy},
    state::{Shared, State},
    waiters::Mark,
    walk::Walk,
    wire::{self, Told, gaps_between},
};

/// About how much is written at once on a path of a client's own.
const OWN_BYTES: usize = 64 << 10;
/// How many entries are looked at before other tasks get their turn.
const STEPS: usize = 8192;
/// How often a client may reach the live edge by backfill and find that the log has moved on, before the lag policy
/// decides.
const ROUNDS: usize = 4;
/// How long a backfill may bring nothing.
const STUCK: Duration = Duration::from_secs(30);

/// One client's stream of wire bytes. Each item ends at an event boundary. Dropping it removes the client at once.
///
/// It never fails: what can't be served ends with a reconnection time, so that an `EventSource` comes back (I10).
pub struct EventStream {
    queued: Option<Bytes>,
    client: Option<Client>,
}

struct Client {
    shared: Arc<Shared>,
    select: Select,
    slot: usize,
    generation: u64,
    phase: Phase,
    heartbeat: Pin<Box<Sleep>>,
}

enum Phase {
    /// On the shared bytes: the next entry, and the cursor there.
    Shared { next: u64, at: Arc<Cursor> },
    /// In the log, on a path of its own.
    Own { next: u64, walk: Walk },
    /// Waiting for a piece of the past.
    Fetch { past: Past, segment: oneshot::Receiver<Result<Weak<Segment>>> },
    /// Reading one: from this entry of this batch on.
    Read { past: Past, segment: Weak<Segment>, batch: usize, index: usize },
}

/// A client that is behind the log.
struct Past {
    walk: Walk,
    /// The live edge when this round began.
    target: Arc<Cursor>,
    rounds: usize,
    /// When the client last got on.
    moved: Instant,
}

/// What one step brings.
enum Step {
    Bytes(Bytes),
    End(Bytes),
    Again,
}

impl EventStream {
    /// A stream that tells its client when to come back, and ends.
    pub fn closed(retry: Duration) -> Self {
        Self { queued: Some(wire::come_back(retry)), client: None }
    }

    /// Opens a stream, as far as it takes to know where it starts.
    pub(crate) async fn open(shared: Arc<Shared>, resume: Resume, select: Select) -> Self {
        let select = resume.select.clone().and(select);
        match begin(&shared, &resume).await {
            Ok(begun) => Self::start(shared, select, begun),
            Err(error) => {
                tracing::debug!(channel = &*shared.name, "a client is sent away for a while: {error}");
                Self::closed(shared.jittered_retry())
            }
        }
    }

    fn start(shared: Arc<Shared>, select: Select, begun: Begun) -> Self {
        let made = {
            let mut state = shared.lock();
            if state.draining {
                None
            } else {
                plan(&shared, &state, &begun).map(|plan| (plan, state.add(&select)))
            }
        };
        let Some((plan, (slot, generation, next, head))) = made else {
            return Self::closed(shared.jittered_retry());
        };
        shared.count_client(true);
        shared.counts.gaps.fetch_add(plan.gaps.len() as u64, Ordering::Relaxed);
        if let Begun::At(..) = begun {
            let counts = &shared.counts;
            let place = if plan.place == Place::Backfill {
                &counts.resumes_from_broker
            } else {
                &counts.resumes_from_log
            };
            place.fetch_add(1, Ordering::Relaxed);
        }
        let first = first_block(shared.settings.retry, &plan);
        let cursor = plan.cursor;
        let phase = match plan.place {
            Place::Shared(at) if at == next => Phase::Shared { next: at, at: head },
            Place::Shared(at) => Phase::Shared { next: at, at: Arc::new(cursor) },
            Place::Own(next) => Phase::Own { next, walk: Walk { cursor } },
            Place::Backfill => Phase::fetch(&shared, Past::new(cursor, head)),
        };
        let every = shared.settings.heartbeat;
        let heartbeat = Box::pin(sleep(every.mul_f64(0.5 + fastrand::f64() / 2.0)));
        Self {
            queued: Some(first),
            client: Some(Client { shared, select, slot, generation, phase, heartbeat }),
        }
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(bytes) = self.queued.take() {
            return Poll::Ready(Some(bytes));
        }
        let Some(client) = &mut self.client else { return Poll::Ready(None) };
        match client.poll(cx) {
            Poll::Ready(Ok(bytes)) => Poll::Ready(Some(bytes)),
            Poll::Ready(Err(last)) => {
                self.client = None;
                Poll::Ready(Some(last))
            }
            Poll::Pending => client.poll_heartbeat(cx).map(Some),
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.client.as_ref().map(|client| &client.shared.name);
        f.debug_struct("EventStream").field("channel", &channel).finish_non_exhaustive()
    }
}

impl State {
    /// Whether a client on the shared bytes, which is to read `next`, has all that it wants up to the head.
    fn has_everything(&self, slot: usize, generation: u64, next: u64) -> bool {
        let at_end = self.log.as_ref().is_some_and(|log| log.next() == next);
        generation == self.generation && (at_end || self.waiters.is_parked(slot))
    }

    /// A slot for a client, the generation it belongs to, and the live edge.
    fn add(&mut self, select: &Select) -> (usize, u64, u64, Arc<Cursor>) {
        let slot = self.waiters.add(select);
        let (next, head) = match &self.log {
            Some(log) => (log.next(), log.head().clone()),
            None => (0, Arc::default()),
        };
        (slot, self.generation, next, head)
    }
}

impl Past {
    fn new(cursor: Cursor, target: Arc<Cursor>) -> Self {
        Self { walk: Walk { cursor }, target, rounds: 0, moved: Instant::now() }
    }
}

impl Phase {
    fn fetch(shared: &Arc<Shared>, past: Past) -> Self {
        let segment = backfill::fetch(shared, past.walk.cursor.clone());
        Self::Fetch { past, segment }
    }
}

impl Client {
    /// The next bytes; `Err` with the last ones.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Bytes>> {
        let mut steps = STEPS;
        while steps > 0 {
            steps -= 1;
            let step = match &self.phase {
                Phase::Shared { .. } => self.shared(cx, &mut steps),
                Phase::Own { .. } => self.own(cx, &mut steps),
                Phase::Fetch { .. } => self.fetched(cx),
                Phase::Read { .. } => self.read(&mut steps),
            };
            match ready!(step) {
                Step::Bytes(bytes) => return Poll::Ready(Ok(bytes)),
                Step::End(last) => return Poll::Ready(Err(last)),
                Step::Again => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing else is to be written: is it time for a cursor (I6)?
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        ready!(self.heartbeat.as_mut().poll(cx));
        let next = Instant::now() + self.shared.settings.heartbeat;
        self.heartbeat.as_mut().reset(next);
        let own = match &self.phase {
            Phase::Shared { next, .. } => {
                let mut state = self.shared.lock();
                if state.has_everything(self.slot, self.generation, *next) {
                    return Poll::Ready(state.heartbeat());
                }
                drop(state);
                // Something was appended since it was polled, and has woken it: that comes first, with its ids.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Phase::Own { walk, .. } => walk,
            Phase::Fetch { past, .. } | Phase::Read { past, .. } => &past.walk,
        };
        let mut out = BytesMut::new();
        wire::cursor(&mut out, &own.cursor);
        Poll::Ready(out.freeze())
    }

    fn shared(&mut self, cx: &mut Context<'_>, steps: &mut usize) -> Poll<Step> {
        let Phase::Shared { next, at } = &mut self.phase else { return Poll::Ready(Step::Again) };
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if state.draining || state.generation != self.generation {
            return Poll::Ready(Step::End(wire::come_back(self.shared.jittered_retry())));
        }
        let Some(log) = &state.log else { return Poll::Pending };
        let mark = if self.select.is_all() { Mark::Reading } else { state.waiters.unpark(self.slot) };
        match mark {
            Mark::Reading => {}
            Mark::Nothing => *next = log.next(),
            Mark::First(seq) => {
                *next = seq;
                if let Some(batch) = log.find(seq) {
                    *at = Arc::new(batch.cursor_at((seq - batch.first) as usize));
                }
            }
        }
        if *next >= log.next() {
            *at = log.head().clone();
            state.waiters.park(self.slot, false, cx.waker());
            return Poll::Pending;
        }
        let Some(batch) = log.find(*next).cloned() else {
            let behind = (**at).clone();
            drop(guard);
            return Poll::Ready(self.lag(behind));
        };
        drop(guard);
        let from = (*next - batch.first) as usize;
        *next = batch.next();
        *at = batch.end.clone();
        *steps = steps.saturating_sub(batch.frames.len() - from);
        let bytes = wanted(&batch, from, &self.select);
        Poll::Ready(if bytes.is_empty() { Step::Again } else { Step::Bytes(bytes) })
    }

    fn own(&mut self, cx: &mut Context<'_>, steps: &mut usize) -> Poll<Step> {
        let Phase::Own { next, walk } = &mut self.phase else { return Poll::Ready(Step::Again) };
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if state.draining || state.generation != self.generation {
            return Poll::Ready(Step::End(wire::come_back(self.shared.jittered_retry())));
        }
        let Some(log) = &state.log else { return Poll::Pending };
        let batch = log.find(*next).cloned();
        let node = match &batch {
            Some(batch) if batch.first == *next => Some(batch.start.clone()),
            Some(_) => None,
            None if *next >= log.next() => Some(log.head().clone()),
            None => {
                let behind = walk.cursor.clone();
                drop(guard);
                return Poll::Ready(self.lag(behind));
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
        *next = batch.first + to as u64;
        Poll::Ready(if out.is_empty() { Step::Again } else { Step::Bytes(out.freeze()) })
    }

    fn fetched(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        {
            let mut state = self.shared.lock();
            if state.draining || state.generation != self.generation {
                return Poll::Ready(Step::End(wire::come_back(self.shared.jittered_retry())));
            }
            state.waiters.watch(self.slot, cx.waker());
        }
        let Phase::Fetch { segment, .. } = &mut self.phase else { return Poll::Ready(Step::Again) };
        let fetched = ready!(Pin::new(segment).poll(cx));
        let Phase::Fetch { mut past, .. } = self.take_phase() else { return Poll::Ready(Step::Again) };
        let segment = match fetched {
            Ok(Ok(segment)) => segment,
            Ok(Err(error)) => {
                tracing::debug!(channel = &*self.shared.name, "a client's backfill failed: {error}");
                return Poll::Ready(Step::End(wire::come_back(self.shared.jittered_retry())));
            }
            Err(_) => return Poll::Ready(Step::End(wire::come_back(self.shared.jittered_retry()))),
        };
        let mut out = BytesMut::new();
        if let Some(segment) = segment.upgrade() {
            let topics = self.shared.lock().topics.clone();
            let gaps =
                gaps_between(&past.walk.cursor, &segment.start, GapReason::Retention, |tag| topics.name(tag));
            self.tell(&mut out, &gaps);
            if let Some((_, cursor)) = gaps.into_iter().next_back() {
                past.walk.cursor = cursor;
            }
        }
        self.phase = Phase::Read { past, segment, batch: 0, index: 0 };
        Poll::Ready(if out.is_empty() { Step::Again } else { Step::Bytes(out.freeze()) })
    }

    fn read(&mut self, steps: &mut usize) -> Poll<Step> {
        let Phase::Read { past, segment, batch, index } = &mut self.phase else {
            return Poll::Ready(Step::Again);
        };
        let Some(segment) = segment.upgrade() else {
            // It was pushed out while this client didn't read.
            return Poll::Ready(self.go_on());
        };
        let Some(reading) = segment.batches.get(*batch) else {
            if past.walk.cursor != segment.end {
                past.walk.arrive(&segment.end);
                past.moved = Instant::now();
            }
            return Poll::Ready(self.go_on());
        };
        let mut out = BytesMut::new();
        *index = past.walk.write(reading, *index, &self.select, &mut out, OWN_BYTES, steps);
        if *index == reading.frames.len() {
            (*batch, *index) = (*batch + 1, 0);
            past.moved = Instant::now();
        }
        Poll::Ready(if out.is_empty() { Step::Again } else { Step::Bytes(out.freeze()) })
    }

    /// Joins the log if it reaches back far enough by now; else goes on in the past.
    fn go_on(&mut self) -> Step {
        let Phase::Read { mut past, .. } = self.take_phase() else { return Step::Again };
        let (place, head) = {
            let state = self.shared.lock();
            if state.draining || state.generation != self.generation {
                return Step::End(wire::come_back(self.shared.jittered_retry()));
            }
            let Some(log) = &state.log else {
                return Step::End(wire::come_back(self.shared.jittered_retry()));
            };
            (known(&self.shared, &state, log, None).find(&past.walk.cursor), log.head().clone())
        };
        match place {
            Some(Place::Shared(next)) => self.phase = Phase::Shared { next, at: Arc::new(past.walk.cursor) },
            Some(Place::Own(next)) => self.phase = Phase::Own { next, walk: past.walk },
            Some(Place::Backfill) | None => {
                if past.walk.cursor.dominates(&past.target) {
                    (past.rounds, past.target) = (past.rounds + 1, head);
                }
                if past.rounds >= ROUNDS || past.moved.elapsed() > STUCK {
                    if self.shared.settings.lag == LagPolicy::Skip {
                        return self.skip(&past.walk.cursor);
                    }
                    return Step::End(wire::come_back(self.shared.jittered_retry()));
                }
                self.phase = Phase::fetch(&self.shared, past);
            }
        }
        Step::Again
    }

    /// The client has fallen behind the log (I7).
    fn lag(&mut self, at: Cursor) -> Step {
        self.shared.counts.lagged.fetch_add(1, Ordering::Relaxed);
        let can_backfill = self.shared.source().capabilities().replay
            && self.shared.settings.replay == AllowedReplay::Everything;
        match self.shared.settings.lag {
            LagPolicy::Disconnect => Step::End(wire::come_back(self.shared.jittered_retry())),
            LagPolicy::Backfill if can_backfill => {
                let head = self.shared.lock().log.as_ref().map(|log| log.head().clone()).unwrap_or_default();
                self.phase = Phase::fetch(&self.shared, Past::new(at, head));
                Step::Again
            }
            LagPolicy::Backfill | LagPolicy::Skip => self.skip(&at),
        }
    }

    /// Goes on where the log starts, and tells what that leaves out.
    fn skip(&mut self, from: &Cursor) -> Step {
        let (tail, mut start, topics) = {
            let state = self.shared.lock();
            let Some(log) = &state.log else {
                return Step::End(wire::come_back(self.shared.jittered_retry()));
            };
            (log.tail(), Walk { cursor: (**log.tail_cursor()).clone() }, state.topics.clone())
        };
        let gaps = gaps_between(from, &start.cursor, GapReason::Lag, |tag| topics.name(tag));
        // A client that another node had taken further in some partition stays there.
        start.reach(from);
        let mut out = BytesMut::new();
        self.tell(&mut out, &gaps);
        self.phase = Phase::Own { next: tail, walk: start };
        if out.is_empty() { Step::Again } else { Step::Bytes(out.freeze()) }
    }

    fn tell(&self, out: &mut BytesMut, gaps: &[(Told, Cursor)]) {
        self.shared.counts.gaps.fetch_add(gaps.len() as u64, Ordering::Relaxed);
        for (told, cursor) in gaps {
            wire::gap(out, told, cursor);
        }
    }

    fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Shared { next: 0, at: Arc::default() })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.lock().waiters.remove(self.slot);
        self.shared.count_client(false);
    }
}

/// The bytes of what a client wants of a batch: shared where they lie in one piece.
fn wanted(batch: &Batch, from: usize, select: &Select) -> Bytes {
    if select.is_all() {
        return batch.bytes.slice(batch.offset(from)..);
    }
    let mut runs = Vec::new();
    for index in from..batch.frames.len() {
        if !select.wants(&batch.frames[index]) {
            continue;
        }
        let range = batch.offset(index)..batch.frames[index].end;
        match runs.last_mut() {
            Some(std::ops::Range { end, .. }) if *end == range.start => *end = range.end,
            _ => runs.push(range),
        }
    }
    match &runs[..] {
        [] => Bytes::new(),
        [one] => batch.bytes.slice(one.clone()),
        many => {
            let mut out = BytesMut::with_capacity(many.iter().map(ExactSizeIterator::len).sum());
            for range in many {
                out.extend_from_slice(&batch.bytes[range.clone()]);
            }
            out.freeze()
        }
    }
}
