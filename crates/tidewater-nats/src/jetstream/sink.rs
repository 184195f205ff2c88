//! Publishing into a JetStream stream.

use std::{fmt, time::Duration};

use async_nats::jetstream::context::PublishAckFuture;
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use tidewater_core::{
    Epoch, ErrorKind, ExactlyOnce, Message, Place, Position, Receipt, Result, Sink, SourceUrl, TopicName,
    check_writer_id,
};
use tokio::{sync::Mutex, time::Instant};

use super::{
    address::{Address, Refused},
    stream::StreamRef,
    writer::JetStreamWriter,
};
use crate::{
    JETSTREAM,
    config::NatsConfig,
    convert,
    link::{Connection, Link},
    names::{self, Subject, check_stream, stream_and_subject},
};

/// The most messages that are under way at once.
const WINDOW: usize = 256;

/// The most bytes that are under way at once, but for one message.
const WINDOW_BYTES: usize = 8 << 20;

/// How long the stream's incarnation is taken for known. It is asked for anew at once when sequences go back.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// Publishes to one subject of one stream, `jetstream://host:4222/STREAM/subject`, and waits for the stream's
/// acknowledgement. A subject that belongs to another stream, or to none, is an error.
///
/// A payload of `None` (a tombstone) goes out as an empty one.
#[derive(Debug)]
pub struct JetStreamSink {
    address: Address,
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
        let stream = StreamRef::new(connection, stream, None);
        Ok(Self { address: Address { stream, subject }, known: Mutex::default() })
    }

    async fn publish_all(&self, link: &Link, messages: Vec<Message>) -> Result<(), Refused> {
        // All are polled at the same time, so that what is lost with a connection is given up at the same time too.
        let (mut window, mut bytes, mut outcome) = (FuturesOrdered::new(), 0, Ok(()));
        for message in messages {
            let size = message.size();
            while !window.is_empty() && (window.len() >= WINDOW || bytes + size > WINDOW_BYTES) {
                let Some((acknowledged, size)) = window.next().await else { break };
                bytes -= size;
                outcome = acknowledged;
                if outcome.is_err() {
                    break;
                }
            }
            let sent = match (&outcome, convert::headers_of(&message)) {
                (Err(_), _) => break,
                (Ok(()), Ok(headers)) => {
                    let payload = message.payload.unwrap_or_default();
                    self.address.send(link, headers.unwrap_or_default(), payload).await
                }
                (Ok(()), Err(error)) => Err(error.into()),
            };
            match sent {
                Ok(sent) => window.push_back(async move { (self.acknowledged(sent).await, size) }),
                Err(refused) => outcome = Err(refused),
            }
            if outcome.is_err() {
                break;
            }
            bytes += size;
        }
        // Each is waited for, so that nothing is still under way when they are sent again.
        while let Some((acknowledged, _)) = window.next().await {
            outcome = outcome.and(acknowledged);
        }
        outcome
    }

    async fn acknowledged(&self, acknowledged: PublishAckFuture) -> Result<(), Refused> {
        acknowledged.await.map(drop).map_err(|error| self.address.refused(error))
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
        let (epoch, told) = match self.address.stream.held().await {
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
        let headers = convert::headers_of(&message)?.unwrap_or_default();
        let link = self.address.stream.connection.link().await?;
        let published = self.address.publish(&link, headers, message.payload.unwrap_or_default()).await;
        let acknowledged = match published {
            Ok(acknowledged) => acknowledged,
            Err(refused) => {
                *self.known.lock().await = None;
                return Err(refused.into());
            }
        };
        let sequence = acknowledged.sequence;
        Ok(Receipt {
            topic: self.address.subject.clone(),
            place: Some(Place {
                tag: self.address.stream.tag,
                epoch: self.epoch(sequence).await,
                partition: 0,
                position: Position::Offset(sequence),
            }),
        })
    }

    /// Up to 256 messages and 8 MiB are under way at once, on one connection and so in their order. Nothing more is sent
    /// after the first error, but what was under way then may be there: the stream then has it before what failed.
    async fn send_all(&self, messages: Vec<Message>) -> Result<()> {
        let link = self.address.stream.connection.link().await?;
        let published = link.ask(&self.address.subject, self.publish_all(&link, messages)).await?;
        if published.is_err() {
            *self.known.lock().await = None;
        }
        Ok(published?)
    }

    fn exactly_once(&self, id: &str) -> Result<Option<Box<dyn ExactlyOnce>>> {
        check_writer_id(id)?;
        Ok(Some(Box::new(JetStreamWriter::new(self.address.clone(), id))))
    }

    /// There is nothing to wait for: [`send`](Self::send) has waited.
    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Display for JetStreamSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
