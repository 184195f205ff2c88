//! The decoder: chunks in, events out.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::error::DecodeError;
use super::parse::{Parser, Step};

/// An incremental parser of event streams, exactly as WHATWG HTML §9.2.5 and §9.2.6 have it.
///
/// [`feed`](Decoder::feed) it what arrived, cut in any way, then take what that completed until there is no more.
/// At the end of the stream drop it: an unfinished block is no event.
///
/// ```
/// use tidewater_core::sse::Decoder;
///
/// let mut decoder = Decoder::new();
/// decoder.feed(b"event: greeting\ndata: hel");
/// assert_eq!(decoder.next_event()?, None);
/// decoder.feed(b"lo\nid: 1\n\n");
/// let event = decoder.next_event()?.expect("complete now");
/// assert_eq!((&*event.event_type, &*event.data), ("greeting", "hello"));
/// assert_eq!(decoder.last_event_id(), "1");
/// # Ok::<(), tidewater_core::sse::DecodeError>(())
/// ```
///
/// Time is linear in the bytes fed. Memory is at most [`Limits`]: one unfinished line and one unfinished event
/// (and the last id), on top of the chunks that were fed and not yet read.
#[derive(Debug, Default)]
pub struct Decoder {
    parser: Parser,
    input: VecDeque<Bytes>,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// A decoder with the default [`Limits`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder with bounds of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { parser: Parser::new(limits), ..Self::default() }
    }

    /// Sets what an earlier connection left as its last event id: events carry it until the stream sets another.
    #[must_use]
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.parser.last_event_id = id.into();
        self
    }

    /// Sets what an earlier connection left as its reconnection time, in milliseconds.
    #[must_use]
    pub fn with_retry(mut self, millis: Option<u64>) -> Self {
        self.parser.retry = millis;
        self
    }

    /// Gives it the next bytes of the stream (a copy of them).
    ///
    /// Take everything that is complete before feeding more: what is not taken is kept.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.feed_bytes(Bytes::copy_from_slice(chunk));
    }

    /// [`feed`](Decoder::feed) without the copy.
    pub fn feed_bytes(&mut self, chunk: Bytes) {
        if self.failed.is_none() && !chunk.is_empty() {
            self.input.push_back(chunk);
        }
    }

    /// The next event that is complete, or `None` until more is fed. Comments and `retry` lines are passed over.
    ///
    /// # Errors
    /// A line or an event past its limit. The decoder answers with that error from then on.
    pub fn next_event(&mut self) -> Result<Option<Event>, DecodeError> {
        loop {
            match self.step()? {
                None => return Ok(None),
                Some(Step::Event) => return Ok(Some(self.take_event())),
                Some(Step::Comment | Step::Retry(_)) => {}
            }
        }
    }

    /// The next item that is complete, lent from the decoder's own buffers: nothing is allocated for it.
    ///
    /// # Errors
    /// Those of [`next_event`](Decoder::next_event).
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, DecodeError> {
        Ok(self.step()?.map(|step| match step {
            Step::Event => Item::Event(EventRef {
                event_type: if self.parser.event_type.is_empty() {
                    DEFAULT_TYPE
                } else {
                    &self.parser.event_type
                },
                data: &self.parser.text,
                last_event_id: &self.parser.last_event_id,
            }),
            Step::Comment => Item::Comment(&self.parser.text),
            Step::Retry(millis) => Item::Retry(millis),
        }))
    }

    /// The last event id string: what to send as `Last-Event-ID` when connecting again. Empty means none.
    ///
    /// A blank line sets it, also one that ends a block without data; an unfinished block does not.
    pub fn last_event_id(&self) -> &str {
        &self.parser.last_event_id
    }

    /// The reconnection time in milliseconds, once the stream has set one. A number too large to hold is `u64::MAX`.
    pub fn retry(&self) -> Option<u64> {
        self.parser.retry
    }

    /// Bytes held of the unfinished line and the unfinished event: never more than both limits together.
    pub fn buffered(&self) -> usize {
        self.parser.buffered()
    }

    /// Makes it ready for the client's next connection: the last event id, the reconnection time and the limits
    /// stay, an unfinished block and unread input are dropped, an error is forgotten.
    pub fn restart(&mut self) {
        self.parser.restart();
        self.input.clear();
        self.failed = None;
    }

    fn step(&mut self) -> Result<Option<Step>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            // An event that was lent out is given back even when there is nothing to read.
            let Some(chunk) = self.input.front_mut() else { return self.parser.step(&mut &[][..]) };
            let mut rest: &[u8] = chunk;
            match self.parser.step(&mut rest) {
                Ok(step) => {
                    let read = chunk.len() - rest.len();
                    chunk.advance(read);
                    if chunk.is_empty() {
                        self.input.pop_front();
                    }
                    if step.is_some() {
                        return Ok(step);
                    }
                }
                Err(error) => {
                    self.restart();
                    self.failed = Some(error);
                    return Err(error);
                }
            }
        }
    }

    fn take_event(&mut self) -> Event {
        let event_type = match std::mem::take(&mut self.parser.event_type) {
            name if name.is_empty() => Cow::Borrowed(DEFAULT_TYPE),
            name => Cow::Owned(name),
        };
        let data = std::mem::take(&mut self.parser.text);
        Event { event_type, data, last_event_id: self.parser.last_event_id.clone() }
    }
}

