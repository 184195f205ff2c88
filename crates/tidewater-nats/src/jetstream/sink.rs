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
    config::NatsConfig,
    convert::{self, EXPECTED_STREAM},
    error,
    link::Connection,
    names::{self, Subject, check_stream, stream_and_subject},
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
    /// `None`: the user may not look at the stream.
    epoch: Option<Epoch>,
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
        let (config, _) = NatsConfig::from_url(url, &[])?;
        let (stream, subject) = stream_and_subject(url)?;
        let subject = subject.ok_or_else(|| {
            names::config(format!("to publish into the stream {stream:?}, name the subject: {JETSTREAM}://{config}/{stream}/orders.new"))
        })?;
        Self::new(&config, &stream, &subject)
    }

    pub(crate) fn new(config: &NatsConfig, stream: &str, subject: &str) -> Result<Self> {
        check_stream(stream)?;
        let subject = TopicName::new(Subject::concrete(subject)?.as_str());
        let connection = Connection::new(config.profile()?, config.api_prefix()?);
        Ok(Self { stream: StreamRef::new(connection, stream, None), subject, known: Mutex::default() })
    }

    async fn publish(&self, message: Message) -> Result<PublishAck> {
        let mut headers = convert::headers_of(&message)?.unwrap_or_default();
        headers.insert(EXPECTED_STREAM, self.stream.name.as_str());
        let publish = PublishMessage::build().headers(headers).payload(message.payload.unwrap_or_default());
        let link = self.stream.connection.link().await?;
        let context = link.jetstream(self.stream.connection.api_prefix.as_deref());
        let acknowledged = async {
            // Two steps: the message is on its way, the answer is here.
            context.send_publish(self.subject.to_string(), publish).await?.await
        };
        link.ask(&self.subject, acknowledged).await?.map_err(|error| self.refused(error))
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
                let (profile, api) = (&self.stream.connection.profile, self.stream.connection.api());
                let answered = std::error::Error::source(&error)
                    .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>())
                    .cloned();
                match answered {
                    Some(answered) => error::api(profile, stream, answered),
                    None => error::request(profile, api, error),
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
            return known.epoch;
        }
        let (epoch, told) = match self.stream.held().await {
            Ok(held) => (Some(held.epoch), true),
            Err(error) => (None, error.kind() == ErrorKind::Denied),
        };
        *known = told.then(|| Known { epoch, asked: Instant::now(), last: sequence });
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
        write!(f, "{JETSTREAM}://{}/{}/{}", self.stream.connection.profile, self.stream.name, self.subject)
    }
}
