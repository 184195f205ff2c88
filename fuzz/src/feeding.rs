//! Ways to feed a stream to a decoder.

use bytes::Bytes;
use tidewater_core::sse::{DecodeError, Decoder, Limits};

use crate::reading::{Item, Reading};

/// How a stream is cut and fed, and when items are taken. Eight bytes of an input say it, over and over along the
/// stream, one for each chunk:
///
/// | bits | meaning |
/// |---|---|
/// | 0 to 3 | which of `LENGTHS` the chunk has |
/// | 4 | fed with `feed_bytes`, and so shared; else with `feed`, and copied |
/// | 5 | all that is complete is taken after it |
/// | 6 | one item is taken after it, if not all are; else they wait |
#[derive(Clone, Copy, Debug)]
pub struct Feeding([u8; Self::BYTES]);

/// Lengths of chunks, in bytes. The decoder has ways of its own for up to 8, from 128 on, and from 4096 on.
const LENGTHS: [usize; 16] = [0, 1, 2, 3, 5, 8, 9, 17, 60, 127, 128, 150, 300, 1000, 4100, usize::MAX];

impl Feeding {
    /// So many bytes say it.
    pub const BYTES: usize = 8;
    /// In one shared chunk.
    pub const WHOLE: Self = Self([0x3f; Self::BYTES]);

    /// Takes one from the front of an input; nothing if that is too short.
    pub fn take(input: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = input.split_first_chunk()?;
        *input = rest;
        Some(Self(*bytes))
    }

    /// Feeds all of a stream, takes what comes out in the way that is asked for, and says what the decoder failed with.
    ///
    /// # Panics
    /// If the decoder holds more than it may.
    pub fn read(
        self,
        decoder: &mut Decoder,
        limits: Limits,
        stream: &Bytes,
        taking: Taking,
    ) -> (Reading, Option<DecodeError>) {
        let most = limits.max_line_bytes.saturating_add(limits.max_event_bytes);
        let bounded = |decoder: &Decoder| {
            let held = decoder.buffered();
            assert!(held <= most, "{held} bytes are held, and {most} are the most");
        };
        let mut items = Vec::new();
        let mut rest = stream.clone();
        for (at, step) in self.0.iter().enumerate().cycle() {
            if rest.is_empty() {
                break;
            }
            // One of the eight gets on in any case.
            let length = LENGTHS[usize::from(step & 0x0f)].max(usize::from(at == 0)).min(rest.len());
            let chunk = rest.split_to(length);
            if step & 0x10 == 0 {
                decoder.feed(&chunk)
            } else {
                decoder.feed_bytes(chunk)
            }
            bounded(decoder);
            let count = if step & 0x20 != 0 { usize::MAX } else { usize::from(step >> 6 & 1) };
            if take(decoder, taking, count, &mut items).is_some() {
                break;
            }
            bounded(decoder);
        }
        let error = take(decoder, taking, usize::MAX, &mut items);
        bounded(decoder);
        let last_event_id = decoder.last_event_id().to_owned();
        (Reading { items, last_event_id, retry: decoder.retry() }, error)
    }
}

/// Which way items are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// By `next_item`.
    Items,
    /// Events alone, by `next_event`.
    Events,
    /// Events alone, by `next_event_ref`.
    Lent,
    /// Events alone, by `next_event` and `next_event_ref` in turns.
    Mixed,
}

impl Taking {
    /// One of them, by the two lowest bits.
    pub fn from_bits(bits: u8) -> Self {
        [Self::Items, Self::Events, Self::Lent, Self::Mixed][usize::from(bits & 3)]
    }

    fn next(self, decoder: &mut Decoder, taken: usize) -> Result<Option<Item>, DecodeError> {
        match self {
            Self::Items => Ok(decoder.next_item()?.map(Item::from)),
            Self::Mixed if taken % 2 == 1 => Self::Lent.next(decoder, taken),
            Self::Events | Self::Mixed => Ok(decoder.next_event()?.map(Item::from)),
            Self::Lent => Ok(decoder.next_event_ref()?.map(|event| event.to_event().into())),
        }
    }
}

/// Takes items until there are no more, or these are enough, or an error comes.
fn take(decoder: &mut Decoder, taking: Taking, most: usize, items: &mut Vec<Item>) -> Option<DecodeError> {
    for _ in 0..most {
        match taking.next(decoder, items.len()) {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
    None
}
