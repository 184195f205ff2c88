//! The block under construction: lines into fields, fields into an event (WHATWG HTML §9.2.6).
//!
//! What lies in the text being read stays there until the event is complete: data of one line is a slice of the text,
//! and several lines are copied once, into a buffer of just their size.

use std::ops::Range;

use memchr::memchr;

use super::error::DecodeError;
use super::text::Utf8Bytes;

/// What a line comes to, beyond what it does to the block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The blank line: the block is an event, if it has data.
    Blank,
    /// A comment: what follows the colon.
    Comment(Value),
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// Nothing that concerns anybody yet.
    Field,
}

/// A text that lies in the text being read, or by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Value {
    #[default]
    Empty,
    /// There.
    Span(Range<usize>),
    /// By itself.
    Own(Utf8Bytes),
}

/// Where the data of an event is that was dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// In the text being read.
    Span(Range<usize>),
    /// In the block's own buffer.
    Copied,
}

/// The fields of an event that is not complete yet.
#[derive(Debug)]
pub(super) struct Block {
    /// Most bytes of data, type and id together.
    max_bytes: usize,
    /// The event type buffer.
    event_type: Value,
    /// The id buffer, where this block has set one.
    id: Option<Value>,
    /// Length of the data buffer as the standard has it: an LF after each line, and bytes as they came.
    data_bytes: usize,
    /// Length of the type and the id.
    name_bytes: usize,
    /// Data lines that were copied, joined by LF; nothing unless `copied`.
    data: String,
    copied: bool,
    /// Data lines that lie in the text being read; none if any were copied.
    spans: Vec<Range<usize>>,
    /// Length of the last data that was copied and kept: what the next one begins with room for.
    usual: usize,
}

/// More data lines than this are copied before the event is complete, so that what is kept of them is bounded.
const MOST_SPANS: usize = 1024;
/// Data of fewer bytes is copied once more to fit its size.
const LARGE: usize = 4096;
/// What stays reserved for copied data that is lent, and the most that is reserved because the data before took it.
const DATA_KEPT: usize = 256 << 10;

