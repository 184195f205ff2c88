//! From messages to frames: the application's step, the event's name, and the bytes, once for all clients.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use tidewater_core::{
    Cursor, Delivery, EventFrom, Gap, GapReason, Message, Outgoing, PayloadMode, Result,
    payload::{BINARY_EVENT, TOMBSTONE_EVENT, is_reserved},
    sse::{EventName, encode_head_into},
};
use tokio::time::Instant;

use crate::{
    log::frame::{Anew, At, Batch, Facets, Frame, Kind},
    settings::MapFailure,
    wire::{self, Told},
};

/// The application's own step.
pub(crate) type Map = Arc<dyn Fn(&Message) -> Result<Option<Outgoing>> + Send + Sync>;

/// How a channel turns messages into frames.
pub(crate) struct Render {
    pub(crate) channel: Arc<str>,
    pub(crate) map: Option<Map>,
    pub(crate) on_failure: MapFailure,
    pub(crate) payload: PayloadMode,
    pub(crate) event: EventFrom,
    pub(crate) counts: Counts,
}

/// What went out otherwise than it came in.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) map_failures: AtomicU64,
    pub(crate) names_replaced: AtomicU64,
    pub(crate) binary: AtomicU64,
    binary_logged: AtomicBool,
}

impl Render {
    /// The frame of a message, its bytes appended to `out`. `cursor` is moved to after it.
    fn message(&self, message: &Message, out: &mut BytesMut, cursor: &mut Cursor) -> Frame {
        let at = At {
            tag: message.tag,
            epoch: cursor.epoch(message.tag),
            partition: message.partition,
            position: message.position.clone(),
        };
        let outgoing = match self.run_map(message) {
            Ok(Some(outgoing)) => outgoing,
            Ok(None) => {
                let kind = Kind::Skip(at);
                kind.apply(cursor);
                return Frame { kind, id_at: out.len(), end: out.len() };
            }
            Err(Failed) => return self.gap(failure(message), out, cursor),
        };
        let event = self.name(&outgoing);
        encode_head_into(out, event.as_ref(), outgoing.data.as_str());
        let facets = Facets {
            topic: Some(message.topic.clone()),
            key: message.key.clone(),
            event,
            tags: outgoing.tags,
        };
        self.close(Kind::Message(at, Arc::new(facets)), out, cursor)
    }

    fn gap(&self, gap: Gap, out: &mut BytesMut, cursor: &mut Cursor) -> Frame {
        wire::gap_head(out, &Told::gap(&gap));
        let epoch = cursor.epoch(gap.tag);
        self.close(Kind::Gap(Arc::new(gap), epoch), out, cursor)
    }

    fn close(&self, kind: Kind, out: &mut BytesMut, cursor: &mut Cursor) -> Frame {
        let id_at = out.len();
        kind.apply(cursor);
        #[cfg(test)]
        let cursor = &*crate::model::broken::id_of(&kind, cursor);
        wire::id(out, cursor);
        Frame { kind, id_at, end: out.len() }
    }

    /// The application's step; without one, the payload mode. A step that fails or panics is counted, and by the
    /// channel's choice leaves a gap or sends the message as it was.
    fn run_map(&self, message: &Message) -> Result<Option<Outgoing>, Failed> {
        let plain = || self.payload.render_with(message, &self.event);
        let Some(map) = &self.map else {
            let outgoing = plain();
            self.count_plain(message, &outgoing);
            return Ok(Some(outgoing));
        };
        let why = match catch_unwind(AssertUnwindSafe(|| map(message))) {
            Ok(Ok(outgoing)) => return Ok(outgoing),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        if self.counts.map_failures.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(
                channel = &*self.channel, topic = %message.topic, partition = message.partition,
                position = ?message.position, "the channel's map failed: {why} (told once, counted from now on)"
            );
        }
        match self.on_failure {
            MapFailure::AsIs => Ok(Some(plain())),
            MapFailure::Gap => Err(Failed),
        }
    }

