//! The state machine under [`Decoder`](super::Decoder): lines and pieces of lines into items (WHATWG HTML §9.2.5 and
//! §9.2.6).
//!
//! Bytes are kept as they came and turned into text a line at a time, or many lines at once. That is the same as
//! decoding the stream first, as the standard has it: line ends are ASCII, and no ill-formed sequence reaches over an
//! ASCII byte.

use std::borrow::Cow;

use memchr::memchr2;

use super::block::{Block, Data, Line, Value, data_value};
use super::error::DecodeError;
use super::event::{Event, EventRef, Limits};
use super::text::Utf8Bytes;

/// What a step came to. The parts of it are in the parser until the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An event.
    Event,
    /// A comment.
    Comment,
    /// The reconnection time was set to this.
    Retry(u64),
}

#[derive(Debug)]
pub(super) struct Parser {
    limits: Limits,

    /// The last event id *string*: what a blank line made of the id buffer.
    last_event_id: Value,
    /// The reconnection time in milliseconds, once the stream has set one.
    pub(super) retry: Option<u64>,
    block: Block,
    /// The first line has ended, so a byte order mark is no longer special.
    past_first_line: bool,

    /// What the last step delivers: an event's type, or a comment; and an event's data.
    name: Value,
    data: Data,

    /// The text being read, what of it is read, and where its first line ends.
    text: Utf8Bytes,
    at: usize,
    first_end: usize,

    /// The line that a chunk's end has cut.
    cut: CutLine,
}

/// A line of which only the beginning is there.
#[derive(Debug, Default)]
struct CutLine {
    kind: CutKind,
    /// Its bytes, or those of its value if it is a `data` line.
    bytes: Vec<u8>,
    /// If it is a `data` line: what stands before its value, in bytes.
    before_value: usize,
}

/// What is known of a line by its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CutKind {
    #[default]
    Unknown,
    Data,
    Other,
}

/// What stays reserved for the next cut line.
const CUT_KEPT: usize = 4096;

/// The type of an event that names none.
const MESSAGE: &str = "message";

