//! One subject of one stream, as publishers address it.

use std::fmt;

use async_nats::{
    HeaderMap,
    jetstream::{
        ErrorCode,
        context::{PublishAckFuture, PublishError, PublishErrorKind},
        message::PublishMessage,
        publish::PublishAck,
    },
};
use bytes::Bytes;
use tidewater_core::{Error, ErrorKind, Result, Retry, TopicName};

use super::stream::StreamRef;
use crate::{JETSTREAM, convert::EXPECTED_STREAM, error, link::Link};

/// A subject of a stream.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) stream: StreamRef,
    pub(super) subject: TopicName,
}

/// Why a message was not taken, or may not have been.
#[derive(Debug)]
pub(super) enum Refused {
    /// The subject's last message is another one than was expected.
    WrongLast,
    /// The stream takes no batches, or not this one, and may take its messages one by one.
    Batch,
    /// The batch is larger than the server takes.
    LargeBatch,
    Otherwise(Error),
}

impl Address {
    /// Publishes, and waits for the stream's answer.
    pub(super) async fn publish(
        &self,
        link: &Link,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PublishAck, Refused> {
        let acknowledged = async {
            // Two steps: the message is on its way, the answer is here.
            self.send(link, headers, payload).await?.await.map_err(|error| self.refused(error))
        };
        link.ask(&self.subject, acknowledged).await?
    }

    /// Publishes. The answer is to be waited for.
    pub(super) async fn send(
        &self,
        link: &Link,
        mut headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PublishAckFuture, Refused> {
        headers.insert(EXPECTED_STREAM, self.stream.name.as_str());
        let publish = PublishMessage::build().headers(headers).payload(payload);
        let context = link.jetstream(self.stream.connection.api_prefix.as_deref());
        let sent = context.send_publish(self.subject.to_string(), publish).await;
        sent.map_err(|error| self.refused(error))
    }

    /// Publishes without an answer.
    pub(super) async fn tell(
        &self,
        link: &Link,
        mut headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Refused> {
        headers.insert(EXPECTED_STREAM, self.stream.name.as_str());
        let told = link.client().publish_with_headers(self.subject.to_string(), headers, payload).await;
        told.map_err(|error| {
            Refused::Otherwise(if error.kind() == async_nats::client::PublishErrorKind::MaxPayloadExceeded {
                too_large().with_source(error)
            } else {
                error::unavailable(self.to_string()).with_source(error)
            })
        })
    }

    pub(super) fn refused(&self, error: PublishError) -> Refused {
        let stream = &self.stream.name;
        Refused::Otherwise(match error.kind() {
            PublishErrorKind::WrongLastSequence => return Refused::WrongLast,
            PublishErrorKind::MaxPayloadExceeded => too_large().with_source(error),
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
                match answered.as_ref().map(async_nats::jetstream::Error::error_code) {
                    Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT) => return Refused::WrongLast,
                    Some(
                        ErrorCode::ATOMIC_PUBLISH_DISABLED
                        | ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH
                        | ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT,
                    ) => return Refused::Batch,
                    Some(ErrorCode::ATOMIC_PUBLISH_TOO_LARGE_BATCH) => return Refused::LargeBatch,
                    _ => {}
                }
                match answered {
                    Some(answered) => error::api(profile, stream, answered),
                    None => error::request(profile, api, error),
                }
            }
            _ => error::unavailable(format!("{self} has not acknowledged; it may have the message, or not"))
                .with_source(error),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{JETSTREAM}://{}/{}/{}", self.stream.connection.profile, self.stream.name, self.subject)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Otherwise(error)
    }
}

impl From<Refused> for Error {
    /// What is left where nothing was expected and no batch was sent.
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Otherwise(error) => error,
            other => Self::new(ErrorKind::Unavailable, format!("the stream has not taken it: {other:?}")),
        }
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::Rejected, "larger than the NATS server takes")
}
