//! One subscription: a thread that polls a consumer and hands batches to the stream.

use std::{
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{
    Cursor, Delivery, Error, ErrorKind, Gap, GapReason, Message, Result, Retry, Start, Subscription,
};
use tokio::sync::mpsc;

use crate::{
    client::{Metadata, TIMEOUT},
    cluster::{Known, Pooled},
    error,
    events::Truncation,
    topic::{Topic, start},
};

/// What goes into the stream at once.
pub(crate) type Batch = Vec<Result<Delivery>>;

/// The most deliveries in a batch, and the most bytes (one larger message goes alone).
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// How long a poll lasts, and with it how late a dropped stream is noticed.
const POLL: Duration = Duration::from_millis(250);

/// How often topic ids and partitions are asked for, and how soon again when something is wrong.
const CHECK: Duration = Duration::from_secs(10);
const CHECK_SOON: Duration = Duration::from_secs(1);

/// How long a question asked while reading may take: meanwhile nothing is delivered.
const ASK: Duration = Duration::from_secs(3);

/// How often the positions at the ends of partitions are looked at.
const PROGRESS: Duration = Duration::from_millis(100);

/// How often positions outside of their logs are looked at.
const RECOVER: Duration = Duration::from_millis(200);

/// Reads for one stream.
pub(crate) struct Reader {
    metadata: Arc<Metadata>,
    /// `None` only while another one is made.
    consumer: Option<Pooled>,
    topics: Vec<Topic>,
    out: mpsc::Sender<Batch>,
    batch: Batch,
    batch_bytes: usize,
    /// When topic ids are asked for next.
    check_at: Instant,
    /// Until when they are asked for only at `check_at`: nobody answered the last time.
    quiet_until: Instant,
    /// When positions are looked at next, if the end of a partition was reached.
    progress_at: Option<Instant>,
    progress_last: Instant,
    /// When bounds are read to assign anew, if a partition's position is outside of its log.
    recover_at: Option<Instant>,
    recover_last: Instant,
    /// What was truncated and has not been told yet.
    truncated: Vec<Truncation>,
}

/// What a poll brought.
enum Event {
    Nothing,
    Message(usize, Message),
    End,
    Failed(Code, bool),
}

/// Whether the reader goes on.
type Flow = Result<(), Stop>;

enum Stop {
    /// Nobody wants the stream any more.
    Dropped,
    /// The stream ends with this.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Reader {
    /// Resolves the start and assigns it. Blocks.
    ///
    /// # Errors
    /// As [`Source::subscribe`](tidewater_core::Source::subscribe).
    pub(crate) fn open(
        metadata: Arc<Metadata>,
        subscription: &Subscription,
        out: mpsc::Sender<Batch>,
    ) -> Result<Self> {
        let (bounds, incarnations) = metadata.survey(TIMEOUT)?;
        let times = match subscription.start {
            Start::Time(time) => metadata.offsets_at(&incarnations, time, TIMEOUT)?,
            Start::Latest | Start::Earliest => Vec::new(),
        };
        let starts = bounds
            .topics
            .iter()
            .enumerate()
            .map(|(index, topic)| start(topic, subscription, times.get(index)));
        let topics = starts
            .zip(incarnations)
            .zip(&bounds.topics)
            .map(|((next, incarnation), topic)| Topic::new(topic.name.clone(), topic.tag, incarnation, next))
            .collect();
        let now = Instant::now();
        let mut reader = Self {
            metadata,
            consumer: None,
            topics,
            out,
            batch: Vec::new(),
            batch_bytes: 0,
            check_at: now + CHECK,
            quiet_until: now,
            progress_at: None,
            progress_last: now,
            recover_at: None,
            recover_last: now,
            truncated: Vec::new(),
        };
        reader.reopen()?;
        Ok(reader)
    }

    /// Where it stands.
    pub(crate) fn cursor(&self) -> Cursor {
        self.topics.iter().map(Topic::cursor).collect()
    }

    /// Reads until the stream is dropped or ends. Blocks.
    pub(crate) fn run(mut self) {
        loop {
            match self.step() {
                Ok(()) => {}
                Err(Stop::Dropped) => {
                    self.give_back();
                    break;
                }
                Err(Stop::Failed(error)) => {
                    self.batch.push(Err(error.context(self.metadata.config().to_string())));
                    self.flush().ok();
                    break;
                }
            }
        }
    }

    fn step(&mut self) -> Flow {
        if self.out.is_closed() {
            return Err(Stop::Dropped);
        }
        let event = self.poll(if self.batch.is_empty() { self.pause() } else { Duration::ZERO });
        let idle = matches!(event, Event::Nothing);
        // Before the event: nothing of a new incarnation may go out under the old one. If one has changed, the event
        // is forgotten and its place is read again.
        if self.confirm(&event)? {
            return Ok(());
        }
        match event {
            Event::Nothing => {}
            Event::Message(topic, message) => self.deliver(topic, message),
            Event::End => {
                self.progress_at.get_or_insert(self.progress_last + PROGRESS);
            }
            Event::Failed(code, fatal) => self.failed(code, fatal)?,
        }
        if idle || self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        let now = Instant::now();
        if self.recover_at.is_some_and(|at| at <= now) {
            self.recover()?;
        }
        if self.progress_at.is_some_and(|at| at <= now) {
            self.progress();
        }
        Ok(())
    }

    /// How long to wait for an event.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let due = [Some(self.check_at), self.progress_at, self.recover_at].into_iter().flatten();
        due.map(|at| at.saturating_duration_since(now)).fold(POLL, Duration::min)
    }

    fn poll(&self, timeout: Duration) -> Event {
        let Some(consumer) = &self.consumer else { return Event::Nothing };
        match consumer.client.poll(timeout) {
            None => Event::Nothing,
            Some(Ok(message)) => {
                let topic = self.topics.iter().position(|topic| *topic.name == *message.topic());
                topic.map_or(Event::Nothing, |index| {
                    Event::Message(index, self.topics[index].message(&message))
                })
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Event::End,
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => Event::Failed(code, true),
            Some(Err(error)) => Event::Failed(error.rdkafka_error_code().unwrap_or(Code::Fail), false),
        }
    }

    /// Asks for topic ids where there is a reason to, and says whether one has changed.
    fn confirm(&mut self, event: &Event) -> Result<bool, Stop> {
        let moved = self.consumer.as_ref().map(|consumer| consumer.events.take_moved()).unwrap_or_default();
        let moved: Vec<_> = moved.into_iter().filter(|(topic, id)| self.is_news(topic, id)).collect();
        if !moved.is_empty() {
            return self.await_news(&moved);
        }
        let odd = match event {
            Event::Message(index, message) => self.topics[*index].is_odd(message),
            _ => false,
        };
        let now = Instant::now();
        if (odd && now >= self.quiet_until) || now >= self.check_at { self.check() } else { Ok(false) }
    }

    /// Whether this id isn't the one that is being read.
    fn is_news(&self, name: &str, id: &str) -> bool {
        self.topics.iter().any(|topic| *topic.name == *name && topic.incarnation.id != id)
    }

    /// librdkafka has seen another id. The broker that is asked may be a moment behind.
    fn await_news(&mut self, moved: &[(String, String)]) -> Result<bool, Stop> {
        let deadline = Instant::now() + ASK;
        let mut changed = false;
        while moved.iter().any(|(topic, id)| self.is_news(topic, id)) && Instant::now() < deadline {
            changed |= self.check()?;
            thread::sleep(Duration::from_millis(if changed { 0 } else { 20 }));
        }
        Ok(changed)
    }

    fn deliver(&mut self, index: usize, message: Message) {
        if let Some(consumer) = &self.consumer {
            consumer.events.works();
        }
        let size = message.size();
        if let Some(delivery) = self.topics[index].take(message) {
            self.batch_bytes += size;
            self.batch.push(Ok(delivery));
        }
    }

    fn failed(&mut self, code: Code, fatal: bool) -> Flow {
        match code {
            Code::AutoOffsetReset | Code::LogTruncation => {
                self.recover_at.get_or_insert(self.recover_last + RECOVER);
            }
            // Of the group that is never joined; said once, by `Events`.
            Code::GroupAuthorizationFailed => {}
            Code::TopicAuthorizationFailed => return Err(error::from_code("reading", code).into()),
            _ if fatal => {
                let error = error::from_code("librdkafka has given up", code).with_retry(Retry::Later);
                return Err(error.into());
            }
            // librdkafka retries everything else by itself.
            _ => self.check_by(Instant::now() + CHECK_SOON),
        }
        Ok(())
    }

    fn check_by(&mut self, at: Instant) {
        self.check_at = self.check_at.min(at);
    }

    /// Asks for the incarnations of all topics, takes up new partitions and new incarnations, and says whether
    /// something is read from another place now. Blocks.
    fn check(&mut self) -> Result<bool, Stop> {
        self.check_at = Instant::now() + CHECK;
        let described = match self.metadata.describe(ASK) {
            Ok(described) => described,
            Err(error) => {
                tracing::debug!(source = %self.metadata.config(), %error, "topic ids are not known now");
                self.quiet_until = self.check_at;
                return Ok(false);
            }
        };
        let (mut changed, mut grown, mut back) = (false, TopicPartitionList::new(), false);
        for (topic, described) in self.topics.iter_mut().zip(described) {
            match described {
                Ok(found) if found.epoch == topic.incarnation.epoch => {
                    back |= mem::take(&mut topic.gone);
                    topic.recent.clear();
                    for partition in topic.next.len()..found.partitions {
                        tracing::info!(topic = %topic.name, partition, "a new partition");
                        topic.next.push(0);
                        add(&mut grown, &topic.name, partition, 0)?;
                    }
                    topic.incarnation = found;
                }
                Ok(found) if topic.retired.iter().any(|retired| retired.epoch == found.epoch) => {
                    self.check_at = Instant::now() + CHECK_SOON;
                }
                Ok(found) => {
                    tracing::warn!(topic = %topic.name, id = found.id, "the topic was removed and made again");
                    self.batch.push(Ok(topic.renew(found)));
                    changed = true;
                }
                Err(Code::UnknownTopicOrPartition | Code::UnknownTopicId) => {
                    if !mem::replace(&mut topic.gone, true) {
                        tracing::warn!(topic = %topic.name, "the topic is gone: waiting until it is back");
                    }
                    self.check_at = Instant::now() + CHECK_SOON;
                }
                Err(code @ Code::TopicAuthorizationFailed) => {
                    return Err(error::from_code(format!("topic {:?}", &*topic.name), code).into());
                }
                Err(code) => {
                    tracing::debug!(topic = %topic.name, %code, "the topic's id is not known now");
                    self.check_at = Instant::now() + CHECK_SOON;
                }
            }
        }
        if changed {
            self.recover_at = None;
            self.reopen()?;
            return Ok(true);
        }
        if back {
            // Its partitions may have been given up in the meantime.
            self.assign()?;
            return Ok(true);
        }
        if grown.count() > 0 {
            let assigned = self.consumer.as_ref().map(|consumer| consumer.client.incremental_assign(&grown));
            if let Some(Err(error)) = assigned {
                tracing::debug!(%error, "partitions can't be added: all are assigned anew");
                self.assign()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A position is outside of its log: tells what is missing, and assigns again from what is there. Blocks.
    fn recover(&mut self) -> Flow {
        self.recover_last = Instant::now();
        self.recover_at = Some(self.recover_last + CHECK_SOON);
        if let Some(consumer) = &self.consumer {
            self.truncated.extend(consumer.events.take_truncated());
        }
        if self.check()? || self.topics.iter().any(|topic| topic.gone) {
            return Ok(());
        }
        let bounds = match self.metadata.bounds(ASK) {
            Ok(bounds) => bounds,
            Err(error) => {
                tracing::debug!(source = %self.metadata.config(), %error, "bounds are not known now");
                return Ok(());
            }
        };
        for (topic, bounds) in self.topics.iter_mut().zip(&bounds.topics) {
            if bounds.epoch != topic.incarnation.epoch {
                self.check_at = Instant::now();
                return Ok(());
            }
            for (partition, (next, range)) in topic.next.iter_mut().zip(&bounds.partitions).enumerate() {
                let partition = partition as u32;
                if *next > range.end {
                    let error = Error::new(
                        ErrorKind::Unavailable,
                        format!(
                            "{} [{partition}] ends at {} and was read up to {next}: the broker has lost what came after",
                            topic.name, range.end
                        ),
                    );
                    return Err(error.into());
                }
                if *next < range.start {
                    self.batch.push(Ok(Delivery::Gap(Gap {
                        topic: topic.name.clone(),
                        tag: topic.tag,
                        partition,
                        missing: Some(*next..range.start),
                        reason: GapReason::Retention,
                    })));
                    *next = range.start;
                }
                let cut = self.truncated.iter().find(|cut| {
                    *cut.topic == *topic.name && cut.partition == partition as usize && cut.from < *next
                });
                if let Some(cut) = cut {
                    tracing::warn!(
                        topic = %topic.name, partition, from = cut.from, to = *next,
                        "the broker has lost messages that were read already, and has others at their offsets"
                    );
                    // Without a range: those offsets were delivered, and other messages stand there now.
                    self.batch.push(Ok(Delivery::Gap(Gap {
                        topic: topic.name.clone(),
                        tag: topic.tag,
                        partition,
                        missing: None,
                        reason: GapReason::Lost,
                    })));
                }
            }
        }
        self.truncated.clear();
        self.recover_at = None;
        self.assign()?;
        Ok(())
    }

    /// Tells how far the consumer has come without messages. It never has messages at hand that were not delivered
    /// below its position.
    fn progress(&mut self) {
        self.progress_at = None;
        self.progress_last = Instant::now();
        let Some(Ok(positions)) = self.consumer.as_ref().map(|consumer| consumer.client.position()) else {
            return;
        };
        let mut progress = Cursor::default();
        for topic in &mut self.topics {
            let mut moved = false;
            for element in positions.elements_for_topic(&topic.name) {
                let slot =
                    usize::try_from(element.partition()).ok().and_then(|index| topic.next.get_mut(index));
                if let (Some(next), Offset::Offset(position)) = (slot, element.offset()) {
                    let position = u64::try_from(position).unwrap_or(0);
                    moved |= position > *next;
                    *next = position.max(*next);
                }
            }
            if moved {
                progress.set(topic.cursor());
            }
        }
        if !progress.is_empty() {
            self.batch.push(Ok(Delivery::Progress(progress)));
        }
    }

    fn flush(&mut self) -> Flow {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        self.out.blocking_send(mem::take(&mut self.batch)).map_err(|_| Stop::Dropped)
    }

    /// Reads everything with another consumer: the one it has knows an incarnation that is over.
    fn reopen(&mut self) -> Result<()> {
        self.consumer = None;
        let consumer = self.metadata.cluster().consumer(self.metadata.config(), &self.known())?;
        self.consumer = Some(consumer);
        self.assign()
    }

    /// The next subscription may have the consumer, if nothing is wrong with it.
    fn give_back(&mut self) {
        let known = self.known();
        let whole = self.recover_at.is_none() && !self.topics.iter().any(|topic| topic.gone);
        if let Some(consumer) = self.consumer.take()
            && whole
        {
            self.metadata.cluster().give_back(consumer, known);
        }
    }

    fn known(&self) -> Known {
        self.topics.iter().map(|topic| (topic.name.clone(), topic.incarnation.epoch)).collect()
    }

    fn assign(&mut self) -> Result<()> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let mut all = TopicPartitionList::new();
        for topic in &self.topics {
            for (partition, next) in topic.next.iter().enumerate() {
                add(&mut all, &topic.name, partition, *next)?;
            }
        }
        consumer.client.assign(&all).map_err(|error| error::from_kafka("assigning partitions", &error))
    }
}

fn add(list: &mut TopicPartitionList, topic: &str, partition: usize, next: u64) -> Result<()> {
    let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
    list.add_partition_offset(topic, partition as i32, offset)
        .map_err(|error| error::from_kafka(format!("{topic} [{partition}] at {next}"), &error))
}
