//! The source that the suite's writers write from: message `n` is the `n / 2`-th of partition `n % 2`.

use std::ops::Range;

use bytes::Bytes;
use tidewater_core::{Cursor, EpochTag, Headers, Message, Next, Position, TopicCursor, TopicTag, Transfer};

use super::Failure;

/// A source with any number of messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    /// What its payloads begin with.
    name: &'static str,
    /// The least bytes of a payload.
    size: usize,
}

impl Feed {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, size: 0 }
    }

    pub(super) fn sized(name: &'static str, size: usize) -> Self {
        Self { name, size }
    }

    pub(super) fn message(self, n: usize) -> Message {
        let mut payload = format!("{} {n}", self.name).into_bytes();
        payload.resize(payload.len().max(self.size), b'.');
        self.carrying(n, Message::new("feed", payload))
    }

    /// That message in place of the `n`-th.
    pub(super) fn carrying(self, n: usize, message: Message) -> Message {
        Message {
            tag: self.tag(),
            partition: (n % 2) as u32,
            position: Position::Offset(n as u64 / 2),
            ..message
        }
    }

    pub(super) fn batch(self, range: Range<usize>) -> Vec<Transfer> {
        range.map(|n| Transfer { message: self.message(n), next: self.at(n + 1) }).collect()
    }

    /// Where the source is read from when `n` messages have been read.
    pub(super) fn at(self, n: usize) -> Cursor {
        let next = Next::Offsets(vec![n.div_ceil(2) as u64, n as u64 / 2]);
        [TopicCursor { tag: self.tag(), epoch: EpochTag(7), next }].into_iter().collect()
    }

    /// How many messages have been read at this cursor.
    pub(super) fn read(self, cursor: Option<&Cursor>) -> Result<usize, Failure> {
        let Some(cursor) = cursor else { return Ok(0) };
        let known = cursor.topic(self.tag()).map(|topic| topic.offset(0) + topic.offset(1));
        let n = known.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX / 2);
        if *cursor == self.at(n) {
            return Ok(n);
        }
        Err(format!("resuming told a cursor that was never written by {:?}: {cursor:?}", self.name).into())
    }

    fn tag(self) -> TopicTag {
        TopicTag::of("feed", self.name)
    }
}

/// A message with these headers.
pub(super) fn with_headers(payload: &'static str, headers: &[(&'static str, &'static str)]) -> Message {
    let headers: Headers =
        headers.iter().map(|(name, value)| (*name, Bytes::from_static(value.as_bytes()))).collect();
    Message::new("feed", payload).with_headers(headers)
}