    fn count_plain(&self, message: &Message, outgoing: &Outgoing) {
        if outgoing.event.as_deref() == Some(BINARY_EVENT) {
            self.counts.binary.fetch_add(1, Ordering::Relaxed);
            if !self.counts.binary_logged.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    channel = &*self.channel, topic = %message.topic, partition = message.partition,
                    position = ?message.position,
                    "a payload is not text and goes out in base64 as {BINARY_EVENT} (told once, counted from now on); \
                     choose the payload mode base64, or decode it in a map"
                );
            }
        }
    }

    /// The event's name, or none (`message`) in place of one that is illegal or reserved.
    fn name(&self, outgoing: &Outgoing) -> Option<EventName> {
        let name = outgoing.event.as_deref()?;
        let own = name == BINARY_EVENT || name == TOMBSTONE_EVENT;
        match EventName::new(name) {
            Ok(name) if own || !is_reserved(name.as_str()) => Some(name),
            _ => {
                self.counts.names_replaced.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

impl fmt::Debug for Render {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Render")
            .field("payload", &self.payload)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

struct Failed;

fn failure(message: &Message) -> Gap {
    Gap {
        topic: message.topic.clone(),
        tag: message.tag,
        partition: message.partition,
        missing: message.position.offset().map(|offset| offset..offset.saturating_add(1)),
        reason: GapReason::Map,
    }
}

/// Batches in the making, from deliveries in their order.
#[derive(Debug)]
pub(crate) struct Press {
    cursor: Cursor,
    open: Open,
    done: Vec<Pressed>,
}

/// What the deliveries became.
#[derive(Debug)]
pub(crate) enum Pressed {
    Batch(Batch),
    /// Positions moved without an entry.
    Progress(Cursor),
}

impl Pressed {
    /// The batch, if it is one.
    pub(crate) fn into_batch(self) -> Option<Batch> {
        match self {
            Self::Batch(batch) => Some(batch),
            Self::Progress(_) => None,
        }
    }
}

#[derive(Debug)]
struct Open {
    start: Arc<Cursor>,
    frames: Vec<Frame>,
    bytes: BytesMut,
}

impl Press {
    /// Goes on from a cursor.
    pub(crate) fn new(cursor: Cursor) -> Self {
        let start = Arc::new(cursor.clone());
        Self { cursor, open: Open { start, frames: Vec::new(), bytes: BytesMut::new() }, done: Vec::new() }
    }

    /// The cursor after everything so far.
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Adds a delivery. A batch ends at about `limit` bytes.
    pub(crate) fn add(&mut self, delivery: &Delivery, render: &Render, limit: usize) {
        let (out, cursor) = (&mut self.open.bytes, &mut self.cursor);
        #[cfg(test)]
        self.open.frames.extend(
            crate::model::broken::gap_for_holes(cursor, delivery).map(|gap| render.gap(gap, out, cursor)),
        );
        #[cfg(test)]
        let start = out.len();
        let frame = match delivery {
            Delivery::Message(message) => render.message(message, out, cursor),
            Delivery::Gap(gap) => render.gap(gap.clone(), out, cursor),
            Delivery::Epoch(new) => {
                wire::gap_head(out, &Told::epoch(new));
                let after = cursor.epoch(new.tag);
                render.close(Kind::Epoch(Arc::new(Anew { new: new.clone(), after })), out, cursor)
            }
            Delivery::Progress(to) => return self.progress(to),
        };
        #[cfg(test)]
        let frame = crate::model::broken::frame(frame, start, out);
        self.open.frames.push(frame);
        if self.open.bytes.len() >= limit {
            self.cut();
        }
    }

    /// Whether a batch is full.
    pub(crate) fn is_full(&self) -> bool {
        self.done.iter().any(|pressed| matches!(pressed, Pressed::Batch(_)))
    }

    /// Whether there is anything to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.frames.is_empty() && self.done.is_empty()
    }

    /// The batches that are full.
    pub(crate) fn take_full(&mut self) -> Vec<Pressed> {
        std::mem::take(&mut self.done)
    }

    /// What has become of the deliveries so far.
    pub(crate) fn take(&mut self) -> Vec<Pressed> {
        self.cut();
        std::mem::take(&mut self.done)
    }

    fn progress(&mut self, to: &Cursor) {
        self.cut();
        let before = self.cursor.clone();
        self.cursor.progress(to);
        if self.cursor != before {
            self.open.start = Arc::new(self.cursor.clone());
            self.done.push(Pressed::Progress(self.cursor.clone()));
        }
    }

    fn cut(&mut self) {
        if self.open.frames.is_empty() {
            return;
        }
        let end = Arc::new(self.cursor.clone());
        let start = std::mem::replace(&mut self.open.start, end.clone());
        let frames = std::mem::take(&mut self.open.frames).into();
        // Up to half of a buffer that has grown by doubling is empty, and the log counts what is full.
        let mut bytes = Vec::from(std::mem::take(&mut self.open.bytes));
        bytes.shrink_to_fit();
        let bytes = Bytes::from(bytes);
        self.done.push(Pressed::Batch(Batch::new(start, end, frames, bytes, Instant::now())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the log counts of a batch is what it takes.
    #[test]
    fn a_batch_holds_no_empty_bytes() {
        let render = Render {
            channel: "c".into(),
            map: None,
            on_failure: MapFailure::default(),
            payload: PayloadMode::default(),
            event: EventFrom::default(),
            counts: Counts::default(),
        };
        let mut press = Press::new(Cursor::default());
        for _ in 0..20 {
            press.add(&Delivery::Message(Message::new("t", "x".repeat(100))), &render, usize::MAX);
        }
        let Some(Pressed::Batch(batch)) = press.take().pop() else { panic!("no batch") };
        let length = batch.bytes.len();
        assert_eq!(batch.bytes.try_into_mut().unwrap().capacity(), length);
    }
}
