//! However a stream is cut and fed, the same comes out of it.
//!
//! The input is a byte for each of the two limits, a byte whose lowest bits are the second decoder's [`Taking`] (the
//! first is asked for items), a [`Feeding`] for each of two decoders, and the stream. They read it on two connections,
//! so that a decoder that failed, or stopped in the middle of something, is also started again.
//!
//! Where limits are passed: both decoders fail, after the same items. Which of two limits a line passed first depends
//! on the cut, and so may the error.

use bytes::Bytes;
use tidewater_core::sse::{Decoder, Limits};

use crate::{
    feeding::{Feeding, Taking},
    literal,
    reading::{Item, Reading},
};

/// Compares two feedings of the same stream with each other, and with the standard's text.
///
/// # Panics
/// If they differ, or a decoder holds more than its limits.
pub fn check(input: &[u8]) {
    let Some((head, mut rest)) = input.split_first_chunk::<3>() else { return };
    let [max_line, max_event, taking] = *head;
    let (Some(one), Some(other)) = (Feeding::take(&mut rest), Feeding::take(&mut rest)) else { return };
    let limits = Limits { max_line_bytes: limit(max_line), max_event_bytes: limit(max_event) };
    let taking = Taking::from_bits(taking);
    let stream = Bytes::copy_from_slice(rest);

    let (mut first, mut second) = (Decoder::with_limits(limits), Decoder::with_limits(limits));
    let mut earlier = Reading::default();
    for (one, other) in [(one, other), (other, one)] {
        first.restart();
        second.restart();
        let (found, error) = one.read(&mut first, limits, &stream, Taking::Items);
        let (also, error_also) = other.read(&mut second, limits, &stream, taking);

        assert_eq!(error.is_some(), error_also.is_some(), "{error:?} and {error_also:?}");
        assert_eq!((&found.last_event_id, found.retry), (&also.last_event_id, also.retry));
        if taking == Taking::Items {
            assert_eq!(found.items, also.items);
        } else {
            let events = found.items.iter().filter(|item| matches!(item, Item::Event { .. }));
            assert!(events.eq(&also.items), "{found:#?}\nand, events alone,\n{also:#?}");
        }

        let wanted = literal::read(&stream, &earlier);
        if error.is_some() {
            let same = wanted.items.get(..found.items.len());
            assert_eq!(same, Some(&*found.items), "before {error:?}, and the standard's text");
        } else {
            assert_eq!(found, wanted, "the decoder, and the standard's text");
        }
        earlier = Reading { items: Vec::new(), ..found };
    }
}

/// Small limits in steps of one, some larger ones, and the default.
fn limit(byte: u8) -> usize {
    match byte {
        0..128 => usize::from(byte),
        128..255 => usize::from(byte - 126) * 64,
        255 => Limits::default().max_line_bytes,
    }
}
