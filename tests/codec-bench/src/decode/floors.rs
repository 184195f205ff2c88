//! What no decoder can do without, alone: the scan for line ends, the check of UTF-8, a copy.

use std::hint::black_box;

use bytes::Bytes;

/// Something that reads all bytes.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// How reports call it: `floor: …`.
    pub id: &'static str,
    /// Reads all bytes; what it finds is of no use.
    pub run: fn(&[Bytes]) -> usize,
}

/// All of them.
pub const FLOORS: [Floor; 4] = [
    Floor { id: "floor: memchr2", run: scan },
    Floor {
        id: "floor: UTF-8 check, SIMD",
        run: |chunks| check(chunks, |chunk| simdutf8::basic::from_utf8(chunk).is_ok()),
    },
    Floor {
        id: "floor: UTF-8 check, std",
        run: |chunks| check(chunks, |chunk| std::str::from_utf8(chunk).is_ok()),
    },
    Floor { id: "floor: copy", run: copy },
];

fn scan(chunks: &[Bytes]) -> usize {
    chunks.iter().map(|chunk| memchr::memchr2_iter(b'\n', b'\r', chunk).map(black_box).count()).sum()
}

fn check(chunks: &[Bytes], is_utf8: impl Fn(&[u8]) -> bool) -> usize {
    chunks.iter().filter(|chunk| black_box(is_utf8(chunk))).count()
}

fn copy(chunks: &[Bytes]) -> usize {
    let mut copy = Vec::new();
    for chunk in chunks {
        copy.clear();
        copy.extend_from_slice(chunk);
        black_box(&copy);
    }
    copy.len()
}
