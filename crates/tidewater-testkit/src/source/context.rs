//! What a check works with: a topic of its own, and the memory of what it has published there.

use std::{collections::BTreeMap, future::Future, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use tidewater_core::{Bounds, Cursor, Headers, Next, Source, Subscription, TopicBounds, TopicCursor};
use tokio::time::Instant;

use super::{Failure, Record, Topic, follow::Follower};

/// What one check works with.
pub(super) struct Context {
    pub(super) topic: Box<dyn Topic>,
    pub(super) source: Arc<dyn Source>,
    pub(super) deadline: Instant,
    /// The payloads of this incarnation, per partition.
    published: Vec<Vec<Bytes>>,
    count: u64,
}

impl Context {
    pub(super) fn new(topic: Box<dyn Topic>, patience: Duration) -> Result<Self, Failure> {
        let source = topic.source()?;
        let published = vec![Vec::new(); topic.partitions() as usize];
        Ok(Self { topic, source, deadline: Instant::now() + patience, published, count: 0 })
    }

    pub(super) fn partitions(&self) -> u32 {
        self.topic.partitions()
    }

    /// Publishes `count` messages to every partition, each with a payload that no other has.
    pub(super) async fn publish(&mut self, count: usize) -> Result<(), Failure> {
        self.publish_sized(count, 0).await
    }

    /// The same, with payloads of at least `size` bytes.
    pub(super) async fn publish_sized(&mut self, count: usize, size: usize) -> Result<(), Failure> {
        let mut records = Vec::new();
        for _ in 0..count {
            for (partition, published) in self.published.iter_mut().enumerate() {
                let mut payload = format!("message {} of partition {partition}", self.count).into_bytes();
                self.count += 1;
                payload.resize(payload.len().max(size), b'.');
                published.push(payload.clone().into());
                records.push(Record {
                    partition: partition as u32,
                    payload: payload.into(),
                    ..Record::default()
                });
            }
        }
        self.topic.publish(records).await
    }

    /// Removes the topic and makes it again.
    pub(super) async fn recreate(&mut self) -> Result<(), Failure> {
        self.topic.recreate().await?;
        self.published.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    pub(super) async fn open(&self, subscription: Subscription) -> Result<Follower, Failure> {
        Follower::open(self.source.clone(), subscription, self.deadline).await
    }

    /// The source's one topic as it is now.
    pub(super) async fn bounds(&self) -> Result<TopicBounds, Failure> {
        let mut bounds = self.source.bounds().await?;
        bounds.check()?;
        match (bounds.topics.pop(), bounds.topics.len()) {
            (Some(topic), 0) => Ok(topic),
            _ => Err("the source of one topic has to have exactly one in its bounds".into()),
        }
    }

    /// Reads the next `count` messages of every partition, counted from `from` messages after the first that was
    /// published, and nothing else.
    pub(super) async fn read(&self, follower: &mut Follower, range: Range<usize>) -> Result<(), Failure> {
        let (parts, count) = (self.partitions(), range.len());
        follower
            .until(&format!("{count} messages in each partition"), |seen| {
                (0..parts).all(|partition| seen.payloads(partition).len() >= count)
            })
            .await?;
        for partition in 0..parts {
            let wanted = &self.published[partition as usize][range.clone()];
            compare(partition, wanted, &follower.payloads(partition))?;
        }
        Ok(())
    }

    /// Publishes one last message to every partition and reads until they have come: exactly what was published
    /// from the `from`-th on, in order, has to have been delivered by then. Waiting for a last message is how
    /// "nothing more comes" is seen without waiting for a time.
    pub(super) async fn read_all(&mut self, follower: &mut Follower, from: usize) -> Result<(), Failure> {
        self.read_to_end(follower).await?;
        for (partition, published) in (0..).zip(&self.published) {
            compare(partition, &published[from..], &follower.payloads(partition))?;
        }
        match follower.gaps.first() {
            Some(gap) => Err(format!("everything can be read, and a gap is told: {gap:?}").into()),
            None => Ok(()),
        }
    }

    /// Publishes one last message to every partition and reads until they have come.
    pub(super) async fn read_to_end(&mut self, follower: &mut Follower) -> Result<(), Failure> {
        self.publish(1).await?;
        let last: Vec<_> = self.published.iter().map(|published| published.last().cloned()).collect();
        follower
            .until("the last message of each partition", |seen| {
                (0..).zip(&last).all(|(partition, last)| seen.payloads(partition).last() == last.as_ref())
            })
            .await
    }

    /// The payloads published to a partition.
    pub(super) fn published(&self, partition: u32) -> &[Bytes] {
        &self.published[partition as usize]
    }

    /// Waits for a condition on the bounds.
    pub(super) async fn bounds_when(
        &self,
        what: &str,
        mut holds: impl FnMut(&TopicBounds) -> bool,
    ) -> Result<TopicBounds, Failure> {
        loop {
            let bounds = self.bounds().await?;
            if holds(&bounds) {
                return Ok(bounds);
            }
            if Instant::now() > self.deadline {
                return Err(format!("the bounds never came to {what}: {bounds:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The cursor at the first position of one topic.
pub(super) fn first(bounds: &TopicBounds) -> Cursor {
    Bounds { topics: vec![bounds.clone()] }.first()
}

/// The cursor at the end of one topic.
pub(super) fn end(bounds: &TopicBounds) -> Cursor {
    Bounds { topics: vec![bounds.clone()] }.end()
}

/// A cursor of one topic.
pub(super) fn cursor(bounds: &TopicBounds, offsets: Vec<u64>) -> Cursor {
    [TopicCursor { tag: bounds.tag, epoch: bounds.epoch.tag(), next: Next::Offsets(offsets) }]
        .into_iter()
        .collect()
}

/// Fails unless the two are the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, wanted: &T) -> Result<(), Failure> {
    if is == wanted { Ok(()) } else { Err(format!("{what}: {is:?}, and it should be {wanted:?}").into()) }
}

/// Fails unless exactly the wanted payloads were delivered.
pub(super) fn compare(partition: u32, wanted: &[Bytes], delivered: &[Bytes]) -> Result<(), Failure> {
    let differs =
        (0..wanted.len().max(delivered.len())).find(|index| wanted.get(*index) != delivered.get(*index));
    let Some(index) = differs else { return Ok(()) };
    let shown = |payload: Option<&Bytes>| match payload {
        Some(payload) => format!("{:?}", payload.slice(..payload.len().min(60))),
        None => "nothing".into(),
    };
    Err(format!(
        "partition {partition}: message {index} of {} should be {}, but {} came ({} came in all)",
        wanted.len(),
        shown(wanted.get(index)),
        shown(delivered.get(index)),
        delivered.len()
    )
    .into())
}

/// Fails when the future isn't ready by the deadline.
pub(crate) async fn by<T>(
    deadline: Instant,
    what: &str,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout_at(deadline, future)
        .await
        .map_err(|_| format!("{what}: it did not come in time").into())
}

/// Brokers keep the order of values under one name, not all of them that of the names.
pub(crate) fn by_name(headers: &Headers) -> BTreeMap<String, Vec<Bytes>> {
    let mut all: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    for header in headers {
        all.entry(header.name.to_string()).or_default().push(header.value.clone());
    }
    all
}
