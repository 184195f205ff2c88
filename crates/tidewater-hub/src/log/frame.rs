//! One entry of the log, and the batches that entries lie in.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use tidewater_core::{Cursor, EpochTag, Gap, NewEpoch, Position, TopicName, TopicTag, sse::EventName};
use tokio::time::Instant;

use crate::encoding::packed::Packed;

/// One entry: what it does to a cursor, and where its bytes end.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Where the `id` line starts, in the bytes of its batch.
    pub(crate) id_at: usize,
    /// Where the frame ends.
    pub(crate) end: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A message.
    Message(At, Arc<Facets>),
    /// A message that the application's step leaves out: it moves cursors and has no bytes.
    Skip(At),
    /// Something is missing.
    Gap(Arc<Gap>, EpochTag),
    /// A topic was made anew.
    Epoch(Arc<Anew>),
}

/// A topic's new incarnation, and the one that it follows on this node.
#[derive(Clone, Debug)]
pub(crate) struct Anew {
    pub(crate) new: NewEpoch,
    pub(crate) after: EpochTag,
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) tag: TopicTag,
    pub(crate) epoch: EpochTag,
    pub(crate) partition: u32,
    pub(crate) position: Position,
}

/// What selection looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facets {
    pub(crate) topic: Option<TopicName>,
    pub(crate) key: Option<Bytes>,
    pub(crate) event: Option<EventName>,
    pub(crate) tags: Vec<Box<str>>,
}

impl Frame {
    /// Whether it is a message, and not left out.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message(..))
    }
}

impl Kind {
    /// Roughly the memory behind it.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Message(_, facets) => {
                let key = facets.key.as_ref().map_or(0, Bytes::len);
                size_of::<Facets>()
                    + key
                    + facets.tags.iter().map(|tag| size_of::<Box<str>>() + tag.len()).sum::<usize>()
            }
            Self::Skip(_) => 0,
            Self::Gap(..) => size_of::<Gap>(),
            Self::Epoch(anew) => size_of::<Anew>() + size_of_val(&*anew.new.start),
        }
    }

    /// Moves a cursor to after this entry.
    pub(crate) fn apply(&self, cursor: &mut Cursor) {
        match self {
            Self::Message(at, _) | Self::Skip(at) => {
                cursor.advance(at.tag, at.epoch, at.partition, &at.position)
            }
            Self::Gap(gap, epoch) => {
                if let Some(missing) = &gap.missing {
                    cursor.raise(gap.tag, *epoch, gap.partition, missing.end);
                }
            }
            Self::Epoch(anew) => cursor.set(anew.new.cursor()),
        }
    }
}

/// Entries that were appended together. Their bytes lie in one piece.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The number of the first entry in the channel's order.
    pub(crate) first: u64,
    /// The node's cursor before the first entry.
    pub(crate) start: Arc<Cursor>,
    /// The node's cursor after the last.
    pub(crate) end: Arc<Cursor>,
    pub(crate) frames: Box<[Frame]>,
    /// How many entries are no messages, or are left out.
    pub(crate) others: usize,
    pub(crate) bytes: Bytes,
    /// When it was appended.
    pub(crate) at: Instant,
    /// What the bytes become when they are compressed.
    pub(crate) packed: Packed,
}

impl Batch {
    /// Entries that follow each other, and their bytes.
    pub(crate) fn new(
        start: Arc<Cursor>,
        end: Arc<Cursor>,
        frames: Box<[Frame]>,
        bytes: Bytes,
        at: Instant,
    ) -> Self {
        let others = frames.iter().filter(|frame| !frame.is_message()).count();
        Self { first: 0, start, end, frames, others, bytes, at, packed: Packed::default() }
    }

    /// How many of these entries are messages.
    pub(crate) fn messages(&self, entries: Range<usize>) -> usize {
        if self.others == 0 {
            return entries.len();
        }
        self.frames[entries].iter().filter(|frame| frame.is_message()).count()
    }

    /// The number of the entry after the last.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// Where the bytes of the entry at `index` start.
    pub(crate) fn offset(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.frames[before].end)
    }

    /// Where the bytes of these entries lie.
    pub(crate) fn range(&self, entries: Range<usize>) -> Range<usize> {
        self.offset(entries.start)..self.offset(entries.end)
    }

    /// The node's cursor before the entry at `index`.
    pub(crate) fn cursor_at(&self, index: usize) -> Cursor {
        let mut cursor = (*self.start).clone();
        for frame in &self.frames[..index] {
            frame.kind.apply(&mut cursor);
        }
        cursor
    }

    /// Roughly the memory it takes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
            + self.frames.iter().map(|frame| size_of::<Frame>() + frame.kind.size()).sum::<usize>()
    }

    /// Several that follow each other, as one.
    pub(crate) fn merged(batches: &[Arc<Batch>]) -> Option<Batch> {
        let (first, last) = (batches.first()?, batches.last()?);
        let mut bytes = BytesMut::with_capacity(batches.iter().map(|batch| batch.bytes.len()).sum());
        let mut frames = Vec::with_capacity(batches.iter().map(|batch| batch.frames.len()).sum());
        for batch in batches {
            let base = bytes.len();
            bytes.extend_from_slice(&batch.bytes);
            frames.extend(batch.frames.iter().map(|frame| Frame {
                kind: frame.kind.clone(),
                id_at: base + frame.id_at,
                end: base + frame.end,
            }));
        }
        Some(Batch {
            first: first.first,
            start: first.start.clone(),
            end: last.end.clone(),
            frames: frames.into(),
            others: batches.iter().map(|batch| batch.others).sum(),
            bytes: bytes.freeze(),
            at: first.at,
            packed: Packed::of(batches.iter().map(|batch| (&batch.packed, batch.frames.len(), &batch.end))),
        })
    }
}
