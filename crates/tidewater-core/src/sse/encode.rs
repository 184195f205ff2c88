//! The encoder: fields into lines, lines into a [`BytesMut`].

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr_iter, memchr2};

use super::error::{EncodeError, Field};
use super::name::{EventId, EventName, check_line};

/// One block of the stream: an event, a comment, a change of the reconnection time, or all of them.
///
/// Fields are written in the order comment, `retry`, `event`, `data`, `id`, then the blank line that ends the block.
/// A frame without `data` is no event: clients take its `id` (but not all of them do: Firefox discards the block)
/// and its `retry`, and dispatch nothing.
///
/// ```
/// use tidewater_core::sse::Frame;
///
/// assert_eq!(&Frame::new().data("").id("7").to_bytes()?[..], b"data:\nid: 7\n\n");
/// assert_eq!(&Frame::new().comment("still here").retry(3000).to_bytes()?[..], b": still here\nretry: 3000\n\n");
/// assert!(Frame::new().data("x").id("7\ndata: forged").to_bytes().is_err());
/// # Ok::<(), tidewater_core::sse::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame<'a> {
    comment: Option<&'a str>,
    retry: Option<u64>,
    event: Option<&'a EventName>,
    data: Option<&'a str>,
    id: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// A frame with nothing in it, which encodes to nothing.
    pub const fn new() -> Self {
        Self { comment: None, retry: None, event: None, data: None, id: None }
    }

    /// The event's type. [`EventName::MESSAGE`] is the default and is not written.
    #[must_use]
    pub const fn event(mut self, name: &'a EventName) -> Self {
        self.event = Some(name);
        self
    }

    /// The payload; may hold line ends, each of which a client reads as LF. Empty is an event with empty data.
    #[must_use]
    pub const fn data(mut self, data: &'a str) -> Self {
        self.data = Some(data);
        self
    }

    /// The id; checked when the frame is encoded. Empty makes the client forget its last one.
    #[must_use]
    pub const fn id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }

    /// The client's reconnection time in milliseconds, from now on.
    #[must_use]
    pub const fn retry(mut self, millis: u64) -> Self {
        self.retry = Some(millis);
        self
    }

    /// Text that clients ignore; each of its lines becomes a comment line.
    #[must_use]
    pub const fn comment(mut self, comment: &'a str) -> Self {
        self.comment = Some(comment);
        self
    }

    /// Appends the frame, its blank line included.
    ///
    /// # Errors
    /// An id that holds CR, LF or NUL; then nothing is written.
    pub fn encode_into(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        if *self == Self::new() {
            return Ok(());
        }
        self.encode_parts_into(out, |out| {
            if let Some(data) = self.data {
                encode_data_into(out, data);
            }
            Ok(())
        })
    }

    /// The frame in a buffer of its own.
    ///
    /// # Errors
    /// Those of [`Frame::encode_into`].
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::new();
        self.encode_into(&mut out)?;
        Ok(out.freeze())
    }

    /// Appends the frame with data that is written by whoever asks.
    pub(super) fn encode_parts_into<E: From<EncodeError>>(
        &self,
        out: &mut BytesMut,
        put_data: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(id) = self.id {
            check_line(Field::EventId, id)?;
        }
        out.reserve(self.len_of_one_line_each());
        if let Some(comment) = self.comment {
            encode_comment_into(out, comment);
        }
        if let Some(millis) = self.retry {
            encode_retry_into(out, millis);
        }
        if let Some(name) = self.event {
            encode_event_into(out, name);
        }
        put_data(out)?;
        if let Some(id) = self.id {
            put_id_line(out, id);
        }
        encode_end_into(out);
        Ok(())
    }

    /// Upper bound of the frame's length when neither data nor comment holds a line end.
    fn len_of_one_line_each(&self) -> usize {
        let line = |field: &str, text: Option<&str>| text.map_or(0, |text| field.len() + text.len() + 1);
        line(": ", self.comment)
            + self.retry.map_or(0, |_| "retry: \n".len() + MAX_DIGITS)
            + line("event: ", self.event.map(EventName::as_str))
            + line("data: ", self.data)
            + line("id: ", self.id)
            + 1
    }
}

