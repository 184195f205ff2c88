//! Messages that are written while a fault is on. What of them the broker has taken is the [`Truth`](crate::truth)'s
//! business: what it refuses, or takes twice because its answer was lost, is no fault of whom it is read by.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use async_nats::{HeaderMap, jetstream};
use futures_util::{StreamExt, stream::FuturesUnordered};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tidewater_tests::{Feed, PATIENCE, kafka, nats};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// How much is written, and how large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Messages a second, over all partitions together.
    pub(crate) per_second: u64,
    /// The most bytes that a payload has.
    pub(crate) bytes: usize,
    /// How many keys the messages of each partition have; 0 for none. A key is in one partition only.
    pub(crate) keys: u64,
    /// Whether they have a header, one that no other has.
    pub(crate) headers: bool,
}

impl Rate {
    /// So many small messages a second.
    pub(crate) const fn of(per_second: u64) -> Self {
        Self { per_second, bytes: 120, keys: 0, headers: false }
    }
}

impl Rate {
    fn key(self, partition: u32) -> Option<String> {
        (self.keys > 0).then(|| format!("p{partition}k{}", fastrand::u64(0..self.keys)))
    }

    fn header(self) -> Option<String> {
        self.headers.then(|| format!("{:016x}", fastrand::u64(..)))
    }
}

/// The header that messages have, and the one that a key stands in where there are none else.
const HEADER: &str = "trace";
pub(crate) const KEY_HEADER: &str = "tidewater-key";

/// A producer at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<u64>>,
}

/// One tick of the producer.
const TICK: Duration = Duration::from_millis(20);

impl Load {
    /// Begins to write to a topic of so many partitions.
    pub(crate) fn start(feed: &Feed, partitions: u32, rate: Rate) -> Self {
        let (stop, stopped) = watch::channel(false);
        let feed = feed.clone();
        let task = tokio::spawn(async move {
            match &feed {
                Feed::Kafka(topic) => to_kafka(topic, partitions, rate, stopped).await,
                Feed::JetStream(stream) => to_jetstream(stream, rate, stopped).await,
                Feed::Nats(_) => bail!("what a subject was given can't be read back"),
            }
        });
        Self { stop, task }
    }

    /// Ends it when what is on its way has been taken or given up; says how much the broker has acknowledged.
    ///
    /// # Errors
    /// If it could not write at all.
    pub(crate) async fn stop(self) -> Result<u64> {
        self.stop.send_replace(true);
        timeout(2 * PATIENCE, self.task).await.context("the producer does not end")??
    }
}

async fn to_kafka(
    topic: &kafka::Topic,
    partitions: u32,
    rate: Rate,
    stopped: watch::Receiver<bool>,
) -> Result<u64> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", topic.broker())
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("message.timeout.ms", "45000")
        // So that it is there soon after the broker is.
        .set("reconnect.backoff.max.ms", "500")
        .create()?;
    let (mut taken, mut on_their_way) = (0, FuturesUnordered::new());
    let mut ticks = interval(TICK);
    // A machine that is slow for a while has less to do then, not more afterwards.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = 0.0;
    while !*stopped.borrow() {
        ticks.tick().await;
        due += rate.per_second as f64 * TICK.as_secs_f64();
        while due >= 1.0 {
            due -= 1.0;
            let partition = fastrand::u32(0..partitions);
            let payload = payload(partition, rate.bytes);
            let key = rate.key(partition);
            let mut record =
                FutureRecord::<String, String>::to(topic.name()).partition(partition.cast_signed());
            record.key = key.as_ref();
            record.headers = rate
                .header()
                .map(|value| OwnedHeaders::new().insert(Header { key: HEADER, value: Some(&value) }));
            // A full queue is one that the broker does not empty: what it does not take needn't be there.
            if let Ok(delivery) = producer.send_result(record.payload(&payload)) {
                on_their_way.push(delivery);
            }
        }
        while let Some(Some(delivery)) = futures_util::FutureExt::now_or_never(on_their_way.next()) {
            taken += u64::from(matches!(delivery, Ok(Ok(_))));
        }
    }
    while let Some(delivery) = on_their_way.next().await {
        taken += u64::from(matches!(delivery, Ok(Ok(_))));
    }
    Ok(taken)
}

async fn to_jetstream(stream: &nats::Stream, rate: Rate, stopped: watch::Receiver<bool>) -> Result<u64> {
    /// A server that is away takes nothing, and nobody waits for more than this.
    const IN_FLIGHT: usize = 500;
    let client = async_nats::connect(stream.server()).await?;
    let mut context = jetstream::new(client);
    context.set_timeout(Duration::from_secs(3));
    let subject = stream.subject();
    let (mut taken, mut on_their_way) = (0, FuturesUnordered::new());
    let mut ticks = interval(TICK);
    // A machine that is slow for a while has less to do then, not more afterwards.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = 0.0;
    while !*stopped.borrow() {
        ticks.tick().await;
        due += rate.per_second as f64 * TICK.as_secs_f64();
        while due >= 1.0 {
            due -= 1.0;
            if on_their_way.len() < IN_FLIGHT {
                let (context, subject) = (context.clone(), subject.clone());
                let (payload, mut headers) = (payload(0, rate.bytes), HeaderMap::new());
                let own = [(KEY_HEADER, rate.key(0)), (HEADER, rate.header())];
                for (name, value) in own {
                    value.into_iter().for_each(|value| headers.insert(name, value));
                }
                on_their_way.push(async move {
                    let publish = context.publish_with_headers(subject, headers, payload.into());
                    let sent = timeout(Duration::from_secs(3), publish);
                    let acknowledged = async { anyhow::Ok(sent.await??.await?) };
                    acknowledged.await.is_ok()
                });
                // The order of a stream is that in which it was asked: each is sent before the next.
                if let Some(Some(done)) = futures_util::FutureExt::now_or_never(on_their_way.next()) {
                    taken += u64::from(done);
                }
            }
        }
        while let Some(Some(done)) = futures_util::FutureExt::now_or_never(on_their_way.next()) {
            taken += u64::from(done);
        }
    }
    while let Some(done) = on_their_way.next().await {
        taken += u64::from(done);
    }
    // Its connection is closed in the background.
    sleep(Duration::from_millis(10)).await;
    Ok(taken)
}

/// Writes so many messages of this size to a Kafka topic at once; returns when the broker has them.
///
/// # Errors
/// If it does not take them.
pub(crate) async fn flood(topic: &kafka::Topic, partitions: u32, count: u32, bytes: usize) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", topic.broker()).create()?;
    for number in 0..count {
        let partition = number % partitions;
        let mut payload = payload(partition, 0);
        payload.push_str(&"x".repeat(bytes.saturating_sub(payload.len())));
        let record = FutureRecord::<(), str>::to(topic.name()).partition(partition.cast_signed());
        let sent = producer.send(record.payload(&payload), PATIENCE).await;
        sent.map_err(|(error, _)| error).context("a flood")?;
    }
    Ok(())
}

/// One that no other is like, and that begins with its partition.
pub(crate) fn payload(partition: u32, most: usize) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut text = format!("p{partition} {number} \u{4e16}\u{754c} ");
    let filler = fastrand::usize(0..=most.saturating_sub(text.len()));
    text.push_str(&"x".repeat(filler));
    text
}
