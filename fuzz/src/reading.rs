//! What was read of a stream, whoever read it.

use tidewater_core::sse;

/// What a stream came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Events at their blank lines, comments and reconnection times at theirs.
    pub items: Vec<Item>,
    /// What the next request would send as `Last-Event-ID`.
    pub last_event_id: String,
    /// The reconnection time in milliseconds, once it was set.
    pub retry: Option<u64>,
}

/// One thing that a stream said: [`sse::Item`] with texts of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event {
        /// The `event` field, or `message`.
        event_type: String,
        /// The data lines, joined by LF.
        data: String,
        /// The last event id when it was dispatched.
        last_event_id: String,
    },
    /// A comment: all that follows the colon.
    Comment(String),
    /// The reconnection time, in milliseconds.
    Retry(u64),
}

impl From<sse::Item> for Item {
    fn from(item: sse::Item) -> Self {
        match item {
            sse::Item::Event(event) => event.into(),
            sse::Item::Comment(comment) => Self::Comment(comment.into()),
            sse::Item::Retry(millis) => Self::Retry(millis),
            other => panic!("an item that no check knows: {other:?}"),
        }
    }
}

impl From<sse::Event> for Item {
    fn from(event: sse::Event) -> Self {
        Self::Event {
            event_type: event.event_type.into(),
            data: event.data.into(),
            last_event_id: event.last_event_id.into(),
        }
    }
}
