//! Hubs that are broken on purpose: what the model has to notice. Tests only; a fault is switched on for one thread.

use std::{borrow::Cow, cell::Cell, task::Waker, time::Duration};

use bytes::{Bytes, BytesMut};
use tidewater_core::{Cursor, Delivery, Gap, GapReason, Next, TopicCursor};

use crate::{
    log::frame::{Frame, Kind},
    resume::{Plan, open},
    select::waiters::Waiters,
};

/// One way to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A message is left out.
    DropOne,
    /// A message is sent twice.
    RepeatOne,
    /// A message changes places with the one after it.
    SwapTwo,
    /// A message's id is the cursor after the one that follows.
    IdShifted,
    /// What is missing is not told.
    GapLeftOut,
    /// A client of another order goes on as if it were of this node's.
    MergeForgotten,
    /// A client that is behind gets the channel's head as its heartbeat.
    HeadAsHeartbeat,
    /// A client that is behind gets the channel's head in its first block.
    HeadAsFirstBlock,
    /// Offsets that never were messages are told missing.
    GapForHoles,
    /// A position is taken for one of whatever incarnation is there.
    EpochIgnored,
    /// A client that conflates is not given the newest of a key, but a gap.
    NewestLeftOut,
    /// A client gets what is older than the limit.
    LimitIgnored,
    /// A client that waits is not woken.
    WakeUpLost,
    /// Every client is woken by every message.
    WakeUpForAll,
    /// A client with a selection jumps over what it has given back.
    GivenBackJumped,
    /// A client that joins in the middle of a batch is given what the whole batch is compressed to.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    RestAsWhole,
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether this thread's hubs have the fault.
pub(crate) fn is(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

/// Runs something with hubs that have a fault.
pub(crate) fn with<T>(fault: Fault, run: impl FnOnce() -> T) -> T {
    FAULT.set(Some(fault));
    let done = run();
    FAULT.set(None);
    done
}

/// A frame whose bytes begin at `start`, with its fault: of messages, every fifth has one.
pub(crate) fn frame(frame: Frame, start: usize, out: &mut BytesMut) -> Frame {
    let out_of_five = match &frame.kind {
        Kind::Message(at, _) => at.position.offset().is_some_and(|offset| offset % 5 == 3),
        _ => false,
    };
    let gap = matches!(frame.kind, Kind::Gap(..));
    if is(Fault::DropOne) && out_of_five || is(Fault::GapLeftOut) && gap {
        out.truncate(start);
        return Frame { id_at: start, end: start, ..frame };
    }
    if is(Fault::RepeatOne) && out_of_five {
        let twice = out[start..].to_vec();
        out.extend_from_slice(&twice);
        return Frame { id_at: frame.id_at + twice.len(), end: frame.end + twice.len(), ..frame };
    }
    frame
}

/// The cursor that an entry's id is made from.
pub(crate) fn id_of<'a>(kind: &Kind, cursor: &'a Cursor) -> Cow<'a, Cursor> {
    let Kind::Message(at, _) = kind else { return Cow::Borrowed(cursor) };
    if !is(Fault::IdShifted) {
        return Cow::Borrowed(cursor);
    }
    let mut shifted = cursor.clone();
    let next = cursor.next_offset(at.tag, at.partition).unwrap_or(0);
    shifted.raise(at.tag, at.epoch, at.partition, next + 1);
    Cow::Owned(shifted)
}

/// Deliveries, two messages of one partition in the wrong order.
pub(crate) fn swapped(deliveries: &[Delivery]) -> Cow<'_, [Delivery]> {
    let neighbours = |pair: &[Delivery]| match pair {
        [Delivery::Message(one), Delivery::Message(two)] => {
            (one.tag, one.partition) == (two.tag, two.partition)
        }
        _ => false,
    };
    match deliveries.windows(2).position(neighbours) {
        Some(at) if is(Fault::SwapTwo) => {
            let mut swapped = deliveries.to_vec();
            swapped.swap(at, at + 1);
            Cow::Owned(swapped)
        }
        _ => Cow::Borrowed(deliveries),
    }
}

/// Who is woken by what was appended.
pub(crate) fn wake_up(waiters: &mut Waiters, wakers: &mut Vec<Waker>) {
    if is(Fault::WakeUpLost) {
        wakers.pop();
    }
    if is(Fault::WakeUpForAll) {
        waiters.all(wakers);
    }
}

/// A stream's first block.
pub(crate) fn first_block(first: Bytes, retry: Duration, plan: &Plan, head: &Cursor) -> Bytes {
    if !is(Fault::HeadAsFirstBlock) {
        return first;
    }
    open::first_block(retry, &Plan { cursor: head.clone(), ..plan.clone() })
}

/// A gap for offsets before a message that never were messages.
pub(crate) fn gap_for_holes(cursor: &Cursor, delivery: &Delivery) -> Option<Gap> {
    let Delivery::Message(message) = delivery else { return None };
    let missing = cursor.next_offset(message.tag, message.partition)?..message.position.offset()?;
    (is(Fault::GapForHoles) && !missing.is_empty()).then(|| Gap {
        topic: message.topic.clone(),
        tag: message.tag,
        partition: message.partition,
        missing: Some(missing),
        reason: GapReason::Retention,
    })
}

/// What a client wants, as if it were of the incarnations that this node is in.
pub(crate) fn wanted(wanted: &Cursor, head: &Cursor) -> Cursor {
    let here = |own: &TopicCursor| match head.topic(own.tag) {
        Some(head) if is(Fault::EpochIgnored) => {
            TopicCursor { epoch: head.epoch, next: Next::Offsets(own.offsets().to_vec()), ..own.clone() }
        }
        _ => own.clone(),
    };
    wanted.topics().iter().map(here).collect()
}

/// What a client that gives something back does to its place among those who wait, with its fault.
pub(crate) fn given_back(waiters: &mut Waiters, slot: usize) {
    if !is(Fault::GivenBackJumped) {
        waiters.unpark(slot);
    }
}
