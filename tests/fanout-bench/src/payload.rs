//! What the load sends: frames to a server's control connection, and in each an event's data that tells its number and
//! when it was due.

use std::{io, ops::Range};

/// The key of a frame that has none.
pub const NO_KEY: u32 = u32::MAX;
/// The bytes in front of a frame's data: length and key.
pub const FRAME_HEAD: usize = 8;
/// The longest data.
const LONGEST: usize = 1 << 20;

const NUMBER: Range<usize> = 0..10;
const TIME: Range<usize> = 11..30;

/// An event's data: its number, when it was due (nanoseconds of [`machine::now`](crate::machine::now)), and what fills
/// it up to `bytes`.
pub fn data(number: u64, due: u64, bytes: usize) -> Vec<u8> {
    let mut data = format!("{number:010} {due:019} ").into_bytes();
    let letters = b"abcdefghijklmnopqrstuvwxyz".iter().cycle().copied();
    let more = bytes.saturating_sub(data.len());
    data.extend(letters.take(more));
    data
}

/// The number, and when it was due, of data that begins like this.
pub fn read(data: &[u8]) -> Option<(u64, u64)> {
    let digits = |range: Range<usize>| {
        data.get(range)?.iter().try_fold(0_u64, |number, digit| {
            let digit = digit.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + u64::from(digit))
        })
    };
    Some((digits(NUMBER)?, digits(TIME)?))
}

/// A frame of the control connection.
pub fn frame(key: u32, data: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(data.len() + 4).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(key.to_be_bytes());
    out.extend(data);
}

/// The key and the range of the data of the first frame, if it is whole.
///
/// # Errors
/// For a length that no frame has.
pub fn first_frame(bytes: &[u8]) -> io::Result<Option<(u32, Range<usize>)>> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(4..LONGEST).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let Some(key) = rest.first_chunk::<4>().filter(|_| rest.len() >= length) else { return Ok(None) };
    Ok(Some((u32::from_be_bytes(*key), FRAME_HEAD..length + 4)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let data = data(12, 34_000_000_056, 256);
        assert_eq!(data.len(), 256);
        assert_eq!(read(&data), Some((12, 34_000_000_056)));
        assert_eq!(read(b"{\"reason\":\"lag\"}"), None);
    }

    #[test]
    fn frames_come_in_pieces() {
        let mut bytes = Vec::new();
        frame(7, b"one", &mut bytes);
        frame(NO_KEY, b"two", &mut bytes);
        assert_eq!(first_frame(&bytes[..10]).unwrap(), None);
        assert_eq!(first_frame(&bytes).unwrap(), Some((7, 8..11)));
        assert_eq!(first_frame(&bytes[11..]).unwrap(), Some((NO_KEY, 8..11)));
        assert!(first_frame(&[0xff; 8]).is_err());
    }
}
