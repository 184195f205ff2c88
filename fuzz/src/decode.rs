//! The decoder says what the standard's text says.
//!
//! The input is a stream. One decoder reads it over two connections: as it is; and with a long comment behind it,
//! because whole lines of a chunk are read as one text only where many bytes of them are left.

use bytes::Bytes;
use tidewater_core::sse::{Decoder, Limits};

use crate::{
    feeding::{Feeding, Taking},
    literal,
    reading::Reading,
};

/// Ends the line that the input leaves, and is longer than what the decoder would copy.
const BALLAST: [u8; 200] = {
    let mut ballast = [b':'; 200];
    ballast[0] = b'\n';
    ballast[199] = b'\n';
    ballast
};

/// Compares the decoder with the standard's text.
///
/// # Panics
/// If they differ, or the decoder fails.
pub fn check(input: &[u8]) {
    let mut decoder = Decoder::new();
    let mut wanted = Reading::default();
    for stream in [Bytes::copy_from_slice(input), Bytes::from([input, &BALLAST].concat())] {
        decoder.restart();
        wanted = literal::read(&stream, &wanted);
        let (found, error) = Feeding::WHOLE.read(&mut decoder, Limits::default(), &stream, Taking::Items);
        assert_eq!(error, None, "an error far below the limits");
        assert_eq!(found, wanted, "the decoder, and the standard's text");
    }
}