impl Parser {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            last_event_id: Value::Empty,
            retry: None,
            block: Block::new(limits.max_event_bytes),
            past_first_line: false,
            name: Value::Empty,
            data: NO_DATA,
            text: Utf8Bytes::new(),
            at: 0,
            first_end: 0,
            cut: CutLine::default(),
        }
    }

    /// A parser for the next connection of the same client: only the last id and the reconnection time live on.
    pub(super) fn restart(&mut self) {
        self.last_event_id.leave(&self.text);
        let last_event_id = std::mem::take(&mut self.last_event_id);
        *self = Self { last_event_id, retry: self.retry, ..Self::new(self.limits) };
    }

    pub(super) fn set_last_event_id(&mut self, id: Utf8Bytes) {
        self.last_event_id = Value::Own(id);
    }

    pub(super) fn last_event_id(&self) -> &str {
        self.last_event_id.as_str(&self.text)
    }

    /// Bytes held of what is not finished yet.
    pub(super) fn buffered(&self) -> usize {
        self.cut.bytes.len() + self.block.bytes()
    }

    /// Whether what comes next has to be a piece: in the middle of a line; and the first line, which may begin with a
    /// byte order mark.
    pub(super) fn wants_piece(&self) -> bool {
        self.in_line() || !self.past_first_line
    }

    /// The next text. The one before is read, and no line is cut. The first line of it is whole and not blank, and ends
    /// at `first_end`.
    pub(super) fn begin_text(&mut self, text: Utf8Bytes, first_end: usize) {
        (self.text, self.at, self.first_end) = (text, 0, first_end);
    }

    /// Reads the usual event, one line of data and a blank line, if that is what comes next in the text. Its only purpose
    /// is speed: [`read_text`](Self::read_text) comes to the same.
    #[inline]
    pub(super) fn usual_event(&mut self) -> bool {
        let Some(rest) = self.text.as_bytes().get(self.at..) else { return false };
        if self.data == Data::Copied || !rest.starts_with(b"data:") {
            return false;
        }
        let known = (self.at == 0).then_some(self.first_end);
        let Some(length) = known.or_else(|| memchr2(b'\n', b'\r', rest)) else { return false };
        let Some(value) = data_value(&rest[..length]) else { return false };
        let is_usual = rest[length..].starts_with(b"\n\n")
            && length <= self.limits.max_line_bytes
            && self.block.takes_alone(value.len());
        if is_usual {
            let end = self.at + length;
            (self.name, self.data) = (Value::Empty, Data::Span(end - value.len()..end));
            self.at = end + 2;
        }
        is_usual
    }

    /// Reads on in the text until something is complete, or to its end.
    pub(super) fn read_text(&mut self) -> Result<Option<Step>, DecodeError> {
        self.forget_delivered();
        let text = &self.text;
        let bytes = text.as_bytes();
        while let Some(first) = bytes.get(self.at) {
            let start = self.at;
            let length = match first {
                b'\n' | b'\r' => 0,
                _ if start == 0 => self.first_end,
                _ => match memchr2(b'\n', b'\r', &bytes[start..]) {
                    Some(length) => length,
                    None => break,
                },
            };
            let end = start + length;
            check_line_bytes(length, self.limits)?;
            self.at = end + if bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
            let line = if length == 0 { Line::Blank } else { self.block.line(text, start..end)? };
            match line {
                Line::Field => {}
                Line::Blank => {
                    if let Some((name, data)) = self.block.dispatch(text, &mut self.last_event_id) {
                        (self.name, self.data) = (name, data);
                        return Ok(Some(Step::Event));
                    }
                }
                line => return Ok(self.other(line)),
            }
        }
        self.leave_text().map(|()| None)
    }

    /// The chunk ended inside a line: keeps the piece.
    pub(super) fn hold(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        let CutLine { kind, bytes, before_value } = &mut self.cut;
        let length = bytes.len() + piece.len();
        check_line_bytes(*before_value + length, self.limits)?;
        if *kind == CutKind::Data {
            self.block.check_bytes(length)?;
        }
        extend_bounded(bytes, piece, self.limits.max_line_bytes);
        // One byte of the value must be there to tell the optional space from the value itself.
        let line = strip_bom(bytes, self.past_first_line);
        if *kind != CutKind::Unknown || line.len() <= b"data:".len() {
            return Ok(());
        }
        let Some(value) = data_value(line) else {
            *kind = CutKind::Other;
            return Ok(());
        };
        *kind = CutKind::Data;
        *before_value = bytes.len() - value.len();
        bytes.drain(..*before_value);
        self.block.check_bytes(bytes.len())
    }

    /// How many bytes more [`hold_more`](Self::hold_more) takes without a look at any bound: none, unless it is known
    /// which line it is.
    pub(super) fn room(&self) -> usize {
        let CutLine { kind, bytes, before_value } = &self.cut;
        let line = self.limits.max_line_bytes.saturating_sub(before_value + bytes.len());
        let fits = line.min(bytes.capacity() - bytes.len());
        match kind {
            CutKind::Unknown => 0,
            CutKind::Data => fits.min(self.block.room().saturating_sub(bytes.len())),
            CutKind::Other => fits,
        }
    }

    /// [`hold`](Self::hold) for at most [`room`](Self::room) bytes.
    #[inline]
    pub(super) fn hold_more(&mut self, piece: &[u8]) {
        match piece {
            // Bytes come one by one more often than by two or three.
            [byte] => self.cut.bytes.push(*byte),
            _ => self.cut.bytes.extend_from_slice(piece),
        }
    }

    /// A line is complete with this piece.
    pub(super) fn end_line(&mut self, piece: &[u8]) -> Result<Option<Step>, DecodeError> {
        if !self.in_line() {
            return self.whole_line(piece);
        }
        let mut cut = std::mem::take(&mut self.cut);
        check_line_bytes(cut.before_value + cut.bytes.len() + piece.len(), self.limits)?;
        extend_bounded(&mut cut.bytes, piece, self.limits.max_line_bytes);
        if cut.kind != CutKind::Data {
            let step = self.whole_line(&cut.bytes)?;
            self.use_again(cut.bytes);
            return Ok(step);
        }
        self.past_first_line = true;
        let length = cut.bytes.len();
        let free = self.block.own_data(into_text(cut.bytes), length)?;
        self.use_again(free.into_bytes());
        Ok(None)
    }

    fn in_line(&self) -> bool {
        self.cut.kind != CutKind::Unknown || !self.cut.bytes.is_empty()
    }

    /// A line that lies nowhere for long.
    fn whole_line(&mut self, line: &[u8]) -> Result<Option<Step>, DecodeError> {
        check_line_bytes(line.len(), self.limits)?;
        let line = strip_bom(line, std::mem::replace(&mut self.past_first_line, true));
        if let Some(value) = data_value(line) {
            return self.block.passing_data(&to_text(value), value.len()).map(|()| None);
        }
        let line = if line.is_empty() { Line::Blank } else { self.block.passing_line(&to_text(line))? };
        if line != Line::Blank {
            return Ok(self.other(line));
        }
        let Some((name, data)) = self.block.dispatch(&self.text, &mut self.last_event_id) else {
            return Ok(None);
        };
        (self.name, self.data) = (name, data);
        Ok(Some(Step::Event))
    }

    fn other(&mut self, line: Line) -> Option<Step> {
        match line {
            Line::Field | Line::Blank => None,
            Line::Comment(comment) => {
                self.name = comment;
                Some(Step::Comment)
            }
            Line::Retry(millis) => {
                self.retry = Some(millis);
                Some(Step::Retry(millis))
            }
        }
    }

    /// What is to be kept of the text, and its last line if that is cut, is copied, so that the chunk can go.
    fn leave_text(&mut self) -> Result<(), DecodeError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.text);
        let rest = std::mem::take(&mut self.at);
        self.block.leave(&text);
        self.last_event_id.leave(&text);
        self.hold(&text.as_bytes()[rest..])
    }

    /// The buffer of a cut line serves the next one.
    fn use_again(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(CUT_KEPT);
        self.cut.bytes = buffer;
    }
}

