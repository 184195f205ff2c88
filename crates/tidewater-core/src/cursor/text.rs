//! A cursor as text: what stands in `id:` and comes back in `Last-Event-ID`.
//!
//! base64url without padding (`[A-Za-z0-9_-]`) over:
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version, 1 |
//! | then per topic, sorted by tag | |
//! | 4 | [`TopicTag`], big endian |
//! | 4 | [`EpochTag`], big endian |
//! | varint | `2 × number of partitions`, or `2 × length + 1` for an id without an order |
//! | varint each, or bytes | the next offsets, or the id |
//!
//! Varints are LEB128 of at most 10 bytes. There is one text for each cursor: zeros at the end of a topic's
//! offsets are left out, and padding a varint is refused. 16 partitions with offsets below 2^35 take at most
//! 1 + 8 + 1 + 16 × 5 = 90 bytes, 120 characters.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use super::{Cursor, Next, TopicCursor, trimmed};
use crate::{EpochTag, MAX_OPAQUE_BYTES, TopicTag};

const VERSION: u8 = 1;
/// The longest text that is looked at. Servers refuse longer headers anyhow.
const MAX_TEXT: usize = 64 * 1024;
/// The most partitions that a topic of a cursor may have: Kafka's own practical limit is far below.
const MAX_PARTITIONS: u64 = 32 * 1024;
/// A varint of a 63-bit offset, the largest that a broker gives.
const WORST_OFFSET_BYTES: usize = 9;

impl Cursor {
    /// Appends the text to `out`.
    pub fn write_text(&self, out: &mut String) {
        let mut bytes = Vec::with_capacity(
            1 + self.topics.iter().map(|topic| 10 + topic.offsets().len() * 5).sum::<usize>(),
        );
        bytes.push(VERSION);
        for topic in &self.topics {
            bytes.extend_from_slice(&topic.tag.0.to_be_bytes());
            bytes.extend_from_slice(&topic.epoch.0.to_be_bytes());
            match &topic.next {
                Next::Offsets(offsets) => {
                    let offsets = trimmed(offsets);
                    put_varint(&mut bytes, (offsets.len() as u64) << 1);
                    for offset in offsets {
                        put_varint(&mut bytes, *offset);
                    }
                }
                Next::After(id) => {
                    put_varint(&mut bytes, (id.len() as u64) << 1 | 1);
                    bytes.extend_from_slice(id);
                }
            }
        }
        URL_SAFE_NO_PAD.encode_string(bytes, out);
    }

    /// The longest text that a cursor over topics of so many partitions can have, in characters.
    pub fn worst_text_len(partitions: impl IntoIterator<Item = usize>) -> usize {
        let bytes =
            1 + partitions.into_iter().map(|count| 4 + 4 + 3 + count * WORST_OFFSET_BYTES).sum::<usize>();
        bytes.div_ceil(3) * 4
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_text(&mut text);
        f.write_str(&text)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Reads hostile input: time and memory are linear in its length.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > MAX_TEXT {
            return Err(CursorError::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::NotBase64Url)?;
        let mut rest = match bytes.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((&version, _)) => return Err(CursorError::Version(version)),
            None => return Err(CursorError::Truncated),
        };
        let mut topics: Vec<TopicCursor> = Vec::new();
        while !rest.is_empty() {
            let topic = take_topic(&mut rest)?;
            if topics.last().is_some_and(|last| last.tag >= topic.tag) {
                return Err(CursorError::NotCanonical);
            }
            topics.push(topic);
        }
        Ok(Self { topics })
    }
}

/// Why a text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// Longer than any cursor.
    #[error("longer than any cursor")]
    TooLong,
    /// A character that is not in base64url, or a length that it can't have.
    #[error("not base64url")]
    NotBase64Url,
    /// Of a version that this node doesn't know.
    #[error("of version {0}, and this node knows version {VERSION} only")]
    Version(u8),
    /// It ends in the middle.
    #[error("cut short")]
    Truncated,
    /// A count or a number that no cursor has.
    #[error("a number that is too large")]
    TooLarge,
    /// Not the one text that this cursor would have.
    #[error("not written as this node would write it")]
    NotCanonical,
}

