//! The state machine under [`Decoder`](super::Decoder): WHATWG HTML §9.2.5 and §9.2.6 over slices.
//!
//! A line that lies whole in a chunk is read in place. One that is cut by the chunk's end is held in `line`,
//! but for the value of a `data` field, which goes straight to where it is needed: no byte is looked at twice
//! for a line end, and a large payload is copied once.
//!
//! Bytes are kept as they came and turned into text a value at a time. That is the same as decoding
//! the stream first, as the standard has it: line ends and the colon are ASCII, and no ill-formed sequence
//! reaches over an ASCII byte.

use memchr::{memchr, memchr2};

use super::decode::Limits;
use super::error::DecodeError;

/// What a step came to. The parts of it are in the parser until the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `event_type`, `text` (the data) and `last_event_id` are an event.
    Event,
    /// `text` is a comment.
    Comment,
    /// `retry` was set to this.
    Retry(u64),
}

#[derive(Debug, Default)]
pub(super) struct Parser {
    limits: Limits,

    /// The last event id *string*: what a blank line made of the id buffer.
    pub(super) last_event_id: String,
    /// The reconnection time in milliseconds, once the stream has set one.
    pub(super) retry: Option<u64>,

    /// The event type buffer.
    pub(super) event_type: String,
    /// The data buffer, raw: each line of it followed by LF.
    data: Vec<u8>,
    /// The id buffer, where this block has set one.
    id: Option<String>,
    /// What the last step delivers: an event's data, or a comment.
    pub(super) text: String,
    delivered: Option<Step>,

    /// The unfinished line; empty while `in_data` is set.
    line: Vec<u8>,
    /// The unfinished line is a `data` field and its value is at the end of `data`.
    in_data: bool,
    /// Length of the unfinished line so far.
    line_bytes: usize,
    /// The last line ended with CR: an LF that comes next belongs to it.
    after_cr: bool,
    /// The first line has ended, so a byte order mark is no longer special.
    past_first_line: bool,
}

impl Parser {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A parser for the next connection of the same client: only the last id and the reconnection time live on.
    pub(super) fn restart(&mut self) {
        *self = Self {
            limits: self.limits,
            last_event_id: std::mem::take(&mut self.last_event_id),
            retry: self.retry,
            ..Self::default()
        };
    }

    /// Bytes held of what is not finished yet.
    pub(super) fn buffered(&self) -> usize {
        self.line.len() + self.event_bytes()
    }

    /// Reads on until something is complete or the input is used up; leaves in `input` what is not read.
    pub(super) fn step(&mut self, input: &mut &[u8]) -> Result<Option<Step>, DecodeError> {
        self.forget_delivered();
        loop {
            if self.after_cr {
                match input.split_first() {
                    None => return Ok(None),
                    Some((b'\n', rest)) => *input = rest,
                    Some(_) => {}
                }
                self.after_cr = false;
            }
            let Some(end) = memchr2(b'\n', b'\r', input) else {
                self.hold(input)?;
                *input = &[];
                return Ok(None);
            };
            let (piece, rest) = input.split_at(end);
            self.after_cr = rest[0] == b'\r';
            *input = &rest[1..];
            if let Some(step) = self.end_line(piece)? {
                self.delivered = Some(step);
                return Ok(Some(step));
            }
        }
    }

    /// Drops what the last step delivered; the buffer of an event's data serves the next event.
    fn forget_delivered(&mut self) {
        match self.delivered.take() {
            None | Some(Step::Retry(_)) => {}
            Some(Step::Comment) => self.text = String::new(),
            Some(Step::Event) => {
                self.event_type.clear();
                self.data = std::mem::take(&mut self.text).into_bytes();
                self.data.clear();
            }
        }
    }

    /// The chunk ended inside a line: keeps the piece.
    fn hold(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        self.count_line_bytes(piece.len())?;
        if self.in_data {
            return self.push_data(piece);
        }
        extend_bounded(&mut self.line, piece, self.limits.max_line_bytes);
        // One byte of the value must be there to tell the optional space from the value itself.
        let line = strip_bom(&self.line, self.past_first_line);
        if let Some(value) = line.strip_prefix(b"data:")
            && !value.is_empty()
        {
            let line = std::mem::take(&mut self.line);
            let start = line.len() - value_of(value_after_colon(&line)).len();
            self.in_data = true;
            self.push_data(&line[start..])?;
        }
        Ok(())
    }