/// Appends the head of an event, the lines that do not depend on who receives it: `event` and `data`.
///
/// The block is open until [`encode_id_into`] (or [`encode_end_into`]) follows.
///
/// ```
/// use bytes::BytesMut;
/// use tidewater_core::sse::{encode_head_into, encode_id_into};
///
/// let mut head = BytesMut::new();
/// encode_head_into(&mut head, None, "shared");
/// let mut own = head.clone();
/// encode_id_into(&mut own, "a1")?;
/// assert_eq!(&own[..], b"data: shared\nid: a1\n\n");
/// # Ok::<(), tidewater_core::sse::EncodeError>(())
/// ```
pub fn encode_head_into(out: &mut BytesMut, event: Option<&EventName>, data: &str) {
    out.reserve(
        event.map_or(0, |name| "event: \n".len() + name.as_str().len()) + "data: \n".len() + data.len(),
    );
    if let Some(name) = event {
        encode_event_into(out, name);
    }
    encode_data_into(out, data);
}

/// Appends the tail of an event: its `id` line and the blank line that ends the block.
///
/// # Errors
/// An id that holds CR, LF or NUL; then nothing is written.
pub fn encode_id_into(out: &mut BytesMut, id: &str) -> Result<(), EncodeError> {
    check_line(Field::EventId, id)?;
    put_tail(out, id);
    Ok(())
}

/// [`encode_id_into`] for an id that is checked already.
pub fn encode_event_id_into(out: &mut BytesMut, id: &EventId) {
    put_tail(out, id.as_str());
}

/// Appends the blank line that ends a block.
pub fn encode_end_into(out: &mut BytesMut) {
    out.extend_from_slice(b"\n");
}

/// Appends the `event` line; nothing for [`EventName::MESSAGE`].
pub fn encode_event_into(out: &mut BytesMut, name: &EventName) {
    if *name != EventName::MESSAGE {
        put_line(out, b"event: ", name.as_str().as_bytes());
    }
}

/// Appends the payload as `data` lines: CR, LF and CRLF each end one.
///
/// Always with the space after the colon, so that a line that begins with one keeps it; but an empty line is `data:`.
/// A payload that ends with a line end keeps it: the last line is empty then.
pub fn encode_data_into(out: &mut BytesMut, data: &str) {
    put_lines(out, b"data: ", data.as_bytes());
}

/// Appends comment lines, one for each line of the text. The block stays open.
///
/// A parser that reports comments reports them with the space that is written after the colon.
pub fn encode_comment_into(out: &mut BytesMut, comment: &str) {
    put_lines(out, b": ", comment.as_bytes());
}

/// Appends the `retry` line: the client's reconnection time in milliseconds. The block stays open.
///
/// Never send less than 500: at 0, Chromium reconnects in a hot loop.
pub fn encode_retry_into(out: &mut BytesMut, millis: u64) {
    put_line(out, b"retry: ", millis.to_string().as_bytes());
}

/// The digits of `u64::MAX`.
const MAX_DIGITS: usize = 20;

fn put_tail(out: &mut BytesMut, id: &str) {
    out.reserve("id: \n\n".len() + id.len());
    put_id_line(out, id);
    encode_end_into(out);
}

fn put_id_line(out: &mut BytesMut, id: &str) {
    put_line(out, if id.is_empty() { b"id:" } else { b"id: " }, id.as_bytes());
}

fn put_line(out: &mut BytesMut, field: &[u8], text: &[u8]) {
    out.extend_from_slice(field);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\n");
}

/// Every line of a text, by the line ends that an SSE parser knows, behind a field's name, colon and space; an empty
/// line goes without the space. A text without a line end is one line.
pub(super) fn put_lines<const N: usize>(out: &mut BytesMut, field: &[u8; N], text: &[u8]) {
    // Exact for the usual text of one line; one with more lines lets the buffer grow as it must.
    out.reserve(N + text.len() + 1);
    let mut rest = text;
    let several = memchr2(b'\n', b'\r', text).is_some();
    if several && memchr(b'\r', text).is_none() {
        // LF alone, as in nearly all texts of several lines: a search for one byte is faster than one for two.
        let mut at = 0;
        for end in memchr_iter(b'\n', text) {
            put_field(out, field, at == end);
            // The line and its end.
            out.extend_from_slice(&text[at..=end]);
            at = end + 1;
        }
        rest = &text[at..];
    } else if several {
        while let Some(end) = memchr2(b'\n', b'\r', rest) {
            put_line_of(out, field, &rest[..end]);
            let width = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
            rest = &rest[end + width..];
        }
    }
    put_line_of(out, field, rest);
}

