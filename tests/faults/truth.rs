//! What the broker holds, read back by a second client that shares nothing with Tidewater's sources.

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

use crate::books::{Goal, Print, print};

/// All incarnations of a topic, the last of which is there now.
#[derive(Debug)]
pub(crate) struct Truth(Vec<Vec<Log>>);

/// One partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Every message that was ever read of it.
    messages: BTreeMap<u64, Print>,
    /// Those that compaction has removed: a client may have had them, and need not.
    compacted: BTreeSet<u64>,
    kept: Range<u64>,
}

impl Truth {
    /// A topic of so many partitions, of which nothing has been read.
    pub(crate) fn new(partitions: usize) -> Self {
        Self(vec![vec![Log::default(); partitions]])
    }

    #[cfg(test)]
    pub(crate) fn of(incarnations: Vec<Vec<Log>>) -> Self {
        Self(incarnations)
    }

    /// By partition.
    pub(crate) fn incarnations(&self) -> &[Vec<Log>] {
        &self.0
    }

    /// From here on the topic is another one.
    pub(crate) fn begin_incarnation(&mut self) {
        let partitions = self.0.last().map_or(1, Vec::len);
        self.0.push(vec![Log::default(); partitions]);
    }

    /// Reads what has come since.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub(crate) async fn read(&mut self, feed: &Feed) -> Result<()> {
        let logs = self.0.last_mut().context("no incarnation")?;
        let from: Vec<u64> = logs.iter().map(|log| log.kept.end).collect();
        for (log, read) in logs.iter_mut().zip(read(feed, from).await?) {
            log.kept = read.kept;
            log.messages.extend(read.messages);
        }
        Ok(())
    }

    /// Reads all anew, and says how many messages compaction has removed since the last time.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub(crate) async fn reread(&mut self, feed: &Feed) -> Result<usize> {
        let logs = self.0.last_mut().context("no incarnation")?;
        let whole = read(feed, vec![0; logs.len()]).await?;
        let mut removed = 0;
        for (log, read) in logs.iter_mut().zip(whole) {
            let before = log.compacted.len();
            let gone = log.messages.range(read.kept.clone()).map(|(offset, _)| *offset);
            log.compacted.extend(gone.filter(|offset| !read.messages.contains_key(offset)));
            removed += log.compacted.len() - before;
            log.kept = read.kept;
            log.messages.extend(read.messages);
        }
        Ok(removed)
    }

    /// How many messages have been read of all incarnations.
    pub(crate) fn messages(&self) -> u64 {
        self.0.iter().flatten().map(|log| log.messages.len() as u64).sum()
    }

    /// The end of each partition.
    pub(crate) fn ends(&self) -> Vec<u64> {
        self.0.last().map(|logs| logs.iter().map(|log| log.kept.end).collect()).unwrap_or_default()
    }

    /// What a client that has everything had last.
    pub(crate) fn goal(&self) -> Goal {
        let logs = self.0.last().map(Vec::as_slice).unwrap_or_default();
        let last = |log: &Log| log.messages.last_key_value().map(|(offset, print)| (*offset, *print));
        logs.iter().map(last).collect()
    }
}

impl Log {
    #[cfg(test)]
    pub(crate) fn new(messages: impl IntoIterator<Item = (u64, Print)>, kept: Range<u64>) -> Self {
        Self { messages: messages.into_iter().collect(), kept, ..Self::default() }
    }

    /// What stands at an offset.
    pub(crate) fn print(&self, offset: u64) -> Option<Print> {
        self.messages.get(&offset).copied()
    }

    /// The offsets that the broker has now, whether or not there are messages.
    pub(crate) fn kept(&self) -> &Range<u64> {
        &self.kept
    }

    /// The messages from an offset on that have to be given, or told as missing.
    pub(crate) fn wanted(&self, from: u64) -> impl Iterator<Item = u64> {
        let offsets = self.messages.range(from..).map(|(offset, _)| *offset);
        offsets.filter(|offset| !self.compacted.contains(offset))
    }
}

/// What was read of one partition.
#[derive(Debug)]
struct Read {
    kept: Range<u64>,
    messages: BTreeMap<u64, Print>,
}

impl Read {
    fn new(kept: Range<u64>) -> Self {
        Self { kept, messages: BTreeMap::new() }
    }

    fn add(&mut self, offset: u64, name: Option<&[u8]>, key: &[u8], payload: Option<&[u8]>) {
        self.messages.insert(offset, printed(name, key, payload));
    }
}

/// What there is from these offsets on.
async fn read(feed: &Feed, from: Vec<u64>) -> Result<Vec<Read>> {
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

fn read_kafka(topic: &kafka::Topic, from: &[u64]) -> Result<Vec<Read>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", topic.broker())
        .set("group.id", "truth")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .create()?;
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
        reads.push(Read::new(first..end));
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
                let named = headers.filter(|header| header.key == "tidewater-event");
                let name = named.last().map(|header| header.value.unwrap_or_default());
                let (offset, key) = (u64::try_from(message.offset())?, message.key().unwrap_or_default());
                let read = &mut reads[usize::try_from(message.partition())?];
                // What is written meanwhile is for the next time: else there were no end while much is.
                if offset < read.kept.end {
                    read.add(offset, name, key, message.payload());
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
    let mut read = Read::new(state("first_seq")?..state("last_seq")? + 1);
    let sequences: Vec<u64> = (from.max(read.kept.start).max(1)..read.kept.end).collect();
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
            read.add(sequence, header(&bytes("hdrs")?).as_deref(), b"", Some(&bytes("data")?));
        }
    }
    Ok(read)
}

/// The last value of `tidewater-event`.
fn header(head: &[u8]) -> Option<Vec<u8>> {
    let lines = head.split(|byte| *byte == b'\n');
    let mut values = lines.filter_map(|line| line.strip_prefix(b"tidewater-event:"));
    values.next_back().map(|value| value.trim_ascii().to_vec())
}

/// The event that a message is, by the contract with the page: docs/http.md.
pub(crate) fn printed(name: Option<&[u8]>, key: &[u8], payload: Option<&[u8]>) -> Print {
    let Some(payload) = payload else {
        let key = text(key).unwrap_or_else(|| STANDARD.encode(key));
        return print("tidewater.tombstone", &key);
    };
    match text(payload) {
        Some(text) => {
            let name = name.map(String::from_utf8_lossy).filter(|name| {
                let illegal = name.is_empty() || name.contains(['\r', '\n', '\0']);
                let reserved = name.starts_with("tidewater.") || matches!(&**name, "error" | "open");
                !illegal && !reserved
            });
            print(name.as_deref().unwrap_or("message"), &text)
        }
        None => print("tidewater.binary", &STANDARD.encode(payload)),
    }
}

/// As SSE carries it: line ends are LF. What begins with a zero byte is taken for a schema registry's framing.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with('\0'))?;
    Some(text.replace("\r\n", "\n").replace('\r', "\n"))
}
