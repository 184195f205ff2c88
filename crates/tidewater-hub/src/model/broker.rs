//! The simulated broker: what there really is. What its nodes see of it is in `source`.

use std::sync::{Arc, Mutex, MutexGuard};

use tidewater_core::{Cursor, Epoch, EpochTag, Next, TopicCursor, TopicName, TopicTag};
use tokio::{sync::Notify, time::Instant};

/// What the tags of topics are made from.
pub(crate) const KIND: &str = "model";
/// The most partitions of all topics together.
const MOST_PARTITIONS: usize = 16;

/// A handle of the broker.
#[derive(Clone)]
pub(crate) struct Broker {
    truth: Arc<Mutex<Truth>>,
    pub(crate) changed: Arc<Notify>,
}

/// Everything that is.
pub(crate) struct Truth {
    /// One for all nodes; one for each if nothing is kept, because then each counts for itself.
    pub(crate) worlds: Vec<Vec<Topic>>,
    /// What each node's subscriptions don't see yet.
    pub(crate) nodes: Vec<Node>,
    /// Nobody can reach it.
    pub(crate) away: bool,
    /// When anybody last found it so.
    pub(crate) missed: Option<Instant>,
    published: u64,
    epochs: u128,
}

/// A node's connection.
#[derive(Clone, Default)]
pub(crate) struct Node {
    /// How often it was cut.
    pub(crate) cuts: u64,
    /// How often it has stalled.
    pub(crate) stalls: u64,
    /// By topic.
    pub(crate) holds: Vec<Hold>,
}

/// What is held back from a node's open subscriptions of one topic.
#[derive(Clone, Default)]
pub(crate) struct Hold {
    /// The incarnation that was there then.
    pub(crate) incarnation: usize,
    /// Where it ends for this node, by partition.
    pub(crate) ends: Vec<u64>,
    /// Whether the next incarnation is held back.
    pub(crate) anew: bool,
}

pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) tag: TopicTag,
    /// The last one is there now.
    pub(crate) incarnations: Vec<Incarnation>,
}

pub(crate) struct Incarnation {
    pub(crate) epoch: Epoch,
    pub(crate) partitions: Vec<Partition>,
}

#[derive(Clone, Default)]
pub(crate) struct Partition {
    /// The first offset that can be read.
    pub(crate) first: u64,
    /// By offset, removed ones too.
    pub(crate) records: Vec<Record>,
}

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// The key is `k` and this.
    pub(crate) key: u8,
    pub(crate) payload: String,
    /// When it was written.
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    /// Never was a message.
    Hole,
    /// Was one until compaction.
    Compacted,
    /// A broker that keeps nothing could not deliver it.
    Lost,
    /// The same, and it has said so without a number.
    Unheard,
}

impl Broker {
    pub(crate) fn new(worlds: usize, nodes: usize, partitions: &[usize]) -> Self {
        let mut truth = Truth {
            worlds: Vec::new(),
            nodes: vec![Node { cuts: 0, stalls: 0, holds: vec![Hold::default(); partitions.len()] }; nodes],
            away: false,
            missed: None,
            published: 0,
            epochs: 0,
        };
        for _ in 0..worlds {
            let topics = partitions.iter().enumerate().map(|(index, partitions)| {
                let name = topic_name(index);
                let tag = TopicTag::of(KIND, &name);
                Topic { name: name.into(), tag, incarnations: vec![truth.incarnation(*partitions)] }
            });
            let topics = topics.collect();
            truth.worlds.push(topics);
        }
        truth.release_all();
        Self { truth: Arc::new(Mutex::new(truth)), changed: Arc::default() }
    }

    pub(crate) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    /// Changes something, and tells all who wait for it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Truth) -> T) -> T {
        let changed = change(&mut self.truth());
        self.changed.notify_waiters();
        changed
    }
}

impl Truth {
    pub(crate) fn publish(&mut self, to: usize) {
        self.published += 1;
        let n = self.published;
        for world in &mut self.worlds {
            let (topic, number) = place(world, to);
            let now = world[topic].now_mut();
            let (epoch, records) = (now.epoch.0, &mut now.partitions[number].records);
            // Some have more than one line.
            let more = if n.is_multiple_of(5) { "\nand more" } else { "" };
            let payload = format!("{topic}/{epoch}/{number}/{}/{n}{more}", records.len());
            records.push(Record { kind: Kind::Message, key: (n % 3) as u8, payload, at: Instant::now() });
        }
    }

    pub(crate) fn hole(&mut self, to: usize) {
        for world in &mut self.worlds {
            let records = &mut partition(world, to).records;
            records.push(Record { kind: Kind::Hole, key: 0, payload: String::new(), at: Instant::now() });
        }
    }

    pub(crate) fn compact(&mut self, to: usize, back: usize) {
        let partition = partition(&mut self.worlds[0], to);
        let end = partition.records.len();
        if let Some(record) = end.checked_sub(back + 1).and_then(|at| partition.records.get_mut(at))
            && record.kind == Kind::Message
        {
            record.kind = Kind::Compacted;
        }
    }

    pub(crate) fn retain(&mut self, to: usize, by: u64) {
        let partition = partition(&mut self.worlds[0], to);
        partition.first = (partition.first + by).min(partition.end());
    }

