//! The position of a writer, on the messages that it has written: who, and where it reads its source from then.
//!
//! ```text
//! Tidewater-Writer: orders-to-nats.12.k3f9x0ab
//! Tidewater-Next: AVT9…
//! ```
//!
//! The position lives and dies with the messages, needs nothing beside the stream, and is stored by the same write.

use async_nats::HeaderMap;
use tidewater_core::{Cursor, Error, ErrorKind, Result};

use super::{address::Address, single::Single};
use crate::convert::{self, NEXT, WRITER};

/// The most messages of others that are looked at for one of ours.
pub(super) const LOOK_BACK: usize = 4096;

/// How many of the newest sequences are looked at first.
const FIRST_LOOK: u64 = 64;

/// Which writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) id: String,
    /// One more than that of whom it goes on from.
    pub(super) generation: u64,
    /// Tells it from others, for those who look at messages.
    pub(super) token: String,
}

/// What a message says of who has written it.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) writer: Writer,
    pub(super) next: Cursor,
}

impl Writer {
    /// The next one of this id.
    pub(super) fn after(id: &str, last: Option<&Mark>, token: &str) -> Self {
        let generation = last.map_or(1, |mark| mark.writer.generation.saturating_add(1));
        Self { id: id.to_owned(), generation, token: token.to_owned() }
    }

    /// Says so on a message.
    pub(super) fn mark(&self, headers: &mut HeaderMap, next: &Cursor) {
        headers.insert(WRITER, format!("{}.{}.{}", self.id, self.generation, self.token));
        headers.insert(NEXT, next.to_string());
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (id, generation, token) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { id: id.to_owned(), generation: generation.parse().ok()?, token: token.to_owned() })
    }
}

impl Mark {
    /// What a message says, if it is of a writer of this id.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it can't be read.
    fn of(message: &Single, id: &str) -> Result<Option<Self>> {
        let value = |wanted: &str| {
            let found = convert::by_hand(&message.head).filter(|(name, _)| *name == wanted).last();
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let Some(text) = value(WRITER).filter(|text| text.split('.').next() == Some(id)) else {
            return Ok(None);
        };
        let next = value(NEXT).and_then(|next| next.parse().ok());
        match (Writer::parse(&text), next) {
            (Some(writer), Some(next)) => Ok(Some(Self { writer, next })),
            _ => Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "message {} has a position of the writer {id:?} that can't be read: remove it from the stream, or \
                     take another id",
                    message.sequence
                ),
            )),
        }
    }
}

/// What was found of a writer.
#[derive(Debug)]
pub(super) struct Found {
    /// The sequence of the subject's last message, whoever wrote it; 0 if there is none.
    pub(super) last: u64,
    /// The last one of the writer.
    pub(super) mark: Option<Mark>,
}

impl Address {
    /// Looks for the last message of a writer of this id, from the end back to `from`, past at most [`LOOK_BACK`]
    /// messages of others.
    ///
    /// # Errors
    /// As [`StreamRef::message`](super::stream::StreamRef::message); [`ErrorKind::Internal`] for a position that can't
    /// be read.
    pub(super) async fn find(&self, id: &str, from: u64) -> Result<Found> {
        let last = self.stream.last_of(&self.subject).await?;
        let Some(last) = last.filter(|last| last.sequence >= from) else {
            return Ok(Found { last: 0, mark: None });
        };
        let mut found = Found { last: last.sequence, mark: Mark::of(&last, id)? };
        // There is no way to read backwards: ever longer stretches are read forwards, each up to where the one before
        // began.
        let (mut end, mut stretch, mut looked) = (last.sequence, FIRST_LOOK, 0);
        while found.mark.is_none() && end > from && looked < LOOK_BACK {
            let begin = end.saturating_sub(stretch).max(from);
            let mut next = begin;
            while let Some(message) = self.stream.next_of(&self.subject, next).await?
                && message.sequence < end
            {
                found.mark = Mark::of(&message, id)?.or(found.mark);
                next = message.sequence + 1;
                looked += 1;
            }
            (end, stretch) = (begin, stretch * 4);
        }
        if found.mark.is_none() && end > from {
            tracing::warn!(
                sink = %self, writer = id, messages = looked,
                "the last messages of the subject are all of others: this writer's position, if it has one, is too far back"
            );
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_read_as_they_are_written() {
        let first = Writer::after("a-b_1", None, "x");
        let mut headers = HeaderMap::new();
        first.mark(&mut headers, &Cursor::default());
        let text = headers.get(WRITER).unwrap().as_str();
        assert_eq!(Writer::parse(text), Some(first.clone()));
        let mark = Mark { writer: first, next: Cursor::default() };
        assert_eq!(Writer::after("a-b_1", Some(&mark), "y").generation, 2);
        for text in ["", "a", "a.1", "a.x.y", "a.-1.y"] {
            assert_eq!(Writer::parse(text), None, "{text}");
        }
    }
}