const NO_DATA: Data = Data::Span(0..0);

/// What the last step delivered.
impl Parser {
    /// The event, to keep.
    #[inline(always)]
    pub(super) fn event(&mut self) -> Event {
        // Built where the caller wants it: an event that is moved twice costs as much as its reference count.
        if let (Data::Span(span), Value::Empty, Value::Empty) = (&self.data, &self.name, &self.last_event_id)
        {
            return Event {
                event_type: Utf8Bytes::from_static(MESSAGE),
                data: self.text.share(&self.text[span.clone()]),
                last_event_id: Utf8Bytes::new(),
            };
        }
        self.other_event()
    }

    #[inline(never)]
    fn other_event(&mut self) -> Event {
        let data = match std::mem::replace(&mut self.data, NO_DATA) {
            Data::Span(span) => self.text.share(&self.text[span]),
            Data::Copied => self.block.take_copied(),
        };
        let event_type = match &self.name {
            Value::Empty => Utf8Bytes::from_static(MESSAGE),
            name => name.share(&self.text),
        };
        Event { event_type, data, last_event_id: self.last_event_id.share(&self.text) }
    }

    /// The event, lent.
    #[inline]
    pub(super) fn event_ref(&self) -> EventRef<'_> {
        let event_type = match &self.name {
            Value::Empty => MESSAGE,
            name => name.as_str(&self.text),
        };
        let data = match &self.data {
            Data::Span(span) => &self.text[span.clone()],
            Data::Copied => self.block.copied(),
        };
        EventRef { event_type, data, last_event_id: self.last_event_id() }
    }

    /// The comment, to keep.
    pub(super) fn comment(&self) -> Utf8Bytes {
        self.name.share(&self.text)
    }

    #[inline]
    fn forget_delivered(&mut self) {
        self.name = Value::Empty;
        if self.data == Data::Copied {
            self.data = NO_DATA;
            self.block.forget_copied();
        }
    }
}

/// §9.2.5: one leading byte order mark is ignored.
fn strip_bom(line: &[u8], past_first_line: bool) -> &[u8] {
    const BOM: &[u8] = "\u{feff}".as_bytes();
    if past_first_line { line } else { line.strip_prefix(BOM).unwrap_or(line) }
}

fn check_line_bytes(length: usize, limits: Limits) -> Result<(), DecodeError> {
    let limit = limits.max_line_bytes;
    if length > limit { Err(DecodeError::LineTooLong { limit }) } else { Ok(()) }
}

/// UTF-8 decode with replacement.
fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// [`to_text`]; text that is well formed keeps its buffer.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Doubles as `Vec` does, but not past the limit: a bound of memory is one of capacity, not only of length.
fn extend_bounded(buffer: &mut Vec<u8>, more: &[u8], limit: usize) {
    if buffer.capacity() - buffer.len() < more.len() {
        let doubled = buffer.capacity().saturating_mul(2).min(limit);
        let wanted = doubled.max(buffer.len() + more.len());
        buffer.reserve_exact(wanted - buffer.len());
    }
    buffer.extend_from_slice(more);
}