    /// The end of a partition is lost, and every subscription with it. Answers where it ends now.
    pub(crate) fn lose(&mut self, to: usize, by: u64) -> (TopicTag, EpochTag, u32, u64) {
        let (topic, number) = place(&self.worlds[0], to);
        let topic = &mut self.worlds[0][topic];
        let (tag, epoch) = (topic.tag, topic.now().epoch.tag());
        let partition = &mut topic.now_mut().partitions[number];
        let end = partition.end().saturating_sub(by).max(partition.first);
        partition.records.truncate(end as usize);
        self.nodes.iter_mut().for_each(|node| node.cuts += 1);
        (tag, epoch, number as u32, end)
    }

    /// A topic is made anew, with as many partitions as there is room for.
    pub(crate) fn recreate(&mut self, world: usize, topic: usize, partitions: usize) {
        let topics = &self.worlds[world];
        let topic = topic % topics.len();
        let others: usize = topics.iter().map(|topic| topic.now().partitions.len()).sum::<usize>()
            - topics[topic].now().partitions.len();
        let partitions = partitions.clamp(1, MOST_PARTITIONS.saturating_sub(others).max(1));
        let incarnation = self.incarnation(partitions);
        self.worlds[world][topic].incarnations.push(incarnation);
    }

    pub(crate) fn grow(&mut self, topic: usize) {
        let topics = &mut self.worlds[0];
        let all: usize = topics.iter().map(|topic| topic.now().partitions.len()).sum();
        if all < MOST_PARTITIONS {
            let index = topic % topics.len();
            topics[index].now_mut().partitions.push(Partition::default());
        }
    }

    /// From now on, a node's subscriptions see nothing new of what the mask names.
    pub(crate) fn hold(&mut self, node: usize, mask: u16) {
        let world = node % self.worlds.len();
        let mut bit = 0;
        let mut next = || {
            bit += 1;
            mask & (1 << ((bit - 1) % 15)) != 0
        };
        let holds = self.worlds[world].iter().map(|topic| Hold {
            incarnation: topic.incarnations.len() - 1,
            ends: topic.now().partitions.iter().map(|p| if next() { p.end() } else { u64::MAX }).collect(),
            anew: mask >> 15 != 0,
        });
        self.nodes[node].holds = holds.collect();
    }

    pub(crate) fn release_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.hold(node, 0);
        }
    }

    /// The end of everything in a node's world.
    pub(crate) fn end(&self, node: usize) -> Cursor {
        let world = &self.worlds[node % self.worlds.len()];
        let end = world.iter().map(|topic| TopicCursor {
            tag: topic.tag,
            epoch: topic.now().epoch.tag(),
            next: Next::Offsets(topic.now().partitions.iter().map(Partition::end).collect()),
        });
        end.collect()
    }

    /// The topic of this tag and the number of its incarnation with this epoch, and whose world they are of.
    pub(crate) fn find(&self, tag: TopicTag, epoch: EpochTag) -> Option<(usize, &Topic, usize)> {
        self.worlds.iter().enumerate().find_map(|(world, topics)| {
            let topic = topics.iter().find(|topic| topic.tag == tag)?;
            let known = topic.incarnations.iter().position(|known| known.epoch.tag() == epoch)?;
            Some((world, topic, known))
        })
    }

    fn incarnation(&mut self, partitions: usize) -> Incarnation {
        self.epochs += 1;
        Incarnation { epoch: Epoch(self.epochs), partitions: vec![Partition::default(); partitions] }
    }
}

impl Topic {
    pub(crate) fn now(&self) -> &Incarnation {
        &self.incarnations[self.incarnations.len() - 1]
    }

    fn now_mut(&mut self) -> &mut Incarnation {
        let last = self.incarnations.len() - 1;
        &mut self.incarnations[last]
    }
}

impl Record {
    /// The tag that the application's step gives it.
    pub(crate) fn tag(payload: &[u8]) -> &'static str {
        if payload.len().is_multiple_of(2) { "even" } else { "odd" }
    }

    /// The name that the application's step gives it.
    pub(crate) fn event(payload: &[u8]) -> Option<&'static str> {
        payload.contains(&b'\n').then_some("long")
    }
}

impl Partition {
    pub(crate) fn end(&self) -> u64 {
        self.records.len() as u64
    }
}

impl Hold {
    /// Where a partition ends for a subscription of the node that holds.
    pub(crate) fn end(&self, incarnation: usize, partition: usize, end: u64) -> u64 {
        if incarnation == self.incarnation {
            end.min(self.ends.get(partition).copied().unwrap_or(u64::MAX))
        } else {
            end
        }
    }
}

pub(crate) fn topic_name(index: usize) -> String {
    format!("t.{index}")
}

fn partition(topics: &mut [Topic], to: usize) -> &mut Partition {
    let (topic, number) = place(topics, to);
    &mut topics[topic].now_mut().partitions[number]
}

/// A topic and a partition of what is there now, counted over all topics.
pub(crate) fn place(topics: &[Topic], to: usize) -> (usize, usize) {
    let all: usize = topics.iter().map(|topic| topic.now().partitions.len()).sum();
    let mut index = to % all;
    for (number, topic) in topics.iter().enumerate() {
        let partitions = topic.now().partitions.len();
        if index < partitions {
            return (number, index);
        }
        index -= partitions;
    }
    (0, 0)
}
