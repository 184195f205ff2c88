//! Content codings of streams (RFC 9110 §8.4): each batch of the log is compressed once, for all clients.
//!
//! A stream in gzip is one header, then raw deflate blocks (RFC 1951). Those of a batch come from a compressor that
//! knows nothing of what was before, and end at a byte's boundary by a sync flush: so the same bytes are right for every
//! client, wherever it joins. A stream in zstd is one frame for each batch (RFC 8878 §3). Members of gzip that follow each
//! other would be legal too; browsers decode the first one, and drop the rest in silence.
//!
//! | file | holds |
//! |---|---|
//! | `gzip` | blocks, and the member around them |
//! | `sum` | the check sum of a whole stream, from those of its pieces |
//! | `zstd` | frames |
//! | `packed` | what a batch becomes in each encoding, made when the first client wants it |

#[cfg(feature = "gzip")]
mod gzip;
pub(crate) mod packed;
#[cfg(feature = "gzip")]
mod sum;
#[cfg(feature = "zstd")]
mod zstd;

use std::{fmt, str::FromStr};

use bytes::Bytes;
use tidewater_core::{Error, ErrorKind};

use self::packed::Cells;

/// How a stream is compressed ([`EventStream::encoded`](crate::EventStream::encoded)). What there is, the features of
/// this crate say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// One frame for each batch (RFC 8878). Browsers take it on `https` and `localhost`.
    #[cfg(feature = "zstd")]
    Zstd,
    /// One member for the whole stream (RFC 1952). Every browser takes it.
    #[cfg(feature = "gzip")]
    Gzip,
}

impl Encoding {
    /// All that this build has, the one that costs less first.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "zstd")]
        Self::Zstd,
        #[cfg(feature = "gzip")]
        Self::Gzip,
    ];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
            #[cfg(feature = "gzip")]
            Self::Gzip => "gzip",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By its name, in any case. The error does not repeat what was given, which may be anything.
impl FromStr for Encoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|encoding| encoding.as_str().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|encoding| encoding.as_str()).collect();
            let missing = "the features `gzip` and `zstd` add them";
            let there = if all.is_empty() { format!("none: {missing}") } else { all.join(", ") };
            Error::new(
                ErrorKind::Config,
                format!("there is no such encoding of streams (there are: {there})"),
            )
        })
    }
}

/// Bytes of a stream, and where their compressed forms are kept if they are not one client's own.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) bytes: Bytes,
    /// The messages in them.
    pub(crate) events: usize,
    pub(crate) cells: Option<std::sync::Arc<Cells>>,
}

impl Item {
    /// One client's own.
    pub(crate) fn own(bytes: Bytes, events: usize) -> Self {
        Self { bytes, events, cells: None }
    }
}

/// What makes one client's stream of items.
#[derive(Clone, Debug)]
pub(crate) enum Encoder {
    #[cfg(feature = "zstd")]
    Zstd,
    #[cfg(feature = "gzip")]
    Gzip(gzip::Member),
}

impl Encoder {
    pub(crate) fn new(encoding: Encoding) -> Self {
        match encoding {
            #[cfg(feature = "zstd")]
            Encoding::Zstd => Self::Zstd,
            #[cfg(feature = "gzip")]
            Encoding::Gzip => Self::Gzip(gzip::Member::default()),
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match *self {
            #[cfg(feature = "zstd")]
            Self::Zstd => Encoding::Zstd,
            #[cfg(feature = "gzip")]
            Self::Gzip(_) => Encoding::Gzip,
        }
    }

    /// The next item, which can be decoded as soon as it has arrived. Nothing comes after the last one.
    pub(crate) fn encode(&mut self, item: &Item, is_last: bool) -> Bytes {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => match (&item.cells, is_last) {
                (Some(cells), _) => cells.zstd(&item.bytes).clone(),
                (None, _) => zstd::frame(&item.bytes),
            },
            #[cfg(feature = "gzip")]
            Self::Gzip(member) => match &item.cells {
                Some(cells) => member.add(cells.gzip(&item.bytes), is_last),
                None => member.add(&gzip::deflate(&item.bytes), is_last),
            },
            #[cfg(not(any(feature = "gzip", feature = "zstd")))]
            _ => {
                let _ = (&item.cells, is_last);
                item.bytes.clone()
            }
        }
    }

    /// Forgets an item that has not been sent, if `rest` is all of it and these cells keep it.
    pub(crate) fn take_back(&mut self, cells: &Cells, rest: &Bytes) -> bool {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => cells.has_zstd().is_some_and(|frame| is_same(frame, rest)),
            #[cfg(feature = "gzip")]
            Self::Gzip(member) => {
                let kept = cells.has_gzip().filter(|kept| is_same(&kept.bytes, rest));
                kept.map(|kept| member.take_back(kept)).is_some()
            }
            #[cfg(not(any(feature = "gzip", feature = "zstd")))]
            _ => {
                let _ = (cells, rest);
                false
            }
        }
    }
}

/// Whether both are the same piece of memory.
#[cfg(any(feature = "gzip", feature = "zstd"))]
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr_range() == other.as_ptr_range()
}
