//! Writing what a source delivers so that the sink has each message once, however often the writer is killed.

use std::fmt;

use async_trait::async_trait;

use crate::{Cursor, Error, ErrorKind, Message, Result};

/// A writer that keeps, in the sink itself and together with the messages, how far it has come in their source. What
/// [`Sink::exactly_once`](crate::Sink::exactly_once) gives.
///
/// Writers are told apart by their id. Of two with the same id the one that called [`resume`](Self::resume) last goes
/// on; what the other one writes from then on is refused or found to be there already, as the sink can.
///
/// ```text
/// let mut next = writer.resume().await?;              // where the last one of this id came to
/// loop { writer.write(batch, &end_of_batch).await? }  // on an error: resume again, and read the source from there
/// ```
#[async_trait]
pub trait ExactlyOnce: fmt::Debug + Send {
    /// Where to read the source from: behind everything that writers of this id have written; `None` if the sink
    /// knows of none. Called first, and again after every error of [`write`](Self::write), which may have written
    /// its messages all the same.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) where a retry can help; [`Denied`](crate::ErrorKind::Denied)
    /// and [`Unsupported`](crate::ErrorKind::Unsupported) where the sink does not let us keep a position.
    ///
    /// # Cancel safety
    /// Safe.
    async fn resume(&mut self) -> Result<Option<Cursor>>;

    /// Writes these in their order, and that the source is to be read from `next` on. `next` is at or behind the last
    /// message's own cursor; a batch without messages only moves it, which a sink may leave until the next message.
    ///
    /// Resolves once the sink has all of it, so that what was written is neither lost nor written again.
    ///
    /// # Errors
    /// As [`Sink::send`](crate::Sink::send). Some of the batch, or all of it, may be written: go on from
    /// [`resume`](Self::resume). [`Closed`](crate::ErrorKind::Closed) where another writer of this id took over.
    ///
    /// # Cancel safety
    /// A call that is dropped may or may not have written: go on from [`resume`](Self::resume).
    async fn write(&mut self, batch: Vec<Transfer>, next: &Cursor) -> Result<()>;
}

/// The longest id of a writer, in characters.
pub const MAX_WRITER_ID: usize = 64;

/// Checks the id of a writer: what every sink can make a name of.
///
/// # Errors
/// [`ErrorKind::Config`] unless it is 1 to [`MAX_WRITER_ID`] of `A-Z`, `a-z`, `0-9`, `-` and `_`.
pub fn check_writer_id(id: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=MAX_WRITER_ID).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!("{id:?} can't be the id of a writer: take 1 to {MAX_WRITER_ID} of A-Z, a-z, 0-9, - and _"),
    ))
}

/// A message on its way from a source to a sink.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The message, as the source delivered it.
    pub message: Message,
    /// Where the source is to be read from once this message is in the sink.
    pub next: Cursor,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_everywhere() {
        for id in ["a", "orders-to_kafka-2", &"x".repeat(MAX_WRITER_ID)] {
            check_writer_id(id).unwrap();
        }
        for id in ["", "a b", "a.b", "a/b", "\u{e4}", "a\n", &"x".repeat(MAX_WRITER_ID + 1)] {
            assert_eq!(check_writer_id(id).unwrap_err().kind(), ErrorKind::Config, "{id:?}");
        }
    }
}
