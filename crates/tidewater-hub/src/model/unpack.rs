//! What a client does with a compressed stream: others' decoders, which are given whatever has arrived.

#[cfg(any(feature = "gzip", feature = "zstd"))]
use std::io::Write as _;

use super::oracle::Complaint;
use crate::Encoding;

/// A decoder of one stream.
pub(crate) enum Unpack {
    Plain(Vec<u8>),
    #[cfg(feature = "gzip")]
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl Unpack {
    pub(crate) fn new(encoding: Option<Encoding>) -> Self {
        match encoding {
            None => Self::Plain(Vec::new()),
            #[cfg(feature = "gzip")]
            Some(Encoding::Gzip) => Self::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
            #[cfg(feature = "zstd")]
            Some(Encoding::Zstd) => {
                Self::Zstd(Box::new(zstd::stream::write::Decoder::new(Vec::new()).unwrap()))
            }
        }
    }

    /// What these bytes bring.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Complaint> {
        let taken: std::io::Result<&mut Vec<u8>> = match self {
            Self::Plain(plain) => {
                plain.extend_from_slice(bytes);
                Ok(plain)
            }
            #[cfg(feature = "gzip")]
            Self::Gzip(gzip) => gzip.write_all(bytes).and_then(|()| gzip.flush()).map(|()| gzip.get_mut()),
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.write_all(bytes).and_then(|()| zstd.flush()).map(|()| zstd.get_mut()),
        };
        taken.map(std::mem::take).map_err(|error| format!("it can't be decoded: {error}"))
    }

    /// Whether it is whole, now that the stream has ended.
    pub(crate) fn end(&mut self) -> Result<(), Complaint> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(gzip) => {
                gzip.try_finish().map_err(|error| format!("it ends, and is not whole: {error}"))
            }
            _ => Ok(()),
        }
    }
}
