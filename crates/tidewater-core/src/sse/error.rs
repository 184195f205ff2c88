//! What the codec refuses: small `Copy` errors that say what was wrong and what to do.

use std::fmt;

/// Why a name or an id cannot be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The text holds a byte that would end its line or that parsers reject.
    #[error(
        "{field} holds {} at byte {at}: it must fit one line of the stream, so remove it or send that text as data",
        ByteName(*byte)
    )]
    ForbiddenByte {
        /// The field that was to be written.
        field: Field,
        /// CR (13), LF (10) or NUL (0).
        byte: u8,
        /// Where the first such byte stands, in bytes from the start of the text.
        at: usize,
    },
    /// The text is empty where the stream needs some.
    #[error("{field} is empty, which a parser reads as `message`: leave the name out instead")]
    Empty {
        /// The field that was to be written.
        field: Field,
    },
}

/// A field whose text must fit one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `event`
    EventName,
    /// `id`
    EventId,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EventName => "the event name",
            Self::EventId => "the event id",
        })
    }
}

/// A bound of [`Limits`](super::Limits) that the stream went past. The decoder stays failed: it cannot
/// know where the next event begins.
///
/// Whether there is an error, and what comes before it, does not depend on how the stream is cut; which of the two it is
/// may, where a line is past both bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// One line is too long.
    #[error(
        "a line of the event stream is longer than {limit} bytes: raise `max_line_bytes`, or check that the peer sends an event stream"
    )]
    LineTooLong {
        /// `max_line_bytes`
        limit: usize,
    },
    /// The lines of one event are together too long.
    #[error(
        "an event of the stream is longer than {limit} bytes: raise `max_event_bytes` if such events are wanted"
    )]
    EventTooLong {
        /// `max_event_bytes`
        limit: usize,
    },
}

/// What ends a [`DecodeStream`](super::DecodeStream) early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError<E> {
    /// The byte stream failed: its own error. Connect again with the last event id.
    #[error(transparent)]
    Transport(E),
    /// The bytes went past a bound.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

struct ByteName(u8);

impl fmt::Display for ByteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\r' => f.write_str("a carriage return"),
            b'\n' => f.write_str("a line feed"),
            0 => f.write_str("a NUL"),
            byte => write!(f, "the byte {byte}"),
        }
    }
}
