//! The sink: one producer, and the broker's answer for each message.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, Producer as _, future_producer},
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{
    Epoch, Error, ErrorKind, ExactlyOnce, Message, Place, Position, Receipt, Result, Sink, TopicTag,
    check_writer_id,
};

use crate::{
    KIND, KafkaConfig,
    client::TIMEOUT,
    error,
    positions::Positions,
    producer::{Handle, record},
    writer::KafkaWriter,
};

/// How long a known topic id is good for.
const ID_AGE: Duration = Duration::from_secs(10);

/// The most messages that are under way at once.
const WINDOW: usize = 10_000;

/// The most bytes that are under way at once, but for one message.
const WINDOW_BYTES: usize = 32 << 20;

/// Between two looks at a queue that is full.
const PAUSE: Duration = Duration::from_millis(10);

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
    positions: Arc<Positions>,
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
        let positions = Arc::new(Positions::new(&config));
        Ok(Self { config, tag, producer: Mutex::default(), positions, id: tokio::sync::Mutex::default() })
    }

    async fn producer(&self) -> Result<Arc<Handle>> {
        if let Some(producer) = &*self.slot() {
            return Ok(producer.clone());
        }
        let config = self.config.clone();
        let made = tokio::task::spawn_blocking(move || Handle::new(&config, &config.producer()))
            .await
            .map_err(error::thread)??;
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

    async fn publish_all(&self, producer: &Handle, messages: &[Message]) -> Result<(), KafkaError> {
        let client = producer.client().map_err(|_| KafkaError::Canceled)?;
        let (mut window, mut bytes, mut outcome) = (VecDeque::new(), 0, Ok(()));
        for message in messages {
            let size = message.size();
            while outcome.is_ok() && (window.len() >= WINDOW || bytes + size > WINDOW_BYTES) {
                let Some((sent, size)) = window.pop_front() else { break };
                bytes -= size;
                outcome = delivered(sent).await;
            }
            if outcome.is_err() {
                break;
            }
            let (mut next, deadline) = (record(&self.config.topics()[0], message), Instant::now() + TIMEOUT);
            let sent = loop {
                match client.send_result(next) {
                    Ok(sent) => break Ok(sent),
                    Err((KafkaError::MessageProduction(Code::QueueFull), back))
                        if Instant::now() < deadline =>
                    {
                        next = back;
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err((error, _)) => break Err(error),
                }
            };
            match sent {
                Ok(sent) => window.push_back((sent, size)),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
            bytes += size;
        }
        // Each is waited for, so that nothing is still under way when they are sent again.
        for (sent, _) in window {
            outcome = outcome.and(delivered(sent).await);
        }
        outcome
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
        match producer.client()?.send(record(topic, &message), TIMEOUT).await {
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

    /// Up to 10,000 messages and 32 MiB are under way at once; the idempotent producer keeps the order of those that go
    /// to the same partition. Nothing more is sent after the first error, but what was under way then may be there.
    async fn send_all(&self, messages: Vec<Message>) -> Result<()> {
        let producer = self.producer().await?;
        match self.publish_all(&producer, &messages).await {
            Ok(()) => {
                producer.events.works();
                Ok(())
            }
            Err(error) => Err(self.failed(&producer, error.rdkafka_error_code()).await),
        }
    }

    fn exactly_once(&self, id: &str) -> Result<Option<Box<dyn ExactlyOnce>>> {
        check_writer_id(id)?;
        Ok(Some(Box::new(KafkaWriter::new(self.config.clone(), self.positions.clone(), id))))
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

async fn delivered(sent: DeliveryFuture) -> Result<(), KafkaError> {
    match sent.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(error),
        Err(_) => Err(KafkaError::Canceled),
    }
}
