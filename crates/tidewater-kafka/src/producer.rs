//! A producer of librdkafka's, and what it is given.

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use tidewater_core::{Epoch, Error, ErrorKind, Message, Result};

use crate::{KafkaConfig, client, error, events::Events};

/// How long a receipt waits for the topic id, which it can do without.
const ID_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// A message as a record of librdkafka's; the partition is left to the partitioner.
pub(crate) fn record<'a>(topic: &'a str, message: &'a Message) -> FutureRecord<'a, [u8], [u8]> {
    let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic);
    record.key = message.key.as_deref();
    record.payload = message.payload.as_deref();
    record.headers = headers(message);
    record
}

/// rdkafka's producer, whose drop waits for its threads.
pub(crate) struct Handle {
    /// `None` only while it is dropped.
    client: Option<FutureProducer<Events>>,
    pub(crate) events: Events,
}

impl Handle {
    /// Makes one for `config`, of these properties. Blocks.
    ///
    /// # Errors
    /// If librdkafka makes none of them.
    pub(crate) fn new(config: &KafkaConfig, properties: &ClientConfig) -> Result<Self> {
        config.check()?;
        let events = Events::new(config, config.to_string());
        let client = properties
            .create_with_context(events.clone())
            .map_err(|error| error::no_client(config, "a producer", &error))?;
        Ok(Self { client: Some(client), events })
    }

    pub(crate) fn client(&self) -> Result<&FutureProducer<Events>> {
        self.client.as_ref().ok_or_else(|| Error::new(ErrorKind::Closed, "the producer is closed"))
    }

    /// Blocks.
    pub(crate) fn incarnation(&self, config: &KafkaConfig) -> Option<Epoch> {
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
