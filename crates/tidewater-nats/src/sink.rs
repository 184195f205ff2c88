//! Publishing to a NATS subject.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use async_nats::client::PublishErrorKind;
use async_trait::async_trait;
use tidewater_core::{Error, ErrorKind, Message, Receipt, Result, Sink, SourceUrl, TopicName};

use crate::{
    NATS,
    config::{Servers, Subject},
    connect::{Connection, RoundTrip, round_trip},
    convert, error,
};

/// Publishes to one subject. That the server has it is all that core NATS can tell: who listens gets it, and it has
/// no place that one could come back to.
///
/// A payload of `None` (a tombstone) goes out as an empty one.
#[derive(Debug)]
pub struct NatsSink {
    connection: Connection,
    subject: TopicName,
    /// The server does not let this user have round trips.
    unconfirmed: AtomicBool,
}

impl NatsSink {
    /// Reads the URL, `nats://host:4222/subject`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], also for a pattern in place of a subject.
    pub fn open(url: &SourceUrl) -> Result<Self> {
        let servers = Servers::parse(url)?;
        let subject = TopicName::new(Subject::concrete(&url.decoded_path()?)?.as_str());
        url.params()?.finish(&[])?;
        Ok(Self { connection: Connection::new(servers), subject, unconfirmed: AtomicBool::new(false) })
    }

    /// Waits until the server has dealt with what was sent.
    async fn confirm(&self) -> Result<()> {
        let (client, servers) = (self.connection.client().await?, &self.connection.servers);
        let lost = || {
            error::unavailable(format!("NATS at {servers} does not answer; it may have the message, or not"))
        };
        if self.unconfirmed.load(Relaxed) {
            return client.flush().await.map_err(|error| lost().with_source(error));
        }
        match round_trip(client).await {
            RoundTrip::Done => Ok(()),
            RoundTrip::Lost => Err(lost()),
            RoundTrip::Refused => {
                tracing::warn!(
                    "{self}: the server doesn't confirm; let the user publish to _INBOX.>. From here on a message \
                     counts as sent when it is written to the connection"
                );
                self.unconfirmed.store(true, Relaxed);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Sink for NatsSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        let headers = convert::headers_of(&message)?;
        let payload = message.payload.unwrap_or_default();
        let client = self.connection.client().await?;
        let subject = self.subject.to_string();
        let sent = match headers {
            Some(headers) => client.publish_with_headers(subject, headers, payload).await,
            None => client.publish(subject, payload).await,
        };
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Error::new(
                ErrorKind::Rejected,
                format!("larger than the {} bytes that the NATS server takes", client.max_payload()),
            ),
            _ => error::unavailable(format!("publishing to {self}")).with_source(error),
        })?;
        self.confirm().await?;
        Ok(Receipt { topic: self.subject.clone(), place: None })
    }

    async fn flush(&self) -> Result<()> {
        self.confirm().await
    }
}

impl fmt::Display for NatsSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NATS}://{}/{}", self.connection.servers, self.subject)
    }
}