    /// A line is complete with this piece.
    fn end_line(&mut self, piece: &[u8]) -> Result<Option<Step>, DecodeError> {
        self.count_line_bytes(piece.len())?;
        self.line_bytes = 0;
        if self.in_data {
            self.in_data = false;
            self.past_first_line = true;
            self.push_data(piece)?;
            return self.push_data(b"\n").map(|()| None);
        }
        if self.line.is_empty() {
            return self.whole_line(piece);
        }
        extend_bounded(&mut self.line, piece, self.limits.max_line_bytes);
        let mut line = std::mem::take(&mut self.line);
        let step = self.whole_line(&line);
        line.clear();
        self.line = line;
        step
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<Option<Step>, DecodeError> {
        let line = strip_bom(line, self.past_first_line);
        self.past_first_line = true;
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        // By far the most common line, told apart without looking for its colon.
        if let Some(value) = line.strip_prefix(b"data:") {
            return self.data_line(value_of(value)).map(|()| None);
        }
        match memchr(b':', line) {
            Some(0) => {
                self.text = String::from_utf8_lossy(&line[1..]).into_owned();
                Ok(Some(Step::Comment))
            }
            Some(colon) => self.field(&line[..colon], value_of(&line[colon + 1..])),
            None => self.field(line, b""),
        }
    }

    /// §9.2.6, "process the field".
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<Option<Step>, DecodeError> {
        match name {
            b"data" => self.data_line(value)?,
            b"event" => {
                self.event_type.clear();
                self.event_type.push_str(&String::from_utf8_lossy(value));
                self.check_event_bytes(0)?;
            }
            b"id" if memchr(0, value).is_none() => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
                self.check_event_bytes(0)?;
            }
            b"retry" => {
                if let Some(millis) = decimal(value) {
                    self.retry = Some(millis);
                    return Ok(Some(Step::Retry(millis)));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn data_line(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        self.check_event_bytes(value.len() + 1)?;
        reserve_bounded(&mut self.data, value.len() + 1, self.limits.max_event_bytes);
        self.data.extend_from_slice(value);
        self.data.push(b'\n');
        Ok(())
    }

    fn push_data(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        self.check_event_bytes(piece.len())?;
        extend_bounded(&mut self.data, piece, self.limits.max_event_bytes);
        Ok(())
    }

    /// §9.2.6, "dispatch the event".
    fn dispatch(&mut self) -> Option<Step> {
        if let Some(id) = self.id.take() {
            self.last_event_id = id;
        }
        if self.data.pop().is_none() {
            self.event_type.clear();
            return None;
        }
        self.text = into_text(std::mem::take(&mut self.data));
        Some(Step::Event)
    }

    fn count_line_bytes(&mut self, more: usize) -> Result<(), DecodeError> {
        let limit = self.limits.max_line_bytes;
        self.line_bytes = self.line_bytes.saturating_add(more);
        if self.line_bytes > limit { Err(DecodeError::LineTooLong { limit }) } else { Ok(()) }
    }

    fn check_event_bytes(&self, more: usize) -> Result<(), DecodeError> {
        let limit = self.limits.max_event_bytes;
        if self.event_bytes().saturating_add(more) > limit {
            Err(DecodeError::EventTooLong { limit })
        } else {
            Ok(())
        }
    }

    fn event_bytes(&self) -> usize {
        self.data.len() + self.event_type.len() + self.id.as_ref().map_or(0, String::len)
    }
}

/// §9.2.5: one leading byte order mark is ignored.
fn strip_bom(line: &[u8], past_first_line: bool) -> &[u8] {
    const BOM: &[u8] = "\u{feff}".as_bytes();
    if past_first_line { line } else { line.strip_prefix(BOM).unwrap_or(line) }
}

/// What follows the first colon, the optional space included.
fn value_after_colon(line: &[u8]) -> &[u8] {
    memchr(b':', line).map_or(&[], |colon| &line[colon + 1..])
}

/// A field's value: one leading space is not part of it.
fn value_of(after_colon: &[u8]) -> &[u8] {
    after_colon.strip_prefix(b" ").unwrap_or(after_colon)
}

/// A value of ASCII digits only; what does not fit is the largest number.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

/// UTF-8 decode with replacement; text that is well formed keeps its buffer.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn extend_bounded(buffer: &mut Vec<u8>, more: &[u8], limit: usize) {
    reserve_bounded(buffer, more.len(), limit);
    buffer.extend_from_slice(more);
}

/// Doubles as `Vec` does, but not past the limit: a bound of memory is one of capacity, not only of length.
fn reserve_bounded(buffer: &mut Vec<u8>, more: usize, limit: usize) {
    if buffer.capacity() - buffer.len() < more {
        let doubled = buffer.capacity().saturating_mul(2).min(limit);
        let wanted = doubled.max(buffer.len() + more);
        buffer.reserve_exact(wanted - buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_by_doubling_and_stop_at_the_limit() {
        let mut parser = Parser::new(Limits { max_line_bytes: 100_000, max_event_bytes: 70_000 });
        let mut grown = 0;
        let mut capacity = 0;
        for _ in 0..70_000 - 1 {
            let mut input: &[u8] = if parser.in_data { b"x" } else { b"data:x" };
            assert_eq!(parser.step(&mut input), Ok(None));
            assert!(parser.data.capacity() <= 70_000);
            grown += usize::from(parser.data.capacity() != capacity);
            capacity = parser.data.capacity();
        }
        assert!(grown < 25, "{grown} reallocations are not amortized");
        assert_eq!(parser.line.capacity(), 0, "the value went straight to the data buffer");
        let mut end: &[u8] = b"\n\n";
        assert_eq!(parser.step(&mut end), Ok(Some(Step::Event)));
        assert_eq!(parser.text.len(), 69_999);
    }

    #[test]
    fn the_data_buffer_is_used_again() {
        let mut parser = Parser::new(Limits::default());
        let mut input: &[u8] = b"data: a long enough first event\n\ndata: second\n\n";
        assert_eq!(parser.step(&mut input), Ok(Some(Step::Event)));
        let first = parser.text.as_ptr();
        assert_eq!(parser.step(&mut input), Ok(Some(Step::Event)));
        assert_eq!(parser.text, "second");
        assert_eq!(parser.text.as_ptr(), first);
    }

    #[test]
    fn only_ascii_digits_are_a_number() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"007"), Some(7));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"99999999999999999999999999"), Some(u64::MAX));
        for refused in [&b""[..], b"+1", b"-1", b" 1", b"1 ", b"1e3", "\u{ff15}".as_bytes()] {
            assert_eq!(decimal(refused), None, "{refused:?}");
        }
    }
}
