//! The decoder: chunks in, events out.

use bytes::Bytes;

use super::error::DecodeError;
use super::event::{Event, EventRef, Item, Limits};
use super::input::{Input, Read};
use super::parse::{Parser, Step};
use super::text::Utf8Bytes;

/// An incremental parser of event streams, exactly as WHATWG HTML §9.2.5 and §9.2.6 have it.
///
/// [`feed_bytes`](Decoder::feed_bytes) it what arrived, cut in any way, then take what that completed until there is no
/// more. At the end of the stream drop it: an unfinished block is no event.
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
/// Time is linear in the bytes fed. Memory is at most [`Limits`]: one unfinished line and one unfinished event (and the
/// last id), on top of the chunks that were fed and not yet read. Nothing of a chunk that is read is kept, but by the
/// events that were cut from it ([`Utf8Bytes`]).
#[derive(Debug)]
pub struct Decoder {
    input: Input,
    parser: Parser,
    failed: Option<DecodeError>,
    /// There may be something to read, or to fail with.
    ready: bool,
    /// How many bytes more the unfinished line takes as it is. Nothing waits to be read, if any.
    room: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_limits(Limits::default())
    }
}

impl Decoder {
    /// A decoder with the default [`Limits`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder with bounds of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { input: Input::default(), parser: Parser::new(limits), failed: None, ready: false, room: 0 }
    }

    /// Sets what an earlier connection left as its last event id: events carry it until the stream sets another.
    #[must_use]
    pub fn with_last_event_id(mut self, id: impl Into<Utf8Bytes>) -> Self {
        self.parser.set_last_event_id(id.into());
        self
    }

    /// Sets what an earlier connection left as its reconnection time, in milliseconds.
    #[must_use]
    pub fn with_retry(mut self, millis: Option<u64>) -> Self {
        self.parser.retry = millis;
        self
    }

    /// Gives it the next bytes of the stream, which are copied.
    ///
    /// Take everything that is complete before feeding more: what is not taken is kept.
    #[inline]
    pub fn feed(&mut self, chunk: &[u8]) {
        if chunk.len() <= DIRECT.min(self.room) && is_inside_line(chunk) {
            self.parser.hold_more(chunk);
            self.room -= chunk.len();
        } else if !self.feed_inside_line(chunk) {
            self.input.push_slice(chunk);
        }
    }

    /// [`feed`](Decoder::feed) without a copy, unless the chunk is very small: events are slices of it.
    #[inline]
    pub fn feed_bytes(&mut self, chunk: Bytes) {
        if chunk.len() <= DIRECT {
            self.feed(&chunk);
        } else if !self.feed_inside_line(&chunk) {
            self.input.push(chunk);
        }
    }

    /// The next event that is complete, or `None` until more is fed. Comments and `retry` lines are passed over.
    ///
    /// # Errors
    /// A line or an event past its limit. The decoder answers with that error from then on.
    #[inline(always)]
    pub fn next_event(&mut self) -> Result<Option<Event>, DecodeError> {
        match self.find_event() {
            Ok(true) => Ok(Some(self.parser.event())),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// [`next_event`](Decoder::next_event), lent until the decoder is used again.
    ///
    /// # Errors
    /// Those of [`next_event`](Decoder::next_event).
    #[inline(always)]
    pub fn next_event_ref(&mut self) -> Result<Option<EventRef<'_>>, DecodeError> {
        Ok(if self.find_event()? { Some(self.parser.event_ref()) } else { None })
    }

    /// The next item that is complete: an event, a comment, a change of the reconnection time.
    ///
    /// # Errors
    /// Those of [`next_event`](Decoder::next_event).
    pub fn next_item(&mut self) -> Result<Option<Item>, DecodeError> {
        Ok(self.step()?.map(|step| match step {
            Step::Event => Item::Event(self.parser.event()),
            Step::Comment => Item::Comment(self.parser.comment()),
            Step::Retry(millis) => Item::Retry(millis),
        }))
    }

    /// The last event id string: what to send as `Last-Event-ID` when connecting again. Empty means none.
    ///
    /// A blank line sets it, also one that ends a block without data; an unfinished block does not.
    pub fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
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
        (self.failed, self.ready, self.room) = (None, false, 0);
    }

    /// Whether a chunk is done with: one that neither begins nor ends a line, where nothing waits before it, goes
    /// straight to its line.
    fn feed_inside_line(&mut self, chunk: &[u8]) -> bool {
        if self.failed.is_some() {
            return true;
        }
        let direct = !self.ready && chunk.len() <= DIRECT && self.input.is_direct() && is_inside_line(chunk);
        if direct {
            match self.parser.hold(chunk) {
                Ok(()) => self.room = self.parser.room(),
                Err(error) => self.fail(error),
            }
        } else {
            (self.ready, self.room) = (true, 0);
        }
        direct
    }

    #[inline(always)]
    fn find_event(&mut self) -> Result<bool, DecodeError> {
        // Byte by byte there is nothing to read nearly always.
        if !self.ready {
            return Ok(false);
        }
        if self.parser.usual_event() {
            return Ok(true);
        }
        self.find_other_event()
    }

    #[inline(never)]
    fn find_other_event(&mut self) -> Result<bool, DecodeError> {
        loop {
            match self.step()? {
                None => return Ok(false),
                Some(Step::Event) => return Ok(true),
                Some(_) => {}
            }
        }
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Step>, DecodeError> {
        if !self.ready {
            return Ok(None);
        }
        self.read()
    }

    /// Reads on until something is complete or nothing is left to read.
    fn read(&mut self) -> Result<Option<Step>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.read_on() {
            Ok(None) => self.ready = false,
            Ok(Some(step)) => return Ok(Some(step)),
            Err(error) => {
                self.fail(error);
                return Err(error);
            }
        }
        Ok(None)
    }

    fn read_on(&mut self) -> Result<Option<Step>, DecodeError> {
        loop {
            if let Some(step) = self.parser.read_text()? {
                return Ok(Some(step));
            }
            match self.input.next(self.parser.wants_piece()) {
                None => return Ok(None),
                Some(Read::Text { text, first_end }) => {
                    self.parser.begin_text(text, first_end);
                    if self.parser.usual_event() {
                        return Ok(Some(Step::Event));
                    }
                }
                Some(Read::Piece { bytes, ended: false }) => self.parser.hold(bytes)?,
                Some(Read::Piece { bytes, ended: true }) => {
                    if let Some(step) = self.parser.end_line(bytes)? {
                        return Ok(Some(step));
                    }
                }
            }
        }
    }

    fn fail(&mut self, error: DecodeError) {
        self.restart();
        (self.failed, self.ready) = (Some(error), true);
    }
}

