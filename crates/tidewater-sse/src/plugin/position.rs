//! Where an event stands in a stream of which only the server knows the order.
//!
//! An event with an id of its own stands at that id. One without stands so many events behind the last id: a server
//! that is asked to go on from that id sends it again, and it is counted past. A stream without any id can't be gone
//! back to; its events are counted too, within one run of the stream that nobody else has.
//!
//! | bytes | meaning |
//! |---|---|
//! | `1`, varint, the id | so many events behind the id; 0 is the id itself |
//! | `0`, varint, 8 bytes | so many events behind the begin of this run |
//!
//! Varints are LEB128, of at most 5 bytes.

use bytes::Bytes;
use tidewater_core::{Error, ErrorKind, OpaqueId, Result};

/// The longest id that is carried on, in bytes: in a cursor it grows by a third, and browsers send it in a header.
pub(super) const MAX_ID_BYTES: usize = 2048;

/// Where an event stands, or a client that has had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) base: Base,
    /// Events behind it, without an id of their own.
    pub(super) behind: u32,
}

/// What events are counted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// An id that the server can go on from.
    Id(String),
    /// The begin of a run: a random number.
    Run([u8; 8]),
}

impl Place {
    /// The begin of a run that nobody else has.
    pub(super) fn run() -> Self {
        Self { base: Base::Run(fastrand::u64(..).to_be_bytes()), behind: 0 }
    }

    /// At this id, which is not empty.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if it is too long.
    pub(super) fn at(id: &str) -> Result<Self> {
        if id.len() > MAX_ID_BYTES {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "an event id of {} bytes: at most {MAX_ID_BYTES} can be carried on to browsers",
                    id.len()
                ),
            ));
        }
        Ok(Self { base: Base::Id(id.to_owned()), behind: 0 })
    }

    /// What a server is asked to go on from; empty in a run.
    pub(super) fn id(&self) -> &str {
        match &self.base {
            Base::Id(id) => id,
            Base::Run(_) => "",
        }
    }

    /// As it stands in a cursor.
    pub(super) fn to_bytes(&self) -> Bytes {
        let (kind, base): (u8, &[u8]) = match &self.base {
            Base::Run(run) => (0, run),
            Base::Id(id) => (1, id.as_bytes()),
        };
        let mut bytes = vec![kind];
        let mut rest = self.behind;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes.extend_from_slice(base);
        bytes.into()
    }

    /// As it stands in a message.
    ///
    /// # Errors
    /// None for a place that was made here.
    pub(super) fn to_position(&self) -> Result<OpaqueId> {
        OpaqueId::new(self.to_bytes())
    }

    /// Reads what stood in a cursor: hostile input.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        let mut behind = 0_u64;
        for shift in (0..35).step_by(7) {
            let (byte, after) = rest.split_first()?;
            rest = after;
            behind |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let behind = u32::try_from(behind).ok()?;
                let base = match kind {
                    0 => Base::Run(rest.try_into().ok()?),
                    1 if !rest.is_empty() && rest.len() <= MAX_ID_BYTES => {
                        let id = std::str::from_utf8(rest).ok()?;
                        // It would be sent in a header.
                        (!id.contains(|c: char| c.is_control() && c != '\t'))
                            .then(|| Base::Id(id.to_owned()))?
                    }
                    _ => return None,
                };
                return Some(Self { base, behind });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_read_back() {
        for base in [Base::Id("é/7".into()), Base::Id("x".repeat(MAX_ID_BYTES)), Base::Run([7; 8])] {
            for behind in [0, 1, 127, 128, 70_000, u32::MAX] {
                let place = Place { base: base.clone(), behind };
                assert_eq!(Place::from_bytes(&place.to_bytes()), Some(place.clone()));
                assert_eq!(place.to_position().unwrap().as_bytes(), &place.to_bytes());
            }
        }
    }

    #[test]
    fn what_was_never_given_out_is_no_place() {
        let long = [&b"\x01\x00"[..], &[b'x'; MAX_ID_BYTES + 1]].concat();
        for bytes in [
            &b""[..],
            b"\x01",
            b"\x01\x00",
            b"\x02\x00x",
            b"\x01\x80",
            b"\x01\xff\xff\xff\xff\xff\xff",
            b"\x01\xff\xff\xff\xff\x7fx",
            b"\x00\x00short",
            b"\x00\x00much too long",
            b"\x01\x00\xff",
            b"\x01\x00a\nb",
            &long,
        ] {
            assert_eq!(Place::from_bytes(bytes), None, "{bytes:?}");
        }
        assert_eq!(Place::at(&"x".repeat(MAX_ID_BYTES + 1)).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
