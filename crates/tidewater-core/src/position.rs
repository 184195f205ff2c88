//! Where a message stands in its partition.

use std::fmt;

use bytes::Bytes;

use crate::{Error, ErrorKind, Result};

/// The longest [`OpaqueId`], in bytes.
pub const MAX_OPAQUE_BYTES: usize = 4096;

/// Where a message stands in its partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// A number that grows along the partition: a Kafka offset, a JetStream stream sequence.
    Offset(u64),
    /// An id without an order, as another SSE endpoint gives: it can be gone back to, not compared.
    Opaque(OpaqueId),
}

impl Position {
    /// The offset, if it is one.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Offset(offset) => Some(*offset),
            Self::Opaque(_) => None,
        }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::Offset(0)
    }
}

/// A foreign id of at most [`MAX_OPAQUE_BYTES`]. Cloning copies no bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OpaqueId(Bytes);

impl OpaqueId {
    /// Takes an id as it came.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] past [`MAX_OPAQUE_BYTES`].
    pub fn new(id: impl Into<Bytes>) -> Result<Self> {
        let id = id.into();
        if id.len() > MAX_OPAQUE_BYTES {
            return Err(Error::new(
                ErrorKind::Config,
                format!("an id of {} bytes: at most {MAX_OPAQUE_BYTES} can be carried in a cursor", id.len()),
            ));
        }
        Ok(Self(id))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for OpaqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
