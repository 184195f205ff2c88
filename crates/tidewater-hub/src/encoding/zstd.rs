//! Zstandard frames (RFC 8878 §3.1): one for each item of a stream.

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use zstd::{bulk::Compressor, zstd_safe::compress_bound};

/// What the library takes by default. Its window is 2 MiB: browsers take 8 MiB at most (RFC 9659 §3).
const LEVEL: i32 = 3;
/// How much room a thread keeps for what it compresses next.
const KEPT: usize = 256 << 10;
const MAGIC: u32 = 0xfd2f_b528;
/// The largest block (RFC 8878 §3.1.1.2), and a window of that size (§3.1.1.1.2).
const BLOCK: usize = 128 << 10;
const WINDOW_OF_A_BLOCK: u8 = 7 << 3;

/// Compresses bytes into a frame.
pub(crate) fn frame(bytes: &[u8]) -> Bytes {
    thread_local! {
        static USED: RefCell<(Option<Compressor<'static>>, Vec<u8>)> =
            RefCell::new((Compressor::new(LEVEL).ok(), Vec::new()));
    }
    USED.with_borrow_mut(|(compressor, out)| {
        out.clear();
        out.reserve(compress_bound(bytes.len()));
        let done =
            compressor.as_mut().is_some_and(|compressor| compressor.compress_to_buffer(bytes, out).is_ok());
        let frame = if done { Bytes::copy_from_slice(out) } else { raw(bytes) };
        out.shrink_to(KEPT);
        frame
    })
}

/// A frame that is not compressed, for want of a compressor.
fn raw(bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + bytes.len() / BLOCK * 3 + 16);
    out.put_u32_le(MAGIC);
    // No size, no check sum, no dictionary: only the window.
    out.put_slice(&[0, WINDOW_OF_A_BLOCK]);
    let mut blocks = bytes.chunks(BLOCK).peekable();
    while let Some(block) = blocks.next() {
        let is_last = u32::from(blocks.peek().is_none());
        let head = (block.len() as u32) << 3 | is_last;
        out.put_slice(&head.to_le_bytes()[..3]);
        out.put_slice(block);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_compressor_takes_is_raw() {
        for length in [1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect();
            assert!(zstd::decode_all(&*raw(&bytes)).unwrap() == bytes, "{length}");
        }
    }

    /// RFC 9659 §3: browsers refuse a window of more than 8 MiB.
    #[test]
    fn a_window_is_never_larger_than_browsers_take() {
        let line = b"data: one line of many\n";
        let bytes: Vec<u8> = line.iter().copied().cycle().take(20 << 20).collect();
        let frame = frame(&bytes);
        let mut decoder = zstd::Decoder::new(&*frame).unwrap();
        decoder.window_log_max(23).unwrap();
        let mut decoded = Vec::new();
        std::io::Read::read_to_end(&mut decoder, &mut decoded).unwrap();
        assert!(decoded == bytes);
    }
}