impl Block {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            event_type: Value::Empty,
            id: None,
            data_bytes: 0,
            name_bytes: 0,
            data: String::new(),
            copied: false,
            spans: Vec::new(),
            usual: 0,
        }
    }

    /// A line of the text being read.
    #[inline]
    pub(super) fn line(&mut self, text: &Utf8Bytes, at: Range<usize>) -> Result<Line, DecodeError> {
        // By far the most common line, told apart without looking for its colon.
        if let Some(value) = data_value(&text.as_bytes()[at.clone()]) {
            return self.span(text, at.end - value.len()..at.end);
        }
        self.other_line(text, at)
    }

    /// A line that lies nowhere for long.
    pub(super) fn passing_line(&mut self, line: &str) -> Result<Line, DecodeError> {
        match split(line) {
            ("data", value) => self.passing_data(value, value.len()).map(|()| Line::Field),
            (name, value) => self.field(line, name, value, |value| Value::Own(value.into())),
        }
    }

    /// The value of a `data` line that lies nowhere for long. It had `raw_bytes` before what is not UTF-8 was replaced.
    #[inline]
    pub(super) fn passing_data(&mut self, value: &str, raw_bytes: usize) -> Result<(), DecodeError> {
        self.count_data(raw_bytes)?;
        self.reserve(value.len() + 1);
        if self.copied {
            self.data.push('\n');
        }
        self.data.push_str(value);
        self.copied = true;
        Ok(())
    }

    /// [`passing_data`](Self::passing_data) for a value that can be had: not copied, if it is the first line. Answers a
    /// buffer that is free now.
    pub(super) fn own_data(&mut self, value: String, raw_bytes: usize) -> Result<String, DecodeError> {
        if self.copied {
            self.passing_data(&value, raw_bytes)?;
            return Ok(value);
        }
        self.count_data(raw_bytes)?;
        self.copied = true;
        Ok(std::mem::replace(&mut self.data, value))
    }

    /// §9.2.6, "dispatch the event": sets the last event id, and answers the event's type and data if there is data.
    #[inline]
    pub(super) fn dispatch(&mut self, text: &Utf8Bytes, last_event_id: &mut Value) -> Option<(Value, Data)> {
        if let Some(id) = self.id.take() {
            *last_event_id = id;
        }
        let event_type = std::mem::take(&mut self.event_type);
        self.name_bytes = 0;
        if self.data_bytes == 0 {
            return None;
        }
        self.data_bytes = 0;
        let data = match (self.copied, &self.spans[..]) {
            (false, [span]) => {
                let data = Data::Span(span.clone());
                self.spans.clear();
                data
            }
            (true, _) => Data::Copied,
            (false, spans) => {
                let length = spans.iter().map(|span| span.len() + 1).sum::<usize>() - 1;
                self.data.reserve_exact(length);
                self.copy_spans(text);
                Data::Copied
            }
        };
        Some((event_type, data))
    }

    /// Whether a line of data of so many bytes would be all of an event so far, and not too much.
    #[inline]
    pub(super) fn takes_alone(&self, value_bytes: usize) -> bool {
        self.data_bytes == 0 && self.name_bytes == 0 && self.id.is_none() && value_bytes < self.max_bytes
    }

    /// What [`Data::Copied`] stands for.
    pub(super) fn copied(&self) -> &str {
        &self.data
    }

    /// What [`Data::Copied`] stands for, to keep: in a buffer of its size, about.
    pub(super) fn take_copied(&mut self) -> Utf8Bytes {
        self.copied = false;
        self.usual = self.data.len().min(DATA_KEPT);
        let fits = self.data.len() >= LARGE && self.data.len() >= self.data.capacity() / 2;
        if fits || self.data.len() == self.data.capacity() {
            return std::mem::take(&mut self.data).into();
        }
        let data = Utf8Bytes::copy_from_str(&self.data);
        self.data.clear();
        data
    }

    /// Drops what [`Data::Copied`] stands for. Its buffer serves the next event.
    pub(super) fn forget_copied(&mut self) {
        self.copied = false;
        self.data.clear();
        self.data.shrink_to(DATA_KEPT);
    }

    /// Copies what lies in a text that is read to its end.
    pub(super) fn leave(&mut self, text: &Utf8Bytes) {
        self.keep_spans(text);
        self.event_type.leave(text);
        if let Some(id) = &mut self.id {
            id.leave(text);
        }
    }

    /// Bytes of data, type and id so far.
    pub(super) fn bytes(&self) -> usize {
        self.data_bytes + self.name_bytes
    }

    /// Whether so many bytes of data more would be too many.
    #[inline]
    pub(super) fn check_bytes(&self, more: usize) -> Result<(), DecodeError> {
        if self.bytes().saturating_add(more) > self.max_bytes { Err(self.too_long()) } else { Ok(()) }
    }

    /// How many bytes of data more there may be.
    pub(super) fn room(&self) -> usize {
        self.max_bytes.saturating_sub(self.bytes())
    }

    #[inline(never)]
    fn other_line(&mut self, text: &Utf8Bytes, at: Range<usize>) -> Result<Line, DecodeError> {
        let line = &text[at.clone()];
        match split(line) {
            ("data", _) => self.span(text, at.end..at.end),
            // A value ends where its line ends.
            (name, value) => self.field(line, name, value, |value| Value::Span(at.end - value.len()..at.end)),
        }
    }

    /// §9.2.6, "process the field", for all but `data`; and what is no field.
    fn field(
        &mut self,
        line: &str,
        name: &str,
        value: &str,
        value_of: impl FnOnce(&str) -> Value,
    ) -> Result<Line, DecodeError> {
        match name {
            "event" => {
                self.name_bytes = self.name_bytes - self.event_type.len() + value.len();
                self.event_type = if value.is_empty() { Value::Empty } else { value_of(value) };
                self.check_bytes(0)?;
            }
            "id" if memchr(0, value.as_bytes()).is_none() => {
                self.name_bytes = self.name_bytes - self.id.as_ref().map_or(0, Value::len) + value.len();
                self.id = Some(value_of(value));
                self.check_bytes(0)?;
            }
            "retry" => return Ok(decimal(value).map_or(Line::Field, Line::Retry)),
            "" => {
                return Ok(line
                    .strip_prefix(':')
                    .map_or(Line::Blank, |comment| Line::Comment(value_of(comment))));
            }
            _ => {}
        }
        Ok(Line::Field)
    }

    #[inline]
    fn span(&mut self, text: &Utf8Bytes, value: Range<usize>) -> Result<Line, DecodeError> {
        // Behind what was copied it is copied, too.
        if self.copied {
            return self.passing_data(&text[value.clone()], value.len()).map(|()| Line::Field);
        }
        self.count_data(value.len())?;
        self.spans.push(value);
        if self.spans.len() == MOST_SPANS {
            self.keep_spans(text);
        }
        Ok(Line::Field)
    }

    #[inline(never)]
    fn keep_spans(&mut self, text: &Utf8Bytes) {
        if !self.spans.is_empty() {
            self.reserve(self.spans.iter().map(|span| span.len() + 1).sum());
            self.copy_spans(text);
        }
    }

    fn copy_spans(&mut self, text: &Utf8Bytes) {
        for span in self.spans.drain(..) {
            if self.copied {
                self.data.push('\n');
            }
            self.data.push_str(&text[span]);
            self.copied = true;
        }
    }

    /// Room for so many bytes of data more.
    #[inline]
    fn reserve(&mut self, more: usize) {
        let more = if self.copied { more } else { more.max(self.usual) };
        reserve_bounded(&mut self.data, more, self.max_bytes);
    }

    #[inline]
    fn count_data(&mut self, value_bytes: usize) -> Result<(), DecodeError> {
        self.check_bytes(value_bytes + 1)?;
        self.data_bytes += value_bytes + 1;
        Ok(())
    }

    #[cold]
    fn too_long(&self) -> DecodeError {
        DecodeError::EventTooLong { limit: self.max_bytes }
    }
}

