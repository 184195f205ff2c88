//! The questions about topics and offsets.
//!
//! Everything that asks here blocks: it is called on blocking threads only.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    client::Client,
    consumer::{BaseConsumer, Consumer as _},
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{Bounds, Result, TopicBounds, TopicName, TopicTag};

use crate::{
    KIND, KafkaConfig,
    cluster::Cluster,
    error,
    events::Events,
    topic_ids::{Described, Incarnation, Question},
};

/// How long a question may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long after "all brokers are down" a question is given up. The first address of a name (`localhost` as `::1`)
/// may be refused while the next one answers.
const GRACE: Duration = Duration::from_secs(1);

/// How long one broker is waited for before another one is looked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait before the same question is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// What is asked about the topics of a source.
pub(crate) struct Metadata {
    config: KafkaConfig,
    cluster: Arc<Cluster>,
}

impl Metadata {
    pub(crate) fn new(config: KafkaConfig) -> Self {
        let cluster = Cluster::of(&config);
        Self { config, cluster }
    }

    pub(crate) fn config(&self) -> &KafkaConfig {
        &self.config
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The incarnation of each topic, in the order of the configuration. Blocks.
    ///
    /// # Errors
    /// Only if no broker answers: what is wrong with a topic stands in its place.
    pub(crate) fn describe(&self, timeout: Duration) -> Result<Vec<Result<Incarnation, Code>>> {
        let client = self.cluster.client()?;
        let drain = || drain(&client);
        let described = describe(
            client.client(),
            self.cluster.events(),
            &self.config,
            self.config.topics(),
            timeout,
            drain,
        );
        self.cluster.answered(&client, described.is_ok(), Instant::now());
        described
    }

    /// What every topic holds now. Blocks.
    ///
    /// # Errors
    /// `NotFound` or `Denied` for a topic, `Unavailable` if nobody answers.
    pub(crate) fn bounds(&self, timeout: Duration) -> Result<Bounds> {
        self.survey(timeout).map(|(bounds, _)| bounds)
    }

    /// The same, with the incarnations that they belong to. Blocks.
    ///
    /// # Errors
    /// As [`bounds`](Self::bounds).
    pub(crate) fn survey(&self, timeout: Duration) -> Result<(Bounds, Vec<Incarnation>)> {
        let deadline = Instant::now() + timeout;
        let mut incarnations = self.incarnations(deadline)?;
        loop {
            let first = self.offsets(&incarnations, Offset::Beginning, deadline);
            let end = self.offsets(&incarnations, Offset::End, deadline);
            // Asked again, so that offsets of one incarnation never stand under the id of another.
            let after = self.incarnations(deadline)?;
            match (first, end) {
                (Ok(first), Ok(end)) if after == incarnations => {
                    let bounds = self.assemble(&incarnations, &first, &end);
                    bounds.check()?;
                    return Ok((bounds, incarnations));
                }
                (Err(error), _) | (_, Err(error))
                    if after == incarnations && (!passing(error.0) || Instant::now() >= deadline) =>
                {
                    return Err(self.offsets_error(error));
                }
                _ if Instant::now() >= deadline => {
                    return Err(error::no_broker(&self.config.brokers(), None));
                }
                _ => {}
            }
            incarnations = after;
            thread::sleep(PAUSE);
        }
    }

    /// Per topic and partition the first offset written at `time` or later, where there is one. Blocks.
    ///
    /// # Errors
    /// As [`bounds`](Self::bounds).
    pub(crate) fn offsets_at(
        &self,
        of: &[Incarnation],
        time: SystemTime,
        timeout: Duration,
    ) -> Result<Vec<Vec<Option<u64>>>> {
        let deadline = Instant::now() + timeout;
        let ms = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let at = Offset::Offset(i64::try_from(ms).unwrap_or(i64::MAX));
        loop {
            match self.offsets(of, at, deadline) {
                Ok(offsets) => return Ok(offsets),
                Err(error) if !passing(error.0) || Instant::now() >= deadline => {
                    return Err(self.offsets_error(error));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// All incarnations, or what is wrong with the first topic that has none. A topic that has just been made is
    /// waited for.
    fn incarnations(&self, deadline: Instant) -> Result<Vec<Incarnation>> {
        loop {
            let described = self.describe(left(deadline))?;
            let bad = described.iter().zip(self.config.topics()).find_map(|(incarnation, topic)| {
                incarnation.as_ref().err().map(|code| (topic.clone(), *code))
            });
            match bad {
                None => return Ok(described.into_iter().flatten().collect()),
                Some((_, code)) if passing(code) && Instant::now() < deadline => thread::sleep(PAUSE),
                Some((topic, code)) => {
                    return Err(error::from_code(
                        format!("topic {:?} at {}", topic.as_str(), self.config.brokers()),
                        code,
                    ));
                }
            }
        }
    }

    /// One request per broker for all partitions (`fetch_watermarks` would make two for each). The offset asked for
    /// is a time, or one of ListOffsets' two special values, which have the same numbers as rdkafka's.
    fn offsets(
        &self,
        of: &[Incarnation],
        at: Offset,
        deadline: Instant,
    ) -> Result<Vec<Vec<Option<u64>>>, Failed> {
        let client = self.cluster.client().map_err(|_| Failed(Code::Fail, None))?;
        let topics = self.config.topics();
        let mut list = TopicPartitionList::new();
        for (topic, incarnation) in topics.iter().zip(of) {
            for partition in 0..incarnation.partitions as i32 {
                list.add_partition_offset(topic, partition, at)
                    .map_err(|error| Failed(error.rdkafka_error_code().unwrap_or(Code::Fail), None))?;
            }
        }
        let answer = client.offsets_for_times(list, left(deadline));
        drain(&client);
        let answer =
            answer.map_err(|error| Failed(error.rdkafka_error_code().unwrap_or(Code::Fail), None))?;
        let mut offsets: Vec<Vec<Option<u64>>> =
            of.iter().map(|incarnation| vec![None; incarnation.partitions]).collect();
        for element in answer.elements() {
            if let Err(error) = element.error() {
                let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                return Err(Failed(code, Some(format!("{} [{}]", element.topic(), element.partition()))));
            }
            let slot = topics
                .iter()
                .position(|topic| **topic == *element.topic())
                .and_then(|index| offsets[index].get_mut(usize::try_from(element.partition()).ok()?));
            if let (Some(slot), Offset::Offset(offset)) = (slot, element.offset()) {
                *slot = u64::try_from(offset).ok();
            }
        }
        Ok(offsets)
    }

    fn assemble(&self, of: &[Incarnation], first: &[Vec<Option<u64>>], end: &[Vec<Option<u64>>]) -> Bounds {
        let ranges = |index: usize| {
            first[index]
                .iter()
                .zip(&end[index])
                .map(|(first, end)| {
                    let first = first.unwrap_or(0);
                    first..end.unwrap_or(first).max(first)
                })
                .collect()
        };
        let topics = self.config.topics().iter().zip(of).enumerate();
        Bounds {
            topics: topics
                .map(|(index, (name, incarnation))| TopicBounds {
                    name: name.clone(),
                    tag: TopicTag::of(KIND, name),
                    epoch: incarnation.epoch,
                    partitions: ranges(index),
                })
                .collect(),
        }
    }

    fn offsets_error(&self, Failed(code, partition): Failed) -> tidewater_core::Error {
        let brokers = self.config.brokers();
        match partition {
            Some(partition) => error::from_code(format!("the offsets of {partition} at {brokers}"), code),
            None if passing(code) => error::no_broker(&brokers, self.cluster.events().last()),
            None => error::from_code(format!("offsets at {brokers}"), code),
        }
    }
}

/// What went wrong with offsets, and of which partition.
struct Failed(Code, Option<String>);

/// Asks for the incarnations of topics, in their order; `drain` serves the client's events while it waits. Blocks.
///
/// librdkafka would ask the controller, and wait for the one it knows for as long as that is down: clients learn of
/// another only with the next metadata. So a broker that answers is found first.
///
/// # Errors
/// If nobody answers.
pub(crate) fn describe<C: ClientContext>(
    client: &Client<C>,
    events: &Events,
    config: &KafkaConfig,
    topics: &[TopicName],
    timeout: Duration,
    drain: impl Fn(),
) -> Result<Vec<Result<Incarnation, Code>>> {
    drain();
    events.forget_down();
    let deadline = Instant::now() + timeout;
    let given_up = || {
        drain();
        Instant::now() >= deadline || events.down_for().is_some_and(|down| down >= GRACE)
    };
    let no_broker = || error::no_broker(&config.brokers(), events.last());
    loop {
        let found = client.fetch_metadata(topics.first().map(|topic| &**topic), PATIENCE.min(left(deadline)));
        let broker = match &found {
            Ok(metadata) => Some(metadata.orig_broker_id()).filter(|id| *id >= 0),
            Err(_) if given_up() => return Err(no_broker()),
            Err(error) if error.rdkafka_error_code().is_some_and(passing) => {
                thread::sleep(PAUSE);
                continue;
            }
            // What is wrong is told by the answer below.
            Err(_) => None,
        };
        let mut question = Question::ask(client, broker, topics, left(deadline))?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            let answer = question.wait(Duration::from_millis(100).min(left(deadline)));
            drain();
            match answer {
                Some(Ok(described)) => {
                    events.works();
                    return Ok(in_order(topics, described));
                }
                Some(Err((code, _))) if passing(code) => break,
                Some(Err((code, why))) => {
                    return Err(error::from_code(format!("{} at {why}", "topic ids"), code));
                }
                None if given_up() => return Err(no_broker()),
                None => {}
            }
        }
        if given_up() {
            return Err(no_broker());
        }
        thread::sleep(PAUSE);
    }
}

fn in_order(topics: &[TopicName], mut described: Vec<Described>) -> Vec<Result<Incarnation, Code>> {
    topics
        .iter()
        .map(|topic| match described.iter().position(|one| *one.name == **topic) {
            Some(index) => described.swap_remove(index).incarnation,
            None => Err(Code::UnknownTopicOrPartition),
        })
        .collect()
}

/// Drops something whose drop waits for threads of librdkafka, on a thread of its own.
pub(crate) fn drop_apart<T: Send + 'static>(it: T) {
    let dropped = thread::Builder::new().name("tidewater-kafka-drop".to_owned()).spawn(move || drop(it));
    if let Err(error) = dropped {
        // The closure, and with it the client, was dropped right here.
        tracing::warn!(%error, "a Kafka client was dropped where it stood");
    }
}

/// Errors that go away while leaders are elected and metadata spreads.
pub(crate) fn passing(code: Code) -> bool {
    matches!(
        code,
        Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::UnknownTopicId
            | Code::UnknownPartition
            | Code::UnknownLeaderEpoch
            | Code::FencedLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::KafkaStorageError
            | Code::NetworkException
            | Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::WaitingForCoordinator
            | Code::TimedOutQueue
    )
}

fn drain(client: &BaseConsumer<Events>) {
    // Without a group and an assignment there are no messages, only errors, which `Events` has seen, and the log.
    // A poll that doesn't wait at all stops behind the first line of the log.
    while client.poll(Duration::from_millis(1)).is_some() {}
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_nobody_described_is_unknown() {
        let incarnation = Incarnation { epoch: tidewater_core::Epoch(1), id: "x".into(), partitions: 1 };
        let described = vec![Described { name: "b".into(), incarnation: Ok(incarnation.clone()) }];
        let topics = [TopicName::new("a"), TopicName::new("b")];
        assert_eq!(in_order(&topics, described), [Err(Code::UnknownTopicOrPartition), Ok(incarnation)]);
    }
}
