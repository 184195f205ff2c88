//! Events, parsed just enough: which kind, which number, when it was due, what a gap leaves out.

use std::ops::Range;

use serde::Deserialize;
use tidewater_fanout_bench::payload;

/// What a stream brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An event of ours: its number, and when it was due.
    Numbered(u64, u64),
    /// Events that will not come, by their places in the source; `None` if it doesn't say which.
    Gap(Option<Range<u64>>),
    /// Data that is not of ours.
    Strange,
}

/// Lines of a stream, as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    named: Name,
    data: Option<Event>,
    /// Whether data stands on lines of its own, as a broker's consumer has it.
    is_bare: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Message,
    Gap,
    /// What moves the id alone.
    Cursor,
}

#[derive(Deserialize)]
struct Gap {
    from: Option<u64>,
    to: Option<u64>,
}

impl Lines {
    /// Lines that are an event's data each, or something that the broker says.
    pub(crate) fn bare() -> Self {
        Self { is_bare: true, ..Self::default() }
    }

    /// Reads a piece of the stream.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut event: impl FnMut(Event)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.partial.is_empty() {
                self.line(line, &mut event);
            } else {
                let mut partial = std::mem::take(&mut self.partial);
                partial.extend(line);
                self.line(&partial, &mut event);
                partial.clear();
                self.partial = partial;
            }
        }
        self.partial.extend(bytes);
    }

    fn line(&mut self, line: &[u8], event: &mut impl FnMut(Event)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.is_bare {
            if let Some((number, due)) = payload::read(line) {
                event(Event::Numbered(number, due));
            }
        } else if line.is_empty() {
            self.named = Name::Message;
            if let Some(data) = self.data.take() {
                event(data);
            }
        } else if let Some(data) = value(line, b"data:") {
            self.data = match self.named {
                Name::Cursor => None,
                Name::Gap => Some(gap(data)),
                Name::Message => match payload::read(data) {
                    Some((number, due)) => Some(Event::Numbered(number, due)),
                    None => Some(Event::Strange),
                },
            };
        } else if let Some(name) = value(line, b"event:") {
            self.named = match name {
                b"tidewater.gap" => Name::Gap,
                b"tidewater.cursor" => Name::Cursor,
                _ => Name::Message,
            };
        }
    }
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

fn gap(data: &[u8]) -> Event {
    match serde_json::from_slice(data) {
        Ok(Gap { from: Some(from), to: Some(to) }) => Event::Gap(Some(from..to)),
        Ok(_) => Event::Gap(None),
        Err(_) => Event::Strange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_says_other_things_too() {
        let (mut lines, mut events) = (Lines::bare(), Vec::new());
        let stream = b"INFO {}\r\nMSG a 1 30\r\n0000000007 0000000000000000009 x\r\nPING\r\n";
        stream.chunks(9).for_each(|piece| lines.read(piece, |event| events.push(event)));
        assert_eq!(events, [Event::Numbered(7, 9)]);
    }

    #[test]
    fn events_are_told_apart() {
        let stream = b"retry: 2000\nevent: tidewater.cursor\ndata:\nid: a\n\n: hi\n\ndata: 0000000007 0000000000000000009 x\r\nid: b\r\n\r\n\
            event: tidewater.gap\ndata: {\"reason\":\"lag\",\"from\":8,\"to\":11}\nid: c\n\ndata: nonsense\n\n";
        for size in [1, 5, stream.len()] {
            let (mut lines, mut events) = (Lines::default(), Vec::new());
            stream.chunks(size).for_each(|piece| lines.read(piece, |event| events.push(event)));
            assert_eq!(events, [Event::Numbered(7, 9), Event::Gap(Some(8..11)), Event::Strange], "{size}");
        }
    }
}
