//! Publishing into a JetStream stream.

use std::{fmt, time::Duration};

use async_nats::jetstream::{context::PublishErrorKind, message::PublishMessage, publish::PublishAck};
use async_trait::async_trait;
use tidewater_core::{
    Epoch, Error, ErrorKind, Message, Place, Position, Receipt, Result, Retry, Sink, SourceUrl, TopicName,
};
use tokio::{sync::Mutex, time::Instant};

use super::stream::StreamRef;
use crate::{
    JETSTREAM,
    config::{Servers, Subject, config, stream_and_subject},
    connect::Connection,
    convert::{self, EXPECTED_STREAM},
    error,
};

/// How long the stream's incarnation is taken for known. It is asked for anew at once when sequences go back.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// Publishes to one subject of one stream, `jetstream://host:4222/STREAM/subject`, and waits for the stream's
/// acknowledgement. A subject that belongs to another stream, or to none, is an error.
///
/// A payload of `None` (a tombstone) goes out as an empty one.
#[derive(Debug)]
pub struct JetStreamSink {
    stream: StreamRef,
    subject: TopicName,
    known: Mutex<Option<Known>>,
}

/// The incarnation of the stream, as it was found last.
#[derive(Clone, Copy, Debug)]
struct Known {
    epoch: Epoch,
    asked: Instant,
    /// The last sequence that was given out since.
    last: u64,
}

impl JetStreamSink {
    /// Reads the URL. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], also for a pattern in place of a subject.
    pub fn open(url: &SourceUrl) -> Result<Self> {
        let servers = Servers::parse(url)?;
        let (stream, subject) = stream_and_subject(url)?;
        let subject = subject.ok_or_else(|| {
            config(format!("to publish into the stream {stream:?}, name the subject: {JETSTREAM}://{servers}/{stream}/orders.new"))
        })?;
        let subject = TopicName::new(Subject::concrete(&subject)?.as_str());
        url.params()?.finish(&[])?;
        Ok(Self {
            stream: StreamRef::new(Connection::new(servers), &stream, None),
            subject,
            known: Mutex::default(),
        })
    }

    async fn publish(&self, message: Message) -> Result<PublishAck> {
        let mut headers = convert::headers_of(&message)?.unwrap_or_default();
        headers.insert(EXPECTED_STREAM, self.stream.name.as_str());
        let publish = PublishMessage::build().headers(headers).payload(message.payload.unwrap_or_default());
        let context = self.stream.connection.jetstream().await?;
        let sent = context.send_publish(self.subject.to_string(), publish).await;
        match sent {
            Ok(acknowledged) => acknowledged.await.map_err(|error| self.refused(error)),
            Err(error) => Err(self.refused(error)),
        }
    }

    fn refused(&self, error: async_nats::jetstream::context::PublishError) -> Error {
        let stream = &self.stream.name;
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                Error::new(ErrorKind::Rejected, "larger than the NATS server takes").with_source(error)
            }
            PublishErrorKind::StreamNotFound => Error::new(
                ErrorKind::NotFound,
                format!(
                    "no JetStream stream takes the subject {}: create the stream {stream:?} with it, or correct the URL",
                    self.subject
                ),
            )
            .with_retry(Retry::Later),
            PublishErrorKind::Other => {
                let servers = self.stream.connection.servers.to_string();
                let answered = std::error::Error::source(&error)
                    .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>())
                    .cloned();
                match answered {
                    Some(answered) => error::api(&servers, stream, answered),
                    None => error::request(&servers, error),
                }
            }
            _ => error::unavailable(format!("{self} has not acknowledged; it may have the message, or not"))
                .with_source(error),
        }
    }

    /// The incarnation in which the stream has given out this sequence; `None` if it can't be found out now.
    async fn epoch(&self, sequence: u64) -> Option<Epoch> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_mut()
            && sequence > known.last
            && known.asked.elapsed() < KNOWN_FOR
        {
            known.last = sequence;
            return Some(known.epoch);
        }
        let epoch = self.stream.held().await.ok().map(|held| held.epoch);
        *known = epoch.map(|epoch| Known { epoch, asked: Instant::now(), last: sequence });
        epoch
    }
}

#[async_trait]
impl Sink for JetStreamSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        let acknowledged = match self.publish(message).await {
            Ok(acknowledged) => acknowledged,
            Err(error) => {
                *self.known.lock().await = None;
                return Err(error);
            }
        };
        let sequence = acknowledged.sequence;
        Ok(Receipt {
            topic: self.subject.clone(),
            place: Some(Place {
                tag: self.stream.tag,
                epoch: self.epoch(sequence).await,
                partition: 0,
                position: Position::Offset(sequence),
            }),
        })
    }

    /// There is nothing to wait for: [`send`](Self::send) has waited.
    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Display for JetStreamSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{JETSTREAM}://{}/{}/{}", self.stream.connection.servers, self.stream.name, self.subject)
    }
}
