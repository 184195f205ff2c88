//! Publishing to a NATS subject.

use std::{fmt, sync::Arc};

use async_nats::client::PublishErrorKind;
use async_trait::async_trait;
use tidewater_core::{Error, ErrorKind, Message, Receipt, Result, Sink, SourceUrl, TopicName};
use tokio::sync::Mutex;

use crate::{
    NATS,
    config::NatsConfig,
    convert, error,
    link::{Connection, Link, RoundTrip, refused_before, round_trip},
    names::Subject,
    refusal::{Listener, Refusal},
};

/// Publishes to one subject. That the server has it is all that core NATS can tell: who listens gets it, and it has
/// no place that one could come back to.
///
/// A payload of `None` (a tombstone) goes out as an empty one.
#[derive(Debug)]
pub struct NatsSink {
    connection: Connection,
    subject: TopicName,
    /// Only looked at between two sends.
    line: Mutex<Option<Line>>,
}

/// What is known of the connection.
#[derive(Debug)]
struct Line {
    link: Arc<Link>,
    /// What was refused since the last look.
    refusals: Listener,
    /// A message was let through: a refusal is news now.
    proven: bool,
    /// The server does not let this user have round trips.
    unconfirmed: bool,
}

impl NatsSink {
    /// Reads the URL, `nats://host:4222/subject`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], also for a pattern in place of a subject.
    pub fn open(url: &SourceUrl) -> Result<Self> {
        let (config, _) = NatsConfig::from_url(url, &[])?;
        Self::new(&config, &url.decoded_path()?)
    }

    pub(crate) fn new(config: &NatsConfig, subject: &str) -> Result<Self> {
        let subject = TopicName::new(Subject::concrete(subject)?.as_str());
        config.without_jetstream()?;
        Ok(Self { connection: Connection::new(config.profile()?, None), subject, line: Mutex::default() })
    }

    async fn publish(&self, link: &Link, message: Message) -> Result<()> {
        let headers = convert::headers_of(&message)?;
        let payload = message.payload.unwrap_or_default();
        let (client, subject) = (link.client(), self.subject.to_string());
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
        })
    }

    /// Waits until the server has dealt with what was sent.
    async fn confirm(&self) -> Result<()> {
        let link = self.connection.link().await?;
        let profile = &self.connection.profile;
        let lost = || {
            error::unavailable(format!("NATS at {profile} does not answer; it may have the message, or not"))
        };
        let unconfirmed = self.line.lock().await.as_ref().is_some_and(|line| line.unconfirmed);
        if unconfirmed || link.without_inbox().is_some() {
            link.client().flush().await.map_err(|error| lost().with_source(error))?;
        } else {
            let mut refusals = link.listen();
            match round_trip(link.client(), &mut refusals).await {
                RoundTrip::Done => {}
                RoundTrip::Lost => return Err(lost()),
                RoundTrip::Refused => {
                    tracing::warn!(
                        "{self}: the server doesn't confirm; let the user publish and subscribe to _INBOX.>. From here \
                         on a message counts as sent when it is written to the connection"
                    );
                    self.line.lock().await.iter_mut().for_each(|line| line.unconfirmed = true);
                }
            }
        }
        self.refused().await
    }

    /// Begins to listen for refusals, if it doesn't yet.
    async fn listen(&self, link: &Arc<Link>) {
        let mut line = self.line.lock().await;
        if line.as_ref().is_none_or(|line| !Arc::ptr_eq(&line.link, link)) {
            let refusals = link.listen();
            *line = Some(Line { link: link.clone(), refusals, proven: false, unconfirmed: false });
        }
    }

    /// A refusal of what was sent before; without round trips, perhaps of an earlier message.
    async fn refused(&self) -> Result<()> {
        let mut line = self.line.lock().await;
        let Some(line) = line.as_mut() else { return Ok(()) };
        let ours =
            |refusal: &Refusal| matches!(refusal, Refusal::Publish(subject) if **subject == *self.subject);
        let refusal = if line.proven {
            // Some turns for the client's other task, which passes refusals on.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            line.refusals.already(ours)
        } else {
            refused_before(&mut line.refusals, ours).await
        };
        line.proven = refusal.is_none();
        match refusal {
            Some(refusal) => Err(line.link.refused(&refusal)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Sink for NatsSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        let link = self.connection.link().await?;
        self.listen(&link).await;
        self.publish(&link, message).await?;
        self.confirm().await?;
        Ok(Receipt { topic: self.subject.clone(), place: None })
    }

    async fn flush(&self) -> Result<()> {
        self.confirm().await
    }
}

impl fmt::Display for NatsSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NATS}://{}/{}", self.connection.profile, self.subject)
    }
}