impl Value {
    /// The text.
    #[inline]
    pub(super) fn as_str<'a>(&'a self, text: &'a Utf8Bytes) -> &'a str {
        match self {
            Self::Empty => "",
            Self::Span(span) => &text[span.clone()],
            Self::Own(own) => own,
        }
    }

    /// The text, to keep.
    #[inline(always)]
    pub(super) fn share(&self, text: &Utf8Bytes) -> Utf8Bytes {
        match self {
            Self::Empty => Utf8Bytes::new(),
            Self::Span(span) => text.share(&text[span.clone()]),
            Self::Own(own) => own.clone(),
        }
    }

    /// Copies it out of a text that is read to its end.
    pub(super) fn leave(&mut self, text: &Utf8Bytes) {
        if let Self::Span(span) = self {
            *self = Self::Own(text[span.clone()].into());
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Span(span) => span.len(),
            Self::Own(own) => own.len(),
        }
    }
}

/// The value of a line that is `data:` and something.
#[inline]
pub(super) fn data_value(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// A field's name and value: what stands around the first colon; one leading space is not part of the value. What has
/// no name is the blank line or a comment.
fn split(line: &str) -> (&str, &str) {
    match memchr(b':', line.as_bytes()) {
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(' ').unwrap_or(value))
        }
        None => (line, ""),
    }
}

/// A value of ASCII digits only; what does not fit is the largest number.
fn decimal(value: &str) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.bytes().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

/// Doubles as `String` does, but not past the limit: a bound of memory is one of capacity, not only of length.
fn reserve_bounded(buffer: &mut String, more: usize, limit: usize) {
    if buffer.capacity() - buffer.len() < more {
        let doubled = buffer.capacity().saturating_mul(2).min(limit);
        let wanted = doubled.max(buffer.len() + more);
        buffer.reserve_exact(wanted - buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_of(text: &Utf8Bytes) -> Block {
        let (mut block, mut at) = (Block::new(1000), 0);
        for line in text.lines() {
            assert_eq!(block.line(text, at..at + line.len()), Ok(Line::Field));
            at += line.len() + 1;
        }
        block
    }

    #[test]
    fn one_line_stays_where_it_is_and_several_are_joined() {
        let text = Utf8Bytes::from_static("data: one line\nid: 7\nevent: e\n");
        let (mut block, mut last) = (block_of(&text), Value::Empty);
        let (event_type, data) = block.dispatch(&text, &mut last).unwrap();
        assert_eq!((data, last.as_str(&text), event_type.as_str(&text)), (Data::Span(6..14), "7", "e"));
        assert_eq!(block.bytes(), 0);

        let text = Utf8Bytes::from_static("data: a\ndata\ndata:\ndata: b\n");
        let (mut block, mut last) = (block_of(&text), Value::Empty);
        assert_eq!(block.dispatch(&text, &mut last), Some((Value::Empty, Data::Copied)));
        assert_eq!(block.take_copied(), "a\n\n\nb");
        assert_eq!(block.dispatch(&text, &mut last), None);
    }

    #[test]
    fn what_is_left_behind_is_copied() {
        let text = Utf8Bytes::from_static("data: a\nid: 7\nevent: e\n");
        let (mut block, mut last) = (block_of(&text), Value::Empty);
        block.leave(&text);
        block.passing_data("b", 1).unwrap();
        let none = Utf8Bytes::new();
        let (event_type, data) = block.dispatch(&none, &mut last).unwrap();
        assert_eq!((data, event_type.as_str(&none), last.as_str(&none)), (Data::Copied, "e", "7"));
        assert_eq!(block.copied(), "a\nb");
        block.forget_copied();
        block.passing_data("c", 1).unwrap();
        assert_eq!(block.copied(), "c");
    }

    #[test]
    fn more_lines_than_are_remembered_are_all_there() {
        let text = Utf8Bytes::from("data:x\n".repeat(MOST_SPANS * 2 + 3));
        let mut block = Block::new(text.len());
        for at in (0..text.len()).step_by(7) {
            block.line(&text, at..at + 6).unwrap();
            assert!(block.spans.len() <= MOST_SPANS);
        }
        assert!(block.dispatch(&text, &mut Value::Empty).is_some());
        assert_eq!(block.copied(), vec!["x"; MOST_SPANS * 2 + 3].join("\n"));
    }

    #[test]
    fn buffers_grow_by_doubling_and_stop_at_the_limit() {
        let (mut block, mut grown, mut capacity) = (Block::new(70_000), 0, 0);
        for _ in 0..35_000 {
            block.passing_data("x", 1).unwrap();
            assert!(block.data.capacity() <= 70_000);
            grown += usize::from(block.data.capacity() != capacity);
            capacity = block.data.capacity();
        }
        assert!(grown < 25, "{grown} reallocations are not amortized");
        assert_eq!(block.passing_data("x", 1), Err(DecodeError::EventTooLong { limit: 70_000 }));
    }

    #[test]
    fn only_ascii_digits_are_a_number() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("007"), Some(7));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal("99999999999999999999999999"), Some(u64::MAX));
        for refused in ["", "+1", "-1", " 1", "1 ", "1e3", "\u{ff15}"] {
            assert_eq!(decimal(refused), None, "{refused:?}");
        }
    }
}
