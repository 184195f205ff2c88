//! A node's view of the broker, as the contract of `Source` has it: bounds are the truth, each subscription has an
//! order of its own and sees things late.

use std::{fmt, sync::Mutex, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tidewater_core::{
    Bounds, Capabilities, Cursor, Delivery, Error, ErrorKind, Gap, GapReason, Message, NewEpoch, Next,
    Position, Result, ShareKey, Source, Start, Subscribed, Subscription, TopicBounds, TopicCursor,
};
use tokio::time::Instant;

use super::{
    broker::{Broker, KIND, Kind, Partition, Topic, Truth},
    script::{Back, Setup},
};

pub(crate) struct View {
    broker: Broker,
    node: usize,
    world: usize,
    replay: bool,
    times: bool,
    /// How far back clients may go. The hub asks for no other times, and its clock stands still while this one jumps.
    age: Duration,
    rng: Mutex<fastrand::Rng>,
}

impl View {
    pub(crate) fn new(broker: &Broker, node: usize, setup: &Setup, seed: u64) -> Self {
        let world = node % broker.truth().worlds.len();
        let age = if let Back::Age(ms) = setup.back { Duration::from_millis(ms) } else { Duration::MAX };
        let (replay, times) = (setup.replay, setup.times);
        let rng = Mutex::new(fastrand::Rng::with_seed(seed));
        Self { broker: broker.clone(), node, world, replay, times, age, rng }
    }

    fn rng(&self) -> fastrand::Rng {
        self.rng.lock().unwrap().fork()
    }

    fn bounds_now(&self) -> Result<Bounds> {
        let mut truth = self.broker.truth();
        reached(&mut truth)?;
        let topics = truth.worlds[self.world].iter().map(|topic| TopicBounds {
            name: topic.name.clone(),
            tag: topic.tag,
            epoch: topic.now().epoch,
            partitions: topic.now().partitions.iter().map(|p| self.first(p)..p.end()).collect(),
        });
        Ok(Bounds { topics: topics.collect() })
    }

    fn first(&self, partition: &Partition) -> u64 {
        if self.replay { partition.first } else { partition.end() }
    }

    /// The first that is as young as clients may have it.
    fn young(&self, partition: &Partition) -> u64 {
        let Some(oldest) = Instant::now().checked_sub(self.age) else { return self.first(partition) };
        let young = partition.records.partition_point(|record| record.at < oldest) as u64;
        young.max(self.first(partition))
    }
}

#[async_trait]
impl Source for View {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replay: self.replay, from_time: self.times, partitioned: true, mergeable: true }
    }

    fn share_key(&self) -> Option<ShareKey> {
        Some(ShareKey::new(KIND, ["all of it"]))
    }

    async fn bounds(&self) -> Result<Bounds> {
        // The answer is of any moment between the question and its return.
        let early = self.rng().bool().then(|| self.bounds_now());
        tokio::time::sleep(Duration::from_millis(1)).await;
        early.unwrap_or_else(|| self.bounds_now())
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let mut rng = self.rng();
        if rng.bool() {
            tokio::time::sleep(Duration::from_millis(rng.u64(..5))).await;
        }
        let mut truth = self.broker.truth();
        reached(&mut truth)?;
        let (cuts, stalls) = (truth.nodes[self.node].cuts, truth.nodes[self.node].stalls);
        let mut at = Vec::new();
        for topic in &mut truth.worlds[self.world] {
            let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(topic.tag));
            let incarnation = topic.incarnations.len() - 1;
            let now = &mut topic.incarnations[incarnation];
            let epoch = now.epoch.tag();
            let next = now.partitions.iter_mut().zip(0..).map(|(partition, number)| {
                let (first, end) = (self.first(partition), partition.end());
                match (wanted, subscription.start) {
                    (Some(own), _) if own.epoch == epoch => {
                        let next = own.offset(number);
                        if !self.replay {
                            // What was published while nobody listened will never be delivered.
                            for record in partition.records.iter_mut().skip(next as usize) {
                                record.kind =
                                    if record.kind == Kind::Message { Kind::Lost } else { record.kind };
                            }
                        }
                        next.clamp(first, end)
                    }
                    (Some(_), _) | (None, Start::Earliest) => first,
                    (None, Start::Time(_)) => self.young(partition),
                    (None, _) => end,
                }
            });
            at.push(At { incarnation, next: next.collect() });
        }
        let start = at.iter().zip(&truth.worlds[self.world]).map(|(at, topic)| at.cursor(topic)).collect();
        drop(truth);
        let reader = Reader {
            broker: self.broker.clone(),
            node: self.node,
            world: self.world,
            replay: self.replay,
            cuts,
            stalls,
            at,
            rng,
        };
        let deliveries = stream::unfold(reader, async |mut reader| Some((reader.next().await, reader)));
        Ok(Subscribed { start, deliveries: deliveries.boxed() })
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View {}", self.node)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model:{}", self.node)
    }
}

fn reached(truth: &mut Truth) -> Result<()> {
    if truth.away {
        truth.missed = Some(Instant::now());
    }
    let away = || Error::new(ErrorKind::Unavailable, "the broker is away");
    if truth.away { Err(away()) } else { Ok(()) }
}

/// Where a subscription is in a topic.
struct At {
    incarnation: usize,
    next: Vec<u64>,
}

impl At {
    fn cursor(&self, topic: &Topic) -> TopicCursor {
        let epoch = topic.incarnations[self.incarnation].epoch.tag();
        TopicCursor { tag: topic.tag, epoch, next: Next::Offsets(self.next.clone()) }
    }
}

