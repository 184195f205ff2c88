//! The sink: one producer, and the broker's answer for each message.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _, future_producer},
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{Epoch, Error, ErrorKind, Message, Place, Position, Receipt, Result, Sink, TopicTag};

use crate::{
    KIND, KafkaConfig,
    client::{self, TIMEOUT},
    error,
    events::Events,
};

/// How long a known topic id is good for.
const ID_AGE: Duration = Duration::from_secs(10);

/// How long a receipt waits for the topic id, which it can do without.
const ID_TIMEOUT: Duration = Duration::from_secs(2);

/// The sink of a Kafka topic: idempotent, and each message is answered by the broker's delivery report.
///
/// A message without a payload is a tombstone. The partition is chosen by librdkafka's partitioner from the key
/// (`partitioner` is the property).
///
/// The epoch in a [`Receipt`] is the topic id, asked for at most every 10 seconds, and anew when an offset goes
/// back: right after a topic was removed and made again it may still be that of the old one.
pub struct KafkaSink {
    config: KafkaConfig,
    tag: TopicTag,
    producer: Mutex<Option<Arc<Handle>>>,
    id: tokio::sync::Mutex<Id>,
}

/// The topic id as it was last seen.
#[derive(Default)]
struct Id {
    known: Option<(Epoch, Instant)>,
    last: HashMap<i32, i64>,
}

impl KafkaSink {
    /// The sink of the one topic of `config`. Nothing is connected before it is used.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there are several.
    pub fn new(config: KafkaConfig) -> Result<Self> {
        let [topic] = config.topics() else {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{config} names {} topics: a sink writes to one topic", config.topics().len()),
            ));
        };
        let tag = TopicTag::of(KIND, topic);
        Ok(Self { config, tag, producer: Mutex::default(), id: tokio::sync::Mutex::default() })
    }

    async fn producer(&self) -> Result<Arc<Handle>> {
        if let Some(producer) = &*self.slot() {
            return Ok(producer.clone());
        }
        let config = self.config.clone();
        let made =
            tokio::task::spawn_blocking(move || Handle::new(&config)).await.map_err(error::thread)??;
        // Two may have made one at the same time: the first stays.
        Ok(self.slot().get_or_insert(Arc::new(made)).clone())
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Handle>>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which incarnation this place is in, as far as is known.
    async fn epoch(&self, producer: &Arc<Handle>, partition: i32, offset: i64) -> Option<Epoch> {
        let mut id = self.id.lock().await;
        let back = id.last.insert(partition, offset).is_some_and(|last| offset <= last);
        match id.known {
            Some((epoch, at)) if !back && at.elapsed() < ID_AGE => Some(epoch),
            _ => {
                let (producer, config) = (producer.clone(), self.config.clone());
                let asked = tokio::task::spawn_blocking(move || producer.incarnation(&config)).await;
                id.known = asked.ok().flatten().map(|epoch| (epoch, Instant::now()));
                id.known.map(|(epoch, _)| epoch)
            }
        }
    }

    async fn failed(&self, producer: &Arc<Handle>, code: Option<Code>) -> Error {
        self.id.lock().await.known = None;
        if producer.client().is_ok_and(|client| client.client().fatal_error().is_some()) {
            // An idempotent producer that has lost its sequence is of no more use: the next message makes another.
            let mut slot = self.slot();
            if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, producer)) {
                *slot = None;
            }
        }
        let what = format!("publishing to {}", self.config);
        match code {
            // Timed out, so librdkafka has tried all along: what it met on the way says more.
            Some(Code::MessageTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown) => {
                error::no_broker(&self.config.brokers(), producer.events.last()).context(what)
            }
            Some(Code::QueueFull) => Error::new(
                ErrorKind::Unavailable,
                format!("{what}: the queue of the producer stays full: it writes less than it is given"),
            ),
            Some(code) => error::from_code(what, code),
            None => Error::new(ErrorKind::Internal, what),
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        let topic = &self.config.topics()[0];
        let producer = self.producer().await?;
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic);
        record.key = message.key.as_deref();
        record.payload = message.payload.as_deref();
        record.headers = headers(&message);
        match producer.client()?.send(record, TIMEOUT).await {
            Ok(future_producer::Delivery { partition, offset, .. }) => {
                producer.events.works();
                let place = match (u32::try_from(partition), u64::try_from(offset)) {
                    (Ok(number), Ok(position)) => Some(Place {
                        tag: self.tag,
                        epoch: self.epoch(&producer, partition, offset).await,
                        partition: number,
                        position: Position::Offset(position),
                    }),
                    _ => None,
                };
                Ok(Receipt { topic: topic.clone(), place })
            }
            Err((error, _)) => Err(self.failed(&producer, error.rdkafka_error_code()).await),
        }
    }

    async fn flush(&self) -> Result<()> {
        let Some(producer) = self.slot().clone() else { return Ok(()) };
        let brokers = self.config.brokers();
        let flush = move || {
            let flushed = producer.client()?.flush(3 * TIMEOUT);
            flushed.map_err(|_| error::no_broker(&brokers, producer.events.last()).context("flushing"))
        };
        tokio::task::spawn_blocking(flush).await.map_err(error::thread)?
    }
}

impl fmt::Display for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KafkaSink").field(&self.config).finish()
    }
}

/// rdkafka's producer, whose drop waits for its threads.
struct Handle {
    /// `None` only while it is dropped.
    client: Option<FutureProducer<Events>>,
    events: Events,
}

impl Handle {
    fn new(config: &KafkaConfig) -> Result<Self> {
        config.check()?;
        let events = Events::new(config, config.to_string());
        let client = config
            .producer()
            .create_with_context(events.clone())
            .map_err(|error| error::no_client(config, "a producer", &error))?;
        Ok(Self { client: Some(client), events })
    }

    fn client(&self) -> Result<&FutureProducer<Events>> {
        self.client.as_ref().ok_or_else(|| Error::new(ErrorKind::Closed, "the producer is closed"))
    }

    /// Blocks.
    fn incarnation(&self, config: &KafkaConfig) -> Option<Epoch> {
        // The producer's own thread serves its events.
        let client = self.client().ok()?.client();
        let described = client::describe(client, &self.events, config, config.topics(), ID_TIMEOUT, || {});
        described.ok()?.pop()?.ok().map(|incarnation| incarnation.epoch)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client::drop_apart(client);
        }
    }
}

fn headers(message: &Message) -> Option<OwnedHeaders> {
    (!message.headers.is_empty()).then(|| {
        message.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
            headers.insert(Header { key: &header.name, value: Some(&header.value[..]) })
        })
    })
}