fn take_topic(rest: &mut &[u8]) -> Result<TopicCursor, CursorError> {
    let tag = TopicTag(u32::from_be_bytes(take_array(rest)?));
    let epoch = EpochTag(u32::from_be_bytes(take_array(rest)?));
    let head = take_varint(rest)?;
    let count = head >> 1;
    let next = if head & 1 == 1 {
        if count > MAX_OPAQUE_BYTES as u64 {
            return Err(CursorError::TooLarge);
        }
        Next::After(Bytes::copy_from_slice(take(rest, count as usize)?))
    } else {
        if count > MAX_PARTITIONS {
            return Err(CursorError::TooLarge);
        }
        if count > rest.len() as u64 {
            return Err(CursorError::Truncated);
        }
        let offsets = (0..count).map(|_| take_varint(rest)).collect::<Result<Vec<_>, _>>()?;
        if offsets.last() == Some(&0) {
            return Err(CursorError::NotCanonical);
        }
        Next::Offsets(offsets)
    };
    Ok(TopicCursor { tag, epoch, next })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], CursorError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(CursorError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn take_array(rest: &mut &[u8]) -> Result<[u8; 4], CursorError> {
    let (taken, left) = rest.split_first_chunk().ok_or(CursorError::Truncated)?;
    *rest = left;
    Ok(*taken)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, CursorError> {
    let mut value = 0;
    for (index, byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return Err(CursorError::TooLarge);
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(CursorError::NotCanonical);
            }
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 { CursorError::Truncated } else { CursorError::TooLarge })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> impl Strategy<Value = Cursor> {
        let next = prop_oneof![
            proptest::collection::vec(prop_oneof![0..1000_u64, any::<u64>()], 0..40).prop_map(Next::Offsets),
            proptest::collection::vec(any::<u8>(), 0..200).prop_map(|id| Next::After(id.into())),
        ];
        proptest::collection::vec((any::<u32>(), any::<u32>(), next), 0..6).prop_map(|topics| {
            topics
                .into_iter()
                .map(|(tag, epoch, next)| TopicCursor { tag: TopicTag(tag), epoch: EpochTag(epoch), next })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_cursor_reads_back(cursor in cursors()) {
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(text.parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn what_reads_at_all_is_the_one_text_of_its_cursor(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = URL_SAFE_NO_PAD.encode([&[VERSION][..], &bytes].concat());
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            drop(text.parse::<Cursor>());
        }
    }

    /// I2: the platform's tests expect a CORS preflight past 128 characters.
    #[test]
    fn sixteen_partitions_fit_128_characters() {
        let offsets = vec![(1 << 35) - 1; 16];
        let cursor: Cursor =
            [TopicCursor { tag: TopicTag(1), epoch: EpochTag(2), next: Next::Offsets(offsets) }]
                .into_iter()
                .collect();
        assert!(cursor.to_string().len() <= 128, "{}", cursor.to_string().len());
    }

    #[test]
    fn the_worst_length_is_never_passed() {
        let offsets = vec![i64::MAX as u64; 300];
        let cursor: Cursor =
            [TopicCursor { tag: TopicTag(1), epoch: EpochTag(2), next: Next::Offsets(offsets) }]
                .into_iter()
                .collect();
        assert!(cursor.to_string().len() <= Cursor::worst_text_len([300]));
    }

    #[test]
    fn refusals_say_why() {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes).parse::<Cursor>();
        assert_eq!("".parse::<Cursor>(), Err(CursorError::Truncated));
        assert_eq!("7 8".parse::<Cursor>(), Err(CursorError::NotBase64Url));
        assert_eq!(text(&[9]), Err(CursorError::Version(9)));
        assert_eq!(text(&[1, 0]), Err(CursorError::Truncated));
        assert_eq!(
            text(&[1, 0, 0, 0, 1, 0, 0, 0, 2, 4, 1]),
            Err(CursorError::Truncated),
            "a partition is missing"
        );
        assert_eq!(text(&[1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 1]), Err(CursorError::TooLarge));
        assert_eq!(
            text(&[1, 0, 0, 0, 1, 0, 0, 0, 2, 2, 0]),
            Err(CursorError::NotCanonical),
            "a zero at the end"
        );
        assert_eq!(
            text(&[1, 0, 0, 0, 1, 0, 0, 0, 2, 2, 0x81, 0]),
            Err(CursorError::NotCanonical),
            "a padded varint"
        );
        assert_eq!("A".repeat(MAX_TEXT + 1).parse::<Cursor>(), Err(CursorError::TooLong));
    }
}
