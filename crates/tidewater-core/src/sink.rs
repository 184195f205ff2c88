//! Where messages are published to.

use std::fmt;

use async_trait::async_trait;

use crate::{Epoch, ExactlyOnce, Message, Position, Result, TopicName, TopicTag, check_writer_id};

/// Publishes messages. Object safe: the hub and the gateway hold an `Arc<dyn Sink>`.
///
/// `Display` names it as its URL does, without secrets: it goes into logs and errors.
#[async_trait]
pub trait Sink: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Publishes one message to the sink's own topic (the message's [`topic`](Message::topic) is not looked at) and
    /// resolves once the broker has it.
    ///
    /// Calls that are under way at the same time are published in no promised order: await one before the next where
    /// the order matters.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) for a message the broker will never take,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) where a retry can help. After an error of the second kind the
    /// message may have been written all the same: at least once, not exactly once.
    ///
    /// # Cancel safety
    /// A call that is dropped may or may not have published.
    async fn send(&self, message: Message) -> Result<Receipt>;

    /// Publishes these in their order, and resolves once the broker has them all.
    ///
    /// The default sends one after the other; a sink that can have several under way without changing their order
    /// does that instead.
    ///
    /// # Errors
    /// As [`send`](Self::send). Any of them may have been written: at least once where all are sent again.
    ///
    /// # Cancel safety
    /// A call that is dropped may or may not have published any of them.
    async fn send_all(&self, messages: Vec<Message>) -> Result<()> {
        for message in messages {
            self.send(message).await?;
        }
        Ok(())
    }

    /// A writer that writes each message of a source once, if this sink can keep the source's position with its
    /// messages; `None`, the default, if it can't. Nothing is connected yet.
    ///
    /// The id tells one such writer's position from another's; [`check_writer_id`] says what it may be.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) for an id that is none.
    fn exactly_once(&self, id: &str) -> Result<Option<Box<dyn ExactlyOnce>>> {
        check_writer_id(id)?;
        Ok(None)
    }

    /// Resolves once everything handed to [`send`](Self::send) so far has been answered by the broker.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Safe: dropping it only stops waiting.
    async fn flush(&self) -> Result<()>;
}

/// What the broker said of a published message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The topic it went to.
    pub topic: TopicName,
    /// Where the broker put it; `None` where it doesn't tell (core NATS).
    pub place: Option<Place>,
}

/// Where a broker put a message: enough to make a resume id of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The cursor's topic.
    pub tag: TopicTag,
    /// Its incarnation, where the sink knows it.
    pub epoch: Option<Epoch>,
    /// The partition.
    pub partition: u32,
    /// The position in that partition.
    pub position: Position,
}