#[inline]
fn put_line_of<const N: usize>(out: &mut BytesMut, field: &[u8; N], line: &[u8]) {
    put_field(out, field, line.is_empty());
    out.extend_from_slice(line);
    out.extend_from_slice(b"\n");
}

/// Two copies of a known size, and not one of either.
#[inline]
fn put_field<const N: usize>(out: &mut BytesMut, field: &[u8; N], before_nothing: bool) {
    if before_nothing {
        out.extend_from_slice(&field[..N - 1]);
    } else {
        out.extend_from_slice(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> String {
        String::from_utf8(Frame::new().data(text).to_bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn every_line_end_ends_a_data_line() {
        assert_eq!(data("a\nb\rc\r\nd\n\re"), "data: a\ndata: b\ndata: c\ndata: d\ndata:\ndata: e\n\n");
        assert_eq!(data("a\n"), "data: a\ndata:\n\n");
        assert_eq!(data("\r\n"), "data:\ndata:\n\n");
    }

    #[test]
    fn the_space_is_always_written_but_for_nothing() {
        assert_eq!(data(" x"), "data:  x\n\n");
        assert_eq!(data(":x"), "data: :x\n\n");
        assert_eq!(data(""), "data:\n\n");
    }

    #[test]
    fn the_default_name_is_left_out() {
        let parsed = EventName::new("message").unwrap();
        assert_eq!(&Frame::new().event(&parsed).data("x").to_bytes().unwrap()[..], b"data: x\n\n");
        let other = EventName::new("Message").unwrap();
        assert_eq!(
            &Frame::new().event(&other).data("x").to_bytes().unwrap()[..],
            b"event: Message\ndata: x\n\n"
        );
    }

    #[test]
    fn a_refused_frame_writes_nothing() {
        let mut out = BytesMut::from(&b"before"[..]);
        let refused = Frame::new().comment("c").data("d").id("1\0").encode_into(&mut out);
        assert_eq!(refused, Err(EncodeError::ForbiddenByte { field: Field::EventId, byte: 0, at: 1 }));
        assert!(encode_id_into(&mut out, "a\r").is_err());
        assert_eq!(&out[..], b"before");
    }

    #[test]
    fn an_empty_frame_is_nothing_and_an_empty_id_is_a_line() {
        assert!(Frame::new().to_bytes().unwrap().is_empty());
        assert_eq!(&Frame::new().id("").data("d").to_bytes().unwrap()[..], b"data: d\nid:\n\n");
    }

    #[test]
    fn head_and_tail_are_the_frame() {
        let name = EventName::from_static("n");
        let mut parts = BytesMut::new();
        encode_head_into(&mut parts, Some(&name), "x\ny");
        encode_id_into(&mut parts, "7").unwrap();
        let whole = Frame::new().event(&name).data("x\ny").id("7").to_bytes().unwrap();
        assert_eq!(parts, whole);

        let mut checked = BytesMut::new();
        encode_head_into(&mut checked, Some(&name), "x\ny");
        encode_event_id_into(&mut checked, &EventId::from_static("7"));
        assert_eq!(checked, whole);
    }

    #[test]
    fn a_payload_of_one_line_takes_one_reservation() {
        let name = EventName::from_static("tick");
        let payload = "x".repeat(1000);
        let frame = Frame::new().event(&name).data(&payload).id("1").retry(u64::MAX).comment("c");
        let encoded = frame.to_bytes().unwrap();
        assert_eq!(encoded.len(), frame.len_of_one_line_each());
        assert!(encoded.starts_with(b": c\nretry: 18446744073709551615\nevent: tick\ndata: xxx"));
    }
}
