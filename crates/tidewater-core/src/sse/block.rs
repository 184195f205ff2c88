//! The block under construction: lines into fields, fields into an event (WHATWG HTML §9.2.6).
//!
//! A `data` line of the text being read stays there until the event is complete: an event of one such line is a slice
//! of the text, and one of several is copied once, into a buffer of just its size.

use std::ops::Range;

use memchr::memchr;

use super::error::DecodeError;
use super::event::Event;
use super::text::Utf8Bytes;

/// What a line comes to, beyond what it does to the block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The blank line: the block is an event, if it has data.
    Blank,
    /// A comment: what follows the colon.
    Comment(&'a str),
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// Nothing that concerns anybody yet.
    Field,
}

/// The fields of an event that is not complete yet.
#[derive(Debug)]
pub(super) struct Block {
    /// Most bytes of data, type and id together.
    max_bytes: usize,
    /// The event type buffer.
    event_type: Utf8Bytes,
    /// The id buffer, where this block has set one.
    id: Option<Utf8Bytes>,
    /// Length of the data buffer as the standard has it: an LF after each line, and bytes as they came.
    data_bytes: usize,
    /// Data lines that were copied, joined by LF; nothing unless `copied`.
    data: String,
    copied: bool,
    /// Data lines that lie in the text being read; they come after `data`.
    spans: Vec<Range<usize>>,
}

/// More data lines than this are copied before the event is complete, so that what is kept of them is bounded.
const MOST_SPANS: usize = 1024;

/// The type of an event that names none.
const MESSAGE: Utf8Bytes = Utf8Bytes::from_static("message");

