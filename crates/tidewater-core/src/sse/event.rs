//! What a decoder hands out, and the bounds of what it holds.

use super::text::Utf8Bytes;

/// An event as a client's listener sees it.
///
/// Its texts share the chunk they came in wherever the chunk held their line whole; see [`Utf8Bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The `event` field, or `message`.
    pub event_type: Utf8Bytes,
    /// The `data` lines, joined by LF.
    pub data: Utf8Bytes,
    /// The id that was the last one when the event was dispatched: its own, or one set before. Empty means none.
    pub last_event_id: Utf8Bytes,
}

impl Event {
    /// The event with texts of its own, so that nothing keeps the chunk it came in.
    #[must_use]
    pub fn compact(&self) -> Self {
        Self {
            event_type: self.event_type.compact(),
            data: self.data.compact(),
            last_event_id: self.last_event_id.compact(),
        }
    }
}

/// An [`Event`] lent by the decoder: nothing is allocated or counted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventRef<'a> {
    /// See [`Event::event_type`].
    pub event_type: &'a str,
    /// See [`Event::data`].
    pub data: &'a str,
    /// See [`Event::last_event_id`].
    pub last_event_id: &'a str,
}

impl EventRef<'_> {
    /// A copy that can be kept, and shares nothing with the chunk it came in.
    pub fn to_event(&self) -> Event {
        Event {
            event_type: self.event_type.into(),
            data: self.data.into(),
            last_event_id: self.last_event_id.into(),
        }
    }
}

/// One thing that the stream said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Item {
    /// An event, at its blank line.
    Event(Event),
    /// A comment line: all that follows the colon, a leading space included.
    Comment(Utf8Bytes),
    /// The reconnection time was set, in milliseconds; at its line, before the event of its block.
    Retry(u64),
}

/// Bounds of what a [`Decoder`](super::Decoder) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest line, in bytes without its end. 16 MiB by default.
    pub max_line_bytes: usize,
    /// Most bytes of one event: its data (with a line end for every line), type and id together. 16 MiB by default.
    ///
    /// Counted as they came: bytes that are not UTF-8 grow to at most three times as many when they are replaced.
    pub max_event_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_line_bytes: 16 << 20, max_event_bytes: 16 << 20 }
    }
}