/// An event as a client's listener sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The `event` field, or `message`.
    pub event_type: Cow<'static, str>,
    /// The `data` lines, joined by LF.
    pub data: String,
    /// The id that was the last one when the event was dispatched: its own, or one set before. Empty means none.
    pub last_event_id: String,
}

/// An [`Event`] lent by the decoder.
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
    /// A copy that can be kept.
    pub fn to_event(&self) -> Event {
        let event_type = match self.event_type {
            DEFAULT_TYPE => Cow::Borrowed(DEFAULT_TYPE),
            name => Cow::Owned(name.to_owned()),
        };
        Event { event_type, data: self.data.to_owned(), last_event_id: self.last_event_id.to_owned() }
    }
}

/// One thing that the stream said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Item<'a> {
    /// An event, at its blank line.
    Event(EventRef<'a>),
    /// A comment line: all that follows the colon, a leading space included.
    Comment(&'a str),
    /// The reconnection time was set, in milliseconds; at its line, before the event of its block.
    Retry(u64),
}

/// Bounds of what a [`Decoder`] holds.
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

const DEFAULT_TYPE: &str = "message";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_the_order_of_the_stream() {
        let mut decoder = Decoder::new();
        decoder.feed(b":hello\nretry: 20\ndata: x\nid: 1\n\n:bye\n");
        assert_eq!(decoder.next_item(), Ok(Some(Item::Comment("hello"))));
        assert_eq!(decoder.next_item(), Ok(Some(Item::Retry(20))));
        let event = EventRef { event_type: "message", data: "x", last_event_id: "1" };
        assert_eq!(decoder.next_item(), Ok(Some(Item::Event(event))));
        assert_eq!(decoder.next_item(), Ok(Some(Item::Comment("bye"))));
        assert_eq!(decoder.next_item(), Ok(None));
    }

    #[test]
    fn several_chunks_may_wait() {
        let mut decoder = Decoder::new();
        for chunk in ["da", "ta: a\n", "\nda", "", "ta: b\n\n"] {
            decoder.feed(chunk.as_bytes());
        }
        assert_eq!(decoder.next_event().unwrap().unwrap().data, "a");
        assert_eq!(decoder.next_event().unwrap().unwrap().data, "b");
        assert_eq!(decoder.next_event(), Ok(None));
    }

    #[test]
    fn a_line_may_be_as_long_as_its_limit_and_no_longer() {
        let limits = Limits { max_line_bytes: 8, max_event_bytes: 100 };
        let mut decoder = Decoder::with_limits(limits);
        decoder.feed(b"data: ab\r\n\r\n");
        assert_eq!(decoder.next_event().unwrap().unwrap().data, "ab");
        decoder.feed(b"data: a");
        assert_eq!(decoder.next_event(), Ok(None));
        decoder.feed(b"bc");
        assert_eq!(decoder.next_event(), Err(DecodeError::LineTooLong { limit: 8 }));
    }

    #[test]
    fn an_event_may_be_as_long_as_its_limit_and_no_longer() {
        let limits = Limits { max_line_bytes: 100, max_event_bytes: 8 };
        let mut decoder = Decoder::with_limits(limits);
        // Data "abc\nd\n" and the id "i" and the type "t": 8 bytes.
        decoder.feed(b"data: abc\nid: i\nevent: t\ndata: d\n\n");
        assert_eq!(decoder.next_event().unwrap().unwrap().data, "abc\nd");
        decoder.feed(b"data: abc\nid: i\nevent: t\ndata: de\n\n");
        assert_eq!(decoder.next_event(), Err(DecodeError::EventTooLong { limit: 8 }));
    }

    #[test]
    fn a_failed_decoder_stays_failed_and_holds_nothing() {
        let mut decoder = Decoder::with_limits(Limits { max_line_bytes: 9, max_event_bytes: 9 });
        decoder.feed(b"id: 1\ndata: x\n\nwhat is this\ndata: y\n\n");
        assert_eq!(decoder.next_event().unwrap().unwrap().data, "x");
        let error = Err(DecodeError::LineTooLong { limit: 9 });
        assert_eq!(decoder.next_event(), error);
        decoder.feed(b"\n\ndata: z\n\n");
        assert_eq!(decoder.next_event(), error);
        assert_eq!((decoder.buffered(), decoder.input.len(), decoder.last_event_id()), (0, 0, "1"));
        decoder.restart();
        decoder.feed(b"data: z\n\n");
        assert_eq!(decoder.next_event().unwrap().unwrap().last_event_id, "1");
    }

    #[test]
    fn a_restart_drops_the_unfinished_and_keeps_the_id() {
        let mut decoder = Decoder::new();
        decoder.feed(b"retry: 7\nid: 1\ndata: a\n\nid: 2\nevent: e\ndata: lost\r");
        assert_eq!(decoder.next_event().unwrap().unwrap().last_event_id, "1");
        assert_eq!(decoder.next_event(), Ok(None));
        decoder.restart();
        assert_eq!((decoder.last_event_id(), decoder.retry(), decoder.buffered()), ("1", Some(7), 0));
        decoder.feed("\u{feff}\ndata: b\n\n".as_bytes());
        let event = Event { event_type: "message".into(), data: "b".into(), last_event_id: "1".into() };
        assert_eq!(decoder.next_event(), Ok(Some(event)));
    }
}
