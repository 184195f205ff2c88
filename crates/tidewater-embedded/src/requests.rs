//! What the writer of a log is asked.

use std::sync::Arc;

use tidewater_core::Message;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{failure::Result, tail::Place};

/// Answers one request. Nobody waits any more where that fails.
pub(crate) type Answer<T> = oneshot::Sender<Result<T>>;

/// One thing that the writer is asked. It answers them in their order.
pub(crate) enum Request {
    Append(Append),
    /// Where the log is: opens it, if it isn't.
    Place(Answer<Arc<Place>>),
    /// Has all that was written synced.
    Flush(Answer<()>),
    /// Removes what stands before this offset.
    Remove(u64, Answer<()>),
    /// Takes over the cursor of this id: what it is, and the number to write it with.
    TakeOver(String, Answer<(Option<String>, u64)>),
}

/// Messages that are written together.
pub(crate) struct Append {
    pub(crate) messages: Vec<Message>,
    /// The cursor that is written with them.
    pub(crate) writer: Option<WriterCursor>,
    pub(crate) answer: Answer<Appended>,
    /// Its place among what waits.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// How far a writer that writes each message once has come.
pub(crate) struct WriterCursor {
    pub(crate) id: String,
    /// As it was given when the id was taken over.
    pub(crate) number: u64,
    pub(crate) cursor: String,
}

/// What became of an [`Append`].
#[derive(Clone, Debug)]
pub(crate) struct Appended {
    pub(crate) place: Arc<Place>,
    /// Of its first message.
    pub(crate) offset: u64,
}
