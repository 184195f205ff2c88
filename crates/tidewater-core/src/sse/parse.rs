//! The state machine under [`Decoder`](super::Decoder): lines and pieces of lines into items (WHATWG HTML §9.2.5 and
//! §9.2.6).
//!
//! Bytes are kept as they came and turned into text a line at a time, or many whole lines at once. That is the same as
//! decoding the stream first, as the standard has it: line ends are ASCII, and no ill-formed sequence reaches over an
//! ASCII byte.

use std::borrow::Cow;

use memchr::memchr2;

use super::block::{Block, Line};
use super::error::DecodeError;
use super::event::{Item, Limits};
use super::text::Utf8Bytes;

#[derive(Debug)]
pub(super) struct Parser {
    limits: Limits,
    /// Whether comments are wanted.
    pub(super) comments: bool,

    /// The last event id *string*: what a blank line made of the id buffer.
    pub(super) last_event_id: Utf8Bytes,
    /// The reconnection time in milliseconds, once the stream has set one.
    pub(super) retry: Option<u64>,
    block: Block,
    /// The first line has ended, so a byte order mark is no longer special.
    past_first_line: bool,

    /// The text being read, and what of it is read.
    text: Utf8Bytes,
    at: usize,
    /// The last event id may be a slice of the text.
    id_in_text: bool,

    /// The line that a chunk's end has cut.
    cut: CutLine,
}

/// A line of which only the beginning is there.
#[derive(Debug, Default)]
struct CutLine {
    /// Its bytes, or those of its value if it is a `data` line.
    bytes: Vec<u8>,
    /// If it is a `data` line: what stands before its value, in bytes.
    before_value: Option<usize>,
}

/// A value of more bytes is not copied once more to fit its size.
const LARGE: usize = 4096;

impl Parser {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            comments: false,
            last_event_id: Utf8Bytes::new(),
            retry: None,
            block: Block::new(limits.max_event_bytes),
            past_first_line: false,
            text: Utf8Bytes::new(),
            at: 0,
            id_in_text: false,
            cut: CutLine::default(),
        }
    }

    /// A parser for the next connection of the same client: only the last id and the reconnection time live on.
    pub(super) fn restart(&mut self) {
        let last_event_id = if self.id_in_text {
            self.last_event_id.compact()
        } else {
            std::mem::take(&mut self.last_event_id)
        };
        *self = Self { last_event_id, retry: self.retry, ..Self::new(self.limits) };
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

    /// Whether all of the text is read.
    pub(super) fn text_is_read(&self) -> bool {
        self.at == self.text.len()
    }

    /// The next text: whole lines. The one before is read.
    pub(super) fn begin_text(&mut self, text: Utf8Bytes) {
        (self.text, self.at) = (text, 0);
    }

    /// Reads on in the text until something is complete, or to its end.
    pub(super) fn read_text(&mut self) -> Result<Option<Item>, DecodeError> {
        let text = &self.text;
        let bytes = text.as_bytes();
        while let Some(first) = bytes.get(self.at) {
            let start = self.at;
            let length = match first {
                b'\n' | b'\r' => 0,
                // A text ends with a line end.
                _ => memchr2(b'\n', b'\r', &bytes[start..]).unwrap_or(bytes.len() - start),
            };
            let end = start + length;
            self.at = end + if bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
            check_line_bytes(length, self.limits)?;
            let line = if length == 0 { Line::Blank } else { self.block.line(text, start..end)? };
            match line {
                Line::Field => {}
                Line::Blank => {
                    let event = self.block.dispatch(text, &mut self.last_event_id);
                    self.id_in_text = true;
                    if let Some(event) = event {
                        return Ok(Some(Item::Event(event)));
                    }
                }
                Line::Comment(comment) if self.comments => {
                    return Ok(Some(Item::Comment(text.share(comment))));
                }
                Line::Comment(_) => {}
                Line::Retry(millis) => {
                    self.retry = Some(millis);
                    return Ok(Some(Item::Retry(millis)));
                }
            }
        }
        self.leave_text();
        Ok(None)
    }

    /// The chunk ended inside a line: keeps the piece.
    pub(super) fn hold(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        let CutLine { bytes, before_value } = &mut self.cut;
        let length = bytes.len() + piece.len();
        check_line_bytes(before_value.unwrap_or(0) + length, self.limits)?;
        if before_value.is_some() {
            self.block.check_bytes(length)?;
            extend_bounded(bytes, piece, self.limits.max_line_bytes);
            return Ok(());
        }
        extend_bounded(bytes, piece, self.limits.max_line_bytes);
        // One byte of the value must be there to tell the optional space from the value itself.
        let line = strip_bom(bytes, self.past_first_line);
        if let Some(value) = line.strip_prefix(b"data:")
            && !value.is_empty()
        {
            let start = bytes.len() - value.strip_prefix(b" ").unwrap_or(value).len();
            bytes.drain(..start);
            *before_value = Some(start);
            self.block.check_bytes(bytes.len())?;
        }
        Ok(())
    }

    /// A line is complete with this piece.
    pub(super) fn end_line(&mut self, piece: &[u8]) -> Result<Option<Item>, DecodeError> {
        if !self.in_line() {
            return self.whole_line(piece);
        }
        let mut cut = std::mem::take(&mut self.cut);
        check_line_bytes(cut.before_value.unwrap_or(0) + cut.bytes.len() + piece.len(), self.limits)?;
        extend_bounded(&mut cut.bytes, piece, self.limits.max_line_bytes);
        if cut.before_value.is_none() {
            let item = self.whole_line(&cut.bytes)?;
            self.use_again(cut.bytes);
            return Ok(item);
        }
        self.past_first_line = true;
        if cut.bytes.len() < LARGE {
            self.block.passing_data(&to_text(&cut.bytes), cut.bytes.len())?;
            self.use_again(cut.bytes);
        } else {
            let length = cut.bytes.len();
            self.block.own_data(into_text(cut.bytes), length)?;
        }
        Ok(None)
    }

    fn in_line(&self) -> bool {
        self.cut.before_value.is_some() || !self.cut.bytes.is_empty()
    }

    /// A line that lies nowhere for long.
    fn whole_line(&mut self, line: &[u8]) -> Result<Option<Item>, DecodeError> {
        check_line_bytes(line.len(), self.limits)?;
        let line = strip_bom(line, std::mem::replace(&mut self.past_first_line, true));
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            return self.block.passing_data(&to_text(value), value.len()).map(|()| None);
        }
        Ok(match self.block.passing_line(&to_text(line))? {
            Line::Field => None,
            Line::Blank => {
                let event = self.block.dispatch(&Utf8Bytes::new(), &mut self.last_event_id);
                event.map(Item::Event)
            }
            Line::Comment(comment) => self.comments.then(|| Item::Comment(comment.into())),
            Line::Retry(millis) => {
                self.retry = Some(millis);
                Some(Item::Retry(millis))
            }
        })
    }

    /// What is to be kept of the text is copied, so that its chunk can go.
    fn leave_text(&mut self) {
        if !self.text.is_empty() {
            self.block.leave(&self.text);
            if std::mem::take(&mut self.id_in_text) {
                self.last_event_id = self.last_event_id.compact();
            }
            self.begin_text(Utf8Bytes::new());
        }
    }

    /// The buffer of a cut line serves the next one.
    fn use_again(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(LARGE);
        self.cut.bytes = buffer;
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
