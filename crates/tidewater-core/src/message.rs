//! One message, as it goes from a source through the hub, or from a client into a sink.

use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::{Position, TopicName, TopicTag};

/// One message. Everything in it is shared: cloning copies no payload.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it was published to: a Kafka topic, a NATS subject.
    pub topic: TopicName,
    /// The topic *of the cursor* that [`position`](Self::position) counts in: the tag of the Kafka topic itself, of
    /// the JetStream stream (whatever the subject), of the NATS subscription.
    pub tag: TopicTag,
    /// The partition; 0 where the source has none.
    pub partition: u32,
    /// Where it stands in that partition. Sinks don't look at it.
    pub position: Position,
    /// The key, where the source has keys.
    pub key: Option<Bytes>,
    /// Headers, in their order; a name may come more than once.
    pub headers: Headers,
    /// The payload. `None` is a Kafka tombstone: "the value of this key is gone".
    pub payload: Option<Bytes>,
    /// When it was written, as the broker says.
    pub timestamp: Option<SystemTime>,
}

impl Message {
    /// A message to publish: no key, no headers, no position yet.
    pub fn new(topic: impl Into<TopicName>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            tag: TopicTag::default(),
            partition: 0,
            position: Position::default(),
            key: None,
            headers: Headers::default(),
            payload: Some(payload.into()),
            timestamp: None,
        }
    }

    /// The same with a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same with these headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Bytes of topic, key, headers and payload together: what a bound on memory counts.
    pub fn size(&self) -> usize {
        self.topic.len()
            + self.key.as_ref().map_or(0, Bytes::len)
            + self.payload.as_ref().map_or(0, Bytes::len)
            + self.headers.iter().map(|header| header.name.len() + header.value.len()).sum::<usize>()
    }
}

/// One header of a message. A value that the broker has as null is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The name, as the broker has it.
    pub name: Arc<str>,
    /// The value.
    pub value: Bytes,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.name, self.value)
    }
}

/// The headers of a message. Cloning copies none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<[Header]>>);

impl Headers {
    /// The last value of this name (exact, case and all).
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.iter().rev().find(|header| &*header.name == name).map(|header| &header.value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.as_deref().unwrap_or_default().iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<N: Into<Arc<str>>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let all: Vec<_> = headers
            .into_iter()
            .map(|(name, value)| Header { name: name.into(), value: value.into() })
            .collect();
        Self((!all.is_empty()).then(|| all.into()))
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
