//! Reading a JetStream stream.

use std::fmt;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tidewater_core::{
    Bounds, Capabilities, Cursor, Next, Result, ShareKey, Source, SourceUrl, Subscribed, Subscription,
    TopicBounds, TopicCursor,
};

use super::{reader::Reader, start, stream::StreamRef};
use crate::{
    JETSTREAM,
    config::NatsConfig,
    link::Connection,
    names::{Subject, check_stream, stream_and_subject},
};

/// The bytes that are asked for at once, unless the URL says otherwise.
const READ_AHEAD: usize = 4 << 20;

/// Reads a stream, or the subjects of it that a filter matches.
///
/// `jetstream://host:4222/STREAM/filter.subject.>?read_ahead=4194304`. The parameter `read_ahead` is how many bytes are
/// asked for at once, and so the most that waits here unread (raised when the largest message wouldn't fit).
///
/// Its one topic is the stream, an offset is a sequence of the stream, and the epoch is the time of its creation. So a
/// cursor is good for every filter on the stream. Sequences begin at 1.
#[derive(Clone, Debug)]
pub struct JetStreamSource {
    stream: StreamRef,
    read_ahead: usize,
}

impl JetStreamSource {
    /// Reads the URL. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](tidewater_core::ErrorKind::Config), saying what is wrong with it.
    pub fn open(url: &SourceUrl) -> Result<Self> {
        let (config, mut params) = NatsConfig::from_url(url, &["read_ahead"])?;
        let (name, filter) = stream_and_subject(url)?;
        Self::new(&config, &name, filter.as_deref(), params.parse("read_ahead", "a number of bytes")?)
    }

    pub(crate) fn new(
        config: &NatsConfig,
        stream: &str,
        filter: Option<&str>,
        read_ahead: Option<usize>,
    ) -> Result<Self> {
        check_stream(stream)?;
        let filter = filter.map(Subject::pattern).transpose()?.map(|filter| filter.to_string());
        let connection = Connection::new(config.profile()?, config.api_prefix()?);
        let read_ahead = read_ahead.unwrap_or(READ_AHEAD);
        Ok(Self { stream: StreamRef::new(connection, stream, filter), read_ahead })
    }
}

#[async_trait]
impl Source for JetStreamSource {
    fn kind(&self) -> &'static str {
        JETSTREAM
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replay: true, from_time: true, partitioned: false, mergeable: true }
    }

    async fn bounds(&self) -> Result<Bounds> {
        let held = self.stream.held().await?;
        let range = held.first..held.end;
        Ok(Bounds {
            topics: vec![TopicBounds {
                name: self.stream.name.clone(),
                tag: self.stream.tag,
                epoch: held.epoch,
                partitions: vec![range],
            }],
        })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let held = self.stream.held().await?;
        let next = start::resolve(&self.stream, &held, &subscription).await?;
        let reader = Reader::open(self.stream.clone(), held.epoch, next, self.read_ahead).await?;
        let start =
            TopicCursor { tag: self.stream.tag, epoch: held.epoch.tag(), next: Next::Offsets(vec![next]) };
        let deliveries = futures_util::stream::unfold(reader, async |mut reader| {
            let delivery = reader.next().await?;
            Some((delivery, reader))
        });
        Ok(Subscribed { start: Cursor::from_iter([start]), deliveries: deliveries.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        let StreamRef { connection, name, filter, .. } = &self.stream;
        let mut parts = connection.profile.parts();
        let filter = filter.as_deref().unwrap_or_default();
        for part in [connection.api(), &**name, filter, &self.read_ahead.to_string()] {
            parts.push(part.as_bytes().to_vec());
        }
        Some(ShareKey::new(JETSTREAM, parts))
    }
}

impl fmt::Display for JetStreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{JETSTREAM}://{}/{}", self.stream.connection.profile, self.stream.name)?;
        match &self.stream.filter {
            Some(filter) => write!(f, "/{filter}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_shown_without_secrets() {
        let open = |url: &str| JetStreamSource::open(&url.parse().unwrap());
        let source = open("jetstream://s3cret@a:4222/ORDERS/orders.%3E?read_ahead=1000").unwrap();
        assert_eq!(source.to_string(), "jetstream://a:4222/ORDERS/orders.>");
        assert!(!format!("{source:?}").contains("s3cret"));
        assert_eq!(open("jetstream://a/S").unwrap().to_string(), "jetstream://a/S");
        for (url, what) in [
            ("jetstream://a/", "STREAM/subject"),
            ("jetstream://a/S/x..y", "nothing stands"),
            ("jetstream://a/S?start=3", "there are: read_ahead"),
            ("jetstream://a/S?domain=a&api_prefix=b", "api_prefix"),
        ] {
            let error = open(url).unwrap_err();
            assert!(error.to_string().contains(what), "{url}: {error}");
        }
    }
}
