//! The least that turns these streams into events, written by hand.

use std::hint::black_box;

use bytes::Bytes;

use super::Visit;

const DATA: &[u8] = b"data: ";

/// A search for each line end, a check of each line's UTF-8, and a `String` for each event.
///
/// It knows the streams of [`inputs`](crate::inputs) and nothing else: `data: ` and LF, no other field, no limit.
pub(super) fn lines(chunks: &[Bytes], visit: &mut impl Visit) -> Result<(), String> {
    // The beginning of a line whose end is yet to come.
    let mut carry = Vec::new();
    let mut event = Pending::default();
    for chunk in chunks {
        let mut rest = &chunk[..];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if carry.is_empty() {
                event.line(line, visit)?;
            } else {
                carry.extend_from_slice(line);
                event.line(&carry, visit)?;
                carry.clear();
            }
        }
        carry.extend_from_slice(rest);
    }
    Ok(())
}

#[derive(Default)]
struct Pending {
    data: String,
    lines: usize,
}

impl Pending {
    #[inline]
    fn line(&mut self, line: &[u8], visit: &mut impl Visit) -> Result<(), String> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            black_box(&data);
            self.lines = 0;
            visit.event("message", data.as_bytes(), "");
        } else if let Some(text) = line.strip_prefix(DATA) {
            if self.lines > 0 {
                self.data.push('\n');
            }
            self.data.push_str(std::str::from_utf8(text).map_err(|error| error.to_string())?);
            self.lines += 1;
        }
        Ok(())
    }
}