struct Reader {
    broker: Broker,
    node: usize,
    world: usize,
    replay: bool,
    cuts: u64,
    stalls: u64,
    /// By topic.
    at: Vec<At>,
    rng: fastrand::Rng,
}

/// Something that can be delivered next.
enum Ready {
    Anew(usize),
    Partition(usize, usize),
}

impl Reader {
    async fn next(&mut self) -> Result<Delivery> {
        // Some take their time, so that nodes' batches are cut in different places.
        match self.rng.u8(..16) {
            0 => tokio::time::sleep(Duration::from_millis(self.rng.u64(1..10))).await,
            1..4 => tokio::task::yield_now().await,
            _ => {}
        }
        loop {
            let changed = self.broker.changed.clone();
            let mut changed = std::pin::pin!(changed.notified());
            changed.as_mut().enable();
            if let Some(delivery) = self.take() {
                return delivery;
            }
            changed.await;
        }
    }

    fn take(&mut self) -> Option<Result<Delivery>> {
        let broker = self.broker.clone();
        let mut truth = broker.truth();
        let cuts = truth.nodes[self.node].cuts;
        if cuts != self.cuts {
            if !self.replay && self.rng.bool() {
                self.cuts = cuts;
                let topic = self.rng.usize(..self.at.len());
                return Some(Ok(self.lose(&mut truth.worlds[self.world][topic], topic)));
            }
            return Some(Err(Error::new(ErrorKind::Unavailable, "the stream was cut")));
        }
        if truth.away || truth.nodes[self.node].stalls != self.stalls {
            return None;
        }
        let node = &truth.nodes[self.node];
        let topics = &truth.worlds[self.world];
        let mut ready = Vec::new();
        for (number, (topic, at)) in topics.iter().zip(&mut self.at).enumerate() {
            let hold = &node.holds[number];
            let held = hold.anew && hold.incarnation == at.incarnation;
            if at.incarnation + 1 < topic.incarnations.len() && !held {
                ready.push(Ready::Anew(number));
                continue;
            }
            let partitions = &topic.incarnations[at.incarnation].partitions;
            at.next.resize(partitions.len(), 0);
            ready.extend((0..partitions.len()).filter_map(|p| {
                let end = hold.end(at.incarnation, p, partitions[p].end());
                (at.next[p] < end || at.next[p] < partitions[p].first).then_some(Ready::Partition(number, p))
            }));
        }
        if ready.is_empty() {
            return None;
        }
        let chosen = self.rng.usize(..ready.len());
        Some(Ok(match ready[chosen] {
            Ready::Anew(number) => self.anew(&topics[number], number),
            Ready::Partition(number, p) => self.partition(&topics[number], number, p, &node.holds[number]),
        }))
    }

    /// What came while the connection was gone is lost, and nobody knows how much it was.
    fn lose(&mut self, topic: &mut Topic, number: usize) -> Delivery {
        let at = &self.at[number];
        for (partition, next) in topic.incarnations[at.incarnation].partitions.iter_mut().zip(&at.next) {
            let lost = partition.records.iter_mut().skip(*next as usize);
            lost.filter(|record| record.kind == Kind::Message).for_each(|record| record.kind = Kind::Unheard);
        }
        let (topic, tag) = (topic.name.clone(), topic.tag);
        Delivery::Gap(Gap { topic, tag, partition: 0, missing: None, reason: GapReason::Lost })
    }

    fn anew(&mut self, topic: &Topic, number: usize) -> Delivery {
        let now = topic.now();
        // From the first that is kept; or from 0, and what is gone is told next.
        let kept = self.rng.bool();
        let next: Vec<u64> = now.partitions.iter().map(|p| if kept { p.first } else { 0 }).collect();
        self.at[number] = At { incarnation: topic.incarnations.len() - 1, next: next.clone() };
        Delivery::Epoch(NewEpoch { topic: topic.name.clone(), tag: topic.tag, epoch: now.epoch, start: next })
    }

    fn partition(&mut self, topic: &Topic, number: usize, p: usize, hold: &super::broker::Hold) -> Delivery {
        let at = &mut self.at[number];
        let partition = &topic.incarnations[at.incarnation].partitions[p];
        let next = at.next[p];
        if next < partition.first {
            at.next[p] = partition.first;
            return Delivery::Gap(Gap {
                topic: topic.name.clone(),
                tag: topic.tag,
                partition: p as u32,
                missing: Some(next..partition.first),
                reason: GapReason::Retention,
            });
        }
        let end = hold.end(at.incarnation, p, partition.end());
        let found = (next..end).find(|o| partition.records[*o as usize].kind == Kind::Message);
        // Offsets without a message are told as progress, or passed over on the way to the next message.
        let offset = match found {
            Some(offset) if offset == next || self.rng.bool() => offset,
            _ => {
                at.next[p] = found.unwrap_or(end);
                let progress: Cursor = [at.cursor(topic)].into_iter().collect();
                return Delivery::Progress(progress);
            }
        };
        at.next[p] = offset + 1;
        let record = &partition.records[offset as usize];
        let mut message = Message::new(topic.name.clone(), record.payload.clone());
        message.key = Some(format!("k{}", record.key).into());
        message.tag = topic.tag;
        message.partition = p as u32;
        message.position = Position::Offset(offset);
        Delivery::Message(message)
    }
}
