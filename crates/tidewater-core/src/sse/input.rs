//! Chunks, cut in any way, into whole lines of text and pieces of lines.
//!
//! Whole lines that lie in one chunk become one text, checked for UTF-8 in one go, and are read there. What is left of
//! a chunk, before its first line end and after its last, is a piece of a line; so is all of a small chunk, for which
//! sharing would cost more than copying.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::{memchr2, memrchr2};

use super::text::Utf8Bytes;

/// What is to be read next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// Whole lines, each with its end. A CRLF lies in it whole.
    Text(Utf8Bytes),
    /// Part of a line, without its end.
    Piece {
        bytes: &'a [u8],
        /// Whether the line ends here.
        ended: bool,
    },
}

/// What was fed and is not read yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Small chunks, put together; they come before `chunk`.
    small: Vec<u8>,
    small_at: usize,
    /// The chunk being read, what of it is read, and the end of its last line.
    chunk: Bytes,
    at: usize,
    lines_end: usize,
    waiting: VecDeque<Bytes>,
    /// The last line ended with CR: an LF that comes next belongs to it.
    after_cr: bool,
}

/// A chunk, or the rest of one, that is shorter than this is copied and not shared.
pub(super) const SMALL: usize = 128;
/// What stays reserved for small chunks.
const SMALL_KEPT: usize = 4096;

impl Input {
    /// Adds a chunk.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.len() < SMALL && self.chunk_is_read() && self.waiting.is_empty() {
            self.small.extend_from_slice(&chunk);
        } else {
            self.waiting.push_back(chunk);
        }
    }

    /// Adds a copy of a chunk.
    pub(super) fn push_slice(&mut self, chunk: &[u8]) {
        if chunk.len() < SMALL && self.chunk_is_read() && self.waiting.is_empty() {
            self.small.extend_from_slice(chunk);
        } else {
            self.waiting.push_back(Bytes::copy_from_slice(chunk));
        }
    }

    /// Whether a chunk without a line end would be the next piece: then it need not be added.
    pub(super) fn is_direct(&self) -> bool {
        !self.after_cr && self.small_at == self.small.len() && self.chunk_is_read() && self.waiting.is_empty()
    }

    /// What comes next. `in_line`: the piece before did not end its line, so the next thing is a piece.
    pub(super) fn next(&mut self, in_line: bool) -> Option<Read<'_>> {
        loop {
            if self.small_at < self.small.len() {
                if skip_lf(&mut self.after_cr, &self.small, &mut self.small_at) {
                    continue;
                }
                return Some(piece(&self.small, &mut self.small_at, &mut self.after_cr));
            }
            self.clear_small();
            if self.at < self.chunk.len() {
                if skip_lf(&mut self.after_cr, &self.chunk, &mut self.at) {
                    continue;
                }
                let lines = self.lines_end.saturating_sub(self.at);
                if !in_line
                    && lines >= SMALL
                    && let Some(text) = self.text()
                {
                    return Some(Read::Text(text));
                }
                return Some(piece(&self.chunk, &mut self.at, &mut self.after_cr));
            }
            // One that is read is given up, also where none follows.
            self.chunk = self.waiting.pop_front().unwrap_or_default();
            self.at = 0;
            if self.chunk.is_empty() && self.waiting.is_empty() {
                return None;
            }
            self.lines_end = memrchr2(b'\n', b'\r', &self.chunk).map_or(0, |end| end + 1);
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// As many whole lines as are well-formed UTF-8; none if that is not so of the first.
    fn text(&mut self) -> Option<Utf8Bytes> {
        let lines = self.chunk.slice(self.at..self.lines_end);
        let text = Utf8Bytes::try_from(lines.clone()).or_else(|error| {
            // The line with the first ill-formed byte is read by itself, and what follows it after that: each byte is
            // checked twice at most.
            let well_formed = &lines[..error.valid_up_to()];
            let end = memrchr2(b'\n', b'\r', well_formed).map_or(0, |end| end + 1);
            Utf8Bytes::try_from(lines.slice(..end))
        });
        let text = text.ok().filter(|text| !text.is_empty())?;
        self.at += text.len();
        self.after_cr = text.ends_with('\r');
        Some(text)
    }

    fn chunk_is_read(&self) -> bool {
        self.at == self.chunk.len()
    }

    fn clear_small(&mut self) {
        if self.small_at > 0 {
            self.small_at = 0;
            self.small.clear();
            self.small.shrink_to(SMALL_KEPT);
        }
    }
}

/// Passes over an LF that belongs to a CR before it. `at` is in bounds.
fn skip_lf(after_cr: &mut bool, bytes: &[u8], at: &mut usize) -> bool {
    let skipped = std::mem::take(after_cr) && bytes[*at] == b'\n';
    *at += usize::from(skipped);
    skipped
}

/// The piece up to the next line end, or to the end.
fn piece<'a>(bytes: &'a [u8], at: &mut usize, after_cr: &mut bool) -> Read<'a> {
    let rest = &bytes[*at..];
    match memchr2(b'\n', b'\r', rest) {
        Some(end) => {
            *after_cr = rest[end] == b'\r';
            *at += end + 1;
            Read::Piece { bytes: &rest[..end], ended: true }
        }
        None => {
            *at = bytes.len();
            Read::Piece { bytes: rest, ended: false }
        }
    }
}
