//! Gzip (RFC 1952): blocks that are shared, and the member that each client has around them.

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Crc, FlushCompress};

use super::sum::Sum;

/// Deflate, no name, no time, an unknown system (RFC 1952 §2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty last block, of fixed codes (RFC 1951 §3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];
/// How much room a thread keeps for what it compresses next.
const KEPT: usize = 256 << 10;

/// Blocks that end at a byte's boundary, and the check sum of what is in them.
#[derive(Clone, Debug)]
pub(crate) struct Deflated {
    pub(crate) bytes: Bytes,
    sum: Sum,
}

/// The member that is one client's stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    begun: bool,
    sum: Sum,
}

impl Member {
    /// What is sent for these blocks: themselves, but for the first ones and the last.
    pub(crate) fn add(&mut self, blocks: &Deflated, is_last: bool) -> Bytes {
        self.sum = self.sum.then(&blocks.sum);
        let is_first = !std::mem::replace(&mut self.begun, true);
        if !is_first && !is_last {
            return blocks.bytes.clone();
        }
        let mut out = BytesMut::with_capacity(HEADER.len() + blocks.bytes.len() + 10);
        if is_first {
            out.put_slice(&HEADER);
        }
        out.put_slice(&blocks.bytes);
        if is_last {
            out.put_slice(&LAST_BLOCK);
            out.put_u32_le(self.sum.crc());
            out.put_u32_le(self.sum.length());
        }
        out.freeze()
    }

    /// The blocks that were added last have not been sent.
    pub(crate) fn take_back(&mut self, blocks: &Deflated) {
        self.sum = self.sum.without(&blocks.sum);
    }
}

/// Compresses bytes as if nothing had been before them.
pub(crate) fn deflate(bytes: &[u8]) -> Deflated {
    thread_local! {
        static USED: RefCell<(Compress, Vec<u8>)> =
            RefCell::new((Compress::new(Compression::default(), false), Vec::new()));
    }
    let mut crc = Crc::new();
    crc.update(bytes);
    let sum = Sum::new(crc.sum(), bytes.len());
    let bytes = USED.with_borrow_mut(|(compress, out)| {
        out.clear();
        let blocks = if run(compress, bytes, out) { Bytes::copy_from_slice(out) } else { stored(bytes) };
        out.shrink_to(KEPT);
        blocks
    });
    Deflated { bytes, sum }
}

/// Answers whether all of it went in, and out.
fn run(compress: &mut Compress, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    compress.reset();
    out.reserve(bytes.len() + bytes.len() / 8 + 64);
    loop {
        let Ok(taken) = usize::try_from(compress.total_in()) else { return false };
        if compress.compress_vec(&bytes[taken..], out, FlushCompress::Sync).is_err() {
            return false;
        }
        if out.len() < out.capacity() {
            return compress.total_in() == bytes.len() as u64;
        }
        out.reserve(bytes.len() / 8 + 64);
    }
}

/// Blocks that are not compressed (RFC 1951 §3.2.4), for want of a compressor.
fn stored(bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + bytes.len() / 1000 + 8);
    for block in bytes.chunks(usize::from(u16::MAX)) {
        let length = block.len() as u16;
        out.put_u8(0);
        out.put_u16_le(length);
        out.put_u16_le(!length);
        out.put_slice(block);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn blocks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let text = prop::collection::vec(prop::sample::select(&b"data: {\"a\":1}\nid: xyz\n\n"[..]), 1..4000);
        let noise = prop::collection::vec(any::<u8>(), 1..4000);
        prop::collection::vec(prop_oneof![text, noise], 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Blocks that know nothing of each other make one member, of which each item can be decoded when it has come;
        /// the trailer is checked by the decoder.
        #[test]
        fn a_member_is_whole_at_every_item(blocks in blocks(), unsent in any::<bool>()) {
            let shared: Vec<Deflated> = blocks.iter().map(|block| deflate(block)).collect();
            let (mut member, mut decoder, mut want) = (Member::default(), GzDecoder::new(Vec::new()), Vec::new());
            for (index, (block, deflated)) in blocks.iter().zip(&shared).enumerate() {
                let is_last = index + 1 == blocks.len();
                if unsent && index > 0 && !is_last {
                    // Two that were not sent, in the order in which they are given back.
                    let others = [&shared[index - 1], &shared[0]];
                    others.iter().for_each(|other| drop(member.add(other, false)));
                    others.iter().rev().for_each(|other| member.take_back(other));
                }
                decoder.write_all(&member.add(deflated, is_last)).unwrap();
                decoder.flush().unwrap();
                want.extend_from_slice(block);
                prop_assert!(decoder.get_ref() == &want, "after item {index}");
            }
            prop_assert_eq!(decoder.finish().unwrap(), want);
        }
    }

    #[test]
    fn what_no_compressor_takes_is_stored() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let mut crc = Crc::new();
        crc.update(&bytes);
        let blocks = Deflated { bytes: stored(&bytes), sum: Sum::new(crc.sum(), bytes.len()) };
        let mut decoder = GzDecoder::new(Vec::new());
        decoder.write_all(&Member::default().add(&blocks, true)).unwrap();
        assert!(decoder.finish().unwrap() == bytes);
    }

    #[test]
    fn a_large_block_leaves_no_large_room_behind() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(3 << 20).collect();
        let deflated = deflate(&noise);
        assert!(deflated.bytes.len() < noise.len() + noise.len() / 100, "{}", deflated.bytes.len());
        assert_eq!(deflate(b"data: x\n\n").bytes, deflate(b"data: x\n\n").bytes);
    }
}
