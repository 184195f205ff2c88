//! What a broker holds, read by another client than the product's: Kafka by librdkafka, JetStream by its API.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Headers,
};
use tidewater_tests::{Feed, PATIENCE, kafka, nats};
use tokio::{task::spawn_blocking, time::timeout};

/// What was read of one partition.
#[derive(Debug)]
pub(crate) struct Read {
    /// The offsets that the broker has, whether or not there are messages.
    pub(crate) kept: Range<u64>,
    pub(crate) messages: BTreeMap<u64, Record>,
}

/// A message, as it stands in the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Kafka's; NATS has none, but headers.
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) payload: Option<Vec<u8>>,
}

/// What there is from these offsets on, by partition.
///
/// # Errors
/// If the broker does not answer; for a subject, which keeps nothing.
pub(crate) async fn read(feed: &Feed, from: Vec<u64>) -> Result<Vec<Read>> {
    match feed {
        Feed::Kafka(topic) => {
            let topic = topic.clone();
            spawn_blocking(move || read_kafka(&topic, &from)).await?.context("reading Kafka back")
        }
        Feed::JetStream(stream) => {
            let read = timeout(PATIENCE, read_stream(stream, from[0])).await;
            Ok(vec![read.context("JetStream does not answer")?.context("reading JetStream back")?])
        }
        Feed::Nats(_) => bail!("a subject keeps nothing that could be read back"),
    }
}

/// A consumer of what is there for readers: of a transaction, when it is committed.
pub(crate) fn consumer(broker: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("group.id", "truth").set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
    // So that it is there soon after the broker is.
    config.set("auto.offset.reset", "error").set("reconnect.backoff.max.ms", "500");
    Ok(config.create()?)
}

fn read_kafka(topic: &kafka::Topic, from: &[u64]) -> Result<Vec<Read>> {
    let consumer = consumer(topic.broker())?;
    let deadline = Instant::now() + PATIENCE;
    let mut reads = Vec::new();
    let mut open = BTreeSet::new();
    let mut wanted = TopicPartitionList::new();
    for (partition, from) in (0..).zip(from) {
        let (first, end) = loop {
            match consumer.fetch_watermarks(topic.name(), partition, Duration::from_secs(5)) {
                Ok((first, end)) => break (u64::try_from(first)?, u64::try_from(end)?),
                Err(error) => ensure!(Instant::now() < deadline, "the bounds: {error}"),
            }
        };
        if first.max(*from) < end {
            let at = Offset::Offset(i64::try_from(first.max(*from))?);
            wanted.add_partition_offset(topic.name(), partition, at)?;
            open.insert(partition);
        }
        reads.push(Read { kept: first..end, messages: BTreeMap::new() });
    }
    consumer.assign(&wanted)?;
    while !open.is_empty() {
        ensure!(Instant::now() < deadline, "no end of partitions {open:?}");
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => eprintln!("reading Kafka back: {error}"),
            Some(Ok(message)) => {
                let headers = message.headers().into_iter().flat_map(Headers::iter);
                let headers =
                    headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
                let record = Record {
                    key: message.key().map(<[u8]>::to_vec),
                    headers: headers.collect(),
                    payload: message.payload().map(<[u8]>::to_vec),
                };
                let offset = u64::try_from(message.offset())?;
                let read = &mut reads[usize::try_from(message.partition())?];
                // What is written meanwhile is for the next time: else there were no end while much is.
                if offset < read.kept.end {
                    read.messages.insert(offset, record);
                }
                if offset + 1 >= read.kept.end {
                    open.remove(&message.partition());
                }
            }
        }
    }
    Ok(reads)
}

/// One message after the other by JetStream's API, which answers in JSON: so headers that no client can read do no harm.
async fn read_stream(stream: &nats::Stream, from: u64) -> Result<Read> {
    /// Questions at a time.
    const WINDOW: usize = 100;
    let mut api = stream.producer().await?;
    let told = api.ask(&format!("$JS.API.STREAM.INFO.{}", stream.name()), &[String::new()]).await?;
    let state = |name: &str| told[0]["state"][name].as_u64().with_context(|| format!("no {name}: {told:?}"));
    let kept = state("first_seq")?..state("last_seq")? + 1;
    let sequences: Vec<u64> = (from.max(kept.start).max(1)..kept.end).collect();
    let mut read = Read { kept, messages: BTreeMap::new() };
    let subject = format!("$JS.API.STREAM.MSG.GET.{}", stream.name());
    for window in sequences.chunks(WINDOW) {
        let questions: Vec<_> = window.iter().map(|sequence| format!("{{\"seq\":{sequence}}}")).collect();
        for answer in api.ask(&subject, &questions).await? {
            const NO_MESSAGE: u64 = 10_037;
            let message = &answer["message"];
            let Some(sequence) = message["seq"].as_u64() else {
                ensure!(answer["error"]["err_code"] == NO_MESSAGE, "{answer}");
                continue;
            };
            let bytes = |name: &str| STANDARD.decode(message[name].as_str().unwrap_or_default());
            let (headers, payload) = (headers(&bytes("hdrs")?), Some(bytes("data")?));
            read.messages.insert(sequence, Record { key: None, headers, payload });
        }
    }
    Ok(read)
}

/// The headers of a head, as far as they are any.
fn headers(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let lines = head.split(|byte| *byte == b'\n');
    let split = lines.filter_map(|line| Some(line.split_at(line.iter().position(|byte| *byte == b':')?)));
    split
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value[1..].trim_ascii().to_vec()))
        .collect()
}