impl Block {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            event_type: Utf8Bytes::new(),
            id: None,
            data_bytes: 0,
            data: String::new(),
            copied: false,
            spans: Vec::new(),
        }
    }

    /// A line of the text being read.
    pub(super) fn line<'t>(
        &mut self,
        text: &'t Utf8Bytes,
        at: Range<usize>,
    ) -> Result<Line<'t>, DecodeError> {
        // By far the most common line, told apart without looking for its colon.
        if let Some(value) = text.as_bytes()[at.clone()].strip_prefix(b"data:") {
            let length = value.strip_prefix(b" ").unwrap_or(value).len();
            return self.span(text, at.end - length..at.end);
        }
        let line = &text[at.clone()];
        match split(line) {
            ("data", _) => self.span(text, at.end..at.end),
            (name, value) => self.field(line, name, value, |value| text.share(value)),
        }
    }

    /// A line that lies nowhere for long.
    pub(super) fn passing_line<'t>(&mut self, line: &'t str) -> Result<Line<'t>, DecodeError> {
        match split(line) {
            ("data", value) => self.passing_data(value, value.len()).map(|()| Line::Field),
            (name, value) => self.field(line, name, value, Utf8Bytes::copy_from_str),
        }
    }

    /// The value of a `data` line that lies nowhere for long. It had `raw_bytes` before what is not UTF-8 was replaced.
    pub(super) fn passing_data(&mut self, value: &str, raw_bytes: usize) -> Result<(), DecodeError> {
        self.count_data(raw_bytes)?;
        if self.copied {
            reserve_bounded(&mut self.data, value.len() + 1, self.max_bytes);
            self.data.push('\n');
        } else {
            // Most events have one line: it takes what it needs and no more.
            self.data.reserve_exact(value.len());
        }
        self.data.push_str(value);
        self.copied = true;
        Ok(())
    }

    /// [`passing_data`](Self::passing_data) for a value that can be had; the first line of an event is not copied.
    pub(super) fn own_data(&mut self, value: String, raw_bytes: usize) -> Result<(), DecodeError> {
        if self.copied {
            return self.passing_data(&value, raw_bytes);
        }
        self.count_data(raw_bytes)?;
        (self.data, self.copied) = (value, true);
        Ok(())
    }

    /// §9.2.6, "dispatch the event": sets the last event id, and answers the event if there is data.
    pub(super) fn dispatch(&mut self, text: &Utf8Bytes, last_event_id: &mut Utf8Bytes) -> Option<Event> {
        if let Some(id) = self.id.take() {
            *last_event_id = id;
        }
        let event_type = std::mem::take(&mut self.event_type);
        if self.data_bytes == 0 {
            return None;
        }
        let data = match (self.copied, &self.spans[..]) {
            (false, [span]) => {
                let data = text.share(&text[span.clone()]);
                self.spans.clear();
                data
            }
            _ => {
                let left = self.spans.iter().map(|span| span.len() + 1).sum();
                self.data.reserve_exact(left);
                self.copy_spans(text);
                Utf8Bytes::from(std::mem::take(&mut self.data))
            }
        };
        (self.data_bytes, self.copied) = (0, false);
        let event_type = if event_type.is_empty() { MESSAGE } else { event_type };
        Some(Event { event_type, data, last_event_id: last_event_id.clone() })
    }

    /// Copies what lies in a text that is read to its end.
    pub(super) fn leave(&mut self, text: &Utf8Bytes) {
        self.keep_spans(text);
        self.event_type = self.event_type.compact();
        self.id = self.id.take().map(|id| id.compact());
    }

    /// Bytes of data, type and id so far.
    pub(super) fn bytes(&self) -> usize {
        self.data_bytes + self.event_type.len() + self.id.as_ref().map_or(0, |id| id.len())
    }

    /// Whether so many bytes of data more would be too many.
    pub(super) fn check_bytes(&self, more: usize) -> Result<(), DecodeError> {
        let limit = self.max_bytes;
        if self.bytes().saturating_add(more) > limit {
            Err(DecodeError::EventTooLong { limit })
        } else {
            Ok(())
        }
    }

    /// §9.2.6, "process the field", for all but `data`; and what is no field.
    fn field<'t>(
        &mut self,
        line: &'t str,
        name: &str,
        value: &str,
        text_of: impl FnOnce(&str) -> Utf8Bytes,
    ) -> Result<Line<'t>, DecodeError> {
        match name {
            "event" => {
                self.event_type = text_of(value);
                self.check_bytes(0)?;
            }
            "id" if memchr(0, value.as_bytes()).is_none() => {
                self.id = Some(text_of(value));
                self.check_bytes(0)?;
            }
            "retry" => return Ok(decimal(value).map_or(Line::Field, Line::Retry)),
            "" => return Ok(line.strip_prefix(':').map_or(Line::Blank, Line::Comment)),
            _ => {}
        }
        Ok(Line::Field)
    }

    fn span(&mut self, text: &Utf8Bytes, value: Range<usize>) -> Result<Line<'static>, DecodeError> {
        self.count_data(value.len())?;
        if self.spans.len() == MOST_SPANS {
            self.keep_spans(text);
        }
        self.spans.push(value);
        Ok(Line::Field)
    }

    fn keep_spans(&mut self, text: &Utf8Bytes) {
        if !self.spans.is_empty() {
            let left: usize = self.spans.iter().map(|span| span.len() + 1).sum();
            reserve_bounded(&mut self.data, left, self.max_bytes);
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

    fn count_data(&mut self, value_bytes: usize) -> Result<(), DecodeError> {
        self.check_bytes(value_bytes + 1)?;
        self.data_bytes += value_bytes + 1;
        Ok(())
    }
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

    fn block_of(text: &Utf8Bytes) -> (Block, Utf8Bytes) {
        let (mut block, mut at) = (Block::new(1000), 0);
        for line in text.lines() {
            assert_eq!(block.line(text, at..at + line.len()), Ok(Line::Field));
            at += line.len() + 1;
        }
        (block, Utf8Bytes::new())
    }

    #[test]
    fn one_line_is_shared_and_several_take_what_they_need() {
        let text = Utf8Bytes::from_static("data: one line\nid: 7\nevent: e\n");
        let (mut block, mut last) = block_of(&text);
        let event = block.dispatch(&text, &mut last).unwrap();
        assert_eq!((event.data.as_ptr(), last.as_ptr()), (text[6..].as_ptr(), text[19..].as_ptr()));
        assert_eq!((&*event.event_type, block.bytes()), ("e", 0));

        let text = Utf8Bytes::from_static("data: a\ndata\ndata:\ndata: b\n");
        let (mut block, mut last) = block_of(&text);
        let joined = String::from(block.dispatch(&text, &mut last).unwrap().data);
        assert_eq!((&*joined, block.dispatch(&text, &mut last)), ("a\n\n\nb", None));
    }

    #[test]
    fn what_is_left_behind_is_copied() {
        let text = Utf8Bytes::from_static("data: a\nid: 7\nevent: e\n");
        let (mut block, mut last) = block_of(&text);
        block.leave(&text);
        block.passing_data("b", 1).unwrap();
        let event = block.dispatch(&Utf8Bytes::new(), &mut last).unwrap();
        assert_eq!((&*event.data, &*event.event_type, &*last), ("a\nb", "e", "7"));
    }

    #[test]
    fn more_lines_than_are_remembered_are_all_there() {
        let text = Utf8Bytes::from("data:x\n".repeat(MOST_SPANS * 2 + 3));
        let mut block = Block::new(text.len());
        for at in (0..text.len()).step_by(7) {
            block.line(&text, at..at + 6).unwrap();
            assert!(block.spans.len() <= MOST_SPANS);
        }
        let event = block.dispatch(&text, &mut Utf8Bytes::new()).unwrap();
        assert_eq!(event.data.as_str(), vec!["x"; MOST_SPANS * 2 + 3].join("\n"));
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