/// Chunks of at most so many bytes are looked at as they come.
const DIRECT: usize = 8;

#[inline]
fn is_inside_line(chunk: &[u8]) -> bool {
    !chunk.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_the_order_of_the_stream() {
        let mut decoder = Decoder::new();
        decoder.feed(b":hello\nretry: 20\ndata: x\nid: 1\n\n:bye\n");
        assert_eq!(decoder.next_item(), Ok(Some(Item::Comment("hello".into()))));
        assert_eq!(decoder.next_item(), Ok(Some(Item::Retry(20))));
        let event = Event { event_type: "message".into(), data: "x".into(), last_event_id: "1".into() };
        assert_eq!(decoder.next_item(), Ok(Some(Item::Event(event))));
        assert_eq!(decoder.next_item(), Ok(Some(Item::Comment("bye".into()))));
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
        assert_eq!((decoder.buffered(), decoder.input.is_direct(), decoder.last_event_id()), (0, true, "1"));
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

    #[test]
    fn texts_are_slices_of_the_chunk_and_the_chunk_can_go() {
        let block = "event: price\ndata: 12.50, which is more than before\nid: 42\n\n";
        let chunk = Bytes::from(block.repeat(4));
        let (held, mut decoder) = (chunk.clone(), Decoder::new());
        decoder.feed_bytes(chunk);
        let events: Vec<Event> = std::iter::from_fn(|| decoder.next_event().unwrap()).collect();
        assert_eq!(events.len(), 4);
        for event in &events[1..] {
            for text in [&event.event_type, &event.data, &event.last_event_id] {
                assert!(held.as_ptr_range().contains(&text.as_ptr()), "{text} was copied");
            }
        }
        drop(events);
        assert!(held.is_unique(), "the decoder keeps the chunk");
        assert_eq!(decoder.last_event_id(), "42");
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_the_rest_of_the_chunk_is_shared() {
        let good = "data: a line that is long enough to lie in a text of its own\n\n".repeat(3);
        let chunk = Bytes::from([good.as_bytes(), b"data: \xff\r\n\r\n", good.as_bytes()].concat());
        let (held, mut decoder) = (chunk.clone(), Decoder::new());
        decoder.feed_bytes(chunk);
        let events: Vec<Event> = std::iter::from_fn(|| decoder.next_event().unwrap()).collect();
        assert_eq!((events.len(), &*events[3].data), (7, "\u{fffd}"));
        assert!(held.as_ptr_range().contains(&events[1].data.as_ptr()));
        assert!(held.as_ptr_range().contains(&events[5].data.as_ptr()));
    }
}
