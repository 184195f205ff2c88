//! Chunks, cut in any way, into texts of many lines and pieces of lines.
//!
//! What of a chunk begins with a line that lies there whole becomes one text, checked for UTF-8 in one go, and is read
//! there. The end of a line that an earlier chunk began is a piece, and so is all of a small chunk, for which sharing
//! would cost more than copying. Everything is looked at from front to back, as memory likes it.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::{memchr2, memrchr2};

use super::text::Utf8Bytes;

/// What is to be read next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// Lines of which the first is whole and not blank, and the last may be cut.
    Text {
        text: Utf8Bytes,
        /// Where the first line ends.
        first_end: usize,
    },
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
    /// The chunk being read, and what of it is read.
    chunk: Bytes,
    at: usize,
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
                let end = memchr2(b'\n', b'\r', &self.small[self.small_at..]);
                return Some(piece(&self.small, &mut self.small_at, end, &mut self.after_cr));
            }
            self.clear_small();
            if self.at < self.chunk.len() {
                if skip_lf(&mut self.after_cr, &self.chunk, &mut self.at) {
                    continue;
                }
                let rest = &self.chunk[self.at..];
                let first_end = memchr2(b'\n', b'\r', rest);
                if !in_line
                    && rest.len() >= SMALL
                    && let Some(first_end) = first_end.filter(|end| *end > 0)
                    && let Some(text) = self.text(first_end)
                {
                    return Some(Read::Text { text, first_end });
                }
                return Some(piece(&self.chunk, &mut self.at, first_end, &mut self.after_cr));
            }
            // One that is read is given up, also where none follows.
            self.chunk = self.waiting.pop_front().unwrap_or_default();
            self.at = 0;
            if self.chunk.is_empty() && self.waiting.is_empty() {
                return None;
            }
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is left of the chunk; if it is not well-formed UTF-8, as many whole lines as are. None, if that is not so of
    /// the first line, which ends at `first_end`.
    fn text(&mut self, first_end: usize) -> Option<Utf8Bytes> {
        let rest = self.chunk.slice(self.at..);
        let text = Utf8Bytes::try_from(rest.clone()).or_else(|error| {
            // The line with the first ill-formed byte is read by itself, and what follows it after that: each byte is
            // checked twice at most.
            let well_formed = &rest[..error.valid_up_to()];
            let end = memrchr2(b'\n', b'\r', well_formed).map_or(0, |end| end + 1);
            Utf8Bytes::try_from(rest.slice(..end))
        });
        let text = text.ok().filter(|text| text.len() > first_end)?;
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

/// The piece up to the next line end, which is so far away, or to the end of the bytes.
fn piece<'a>(bytes: &'a [u8], at: &mut usize, end: Option<usize>, after_cr: &mut bool) -> Read<'a> {
    let rest = &bytes[*at..];
    let Some(end) = end else {
        *at = bytes.len();
        return Read::Piece { bytes: rest, ended: false };
    };
    *after_cr = rest[end] == b'\r';
    *at += end + 1;
    Read::Piece { bytes: &rest[..end], ended: true }
}
