//! A channel, and a client that falls off its log: what it gets and is told, over all that may happen.

use std::{collections::HashMap, ops::Range, time::Duration};

use tidewater_core::{
    Delivery, Epoch, EpochTag, Gap, Message, NewEpoch, Outgoing, PayloadMode, Position, sse::Decoder,
};

use super::*;
use crate::{
    log::LogBounds,
    render::{Counts, Press, Pressed, Render},
    settings::MapFailure,
};

const TAG: TopicTag = TopicTag(7);
const KEPT: usize = 12;
const BOUNDS: LogBounds = LogBounds { events: KEPT, bytes: 1 << 20, age: Duration::from_secs(600) };

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Is {
    epoch: u128,
    partition: u32,
    offset: u64,
    key: Option<&'static str>,
    label: &'static str,
}

/// A channel, and everything that it was ever given.
struct Node {
    log: Log,
    press: Press,
    render: Render,
    epoch: u128,
    next: [u64; 2],
    all: Vec<Is>,
    topics: Topics,
}

impl Node {
    fn new(events: usize) -> Self {
        // The payload says the tag.
        let map = |message: &Message| {
            let text = String::from_utf8_lossy(message.payload.as_deref().unwrap()).into_owned();
            let label = text.rsplit('/').next().unwrap().to_owned();
            Ok((label != "none").then(|| Outgoing::new(text).tag(label)))
        };
        let render = Render {
            channel: "c".into(),
            map: Some(std::sync::Arc::new(map)),
            on_failure: MapFailure::default(),
            payload: PayloadMode::default(),
            event: tidewater_core::EventFrom::default(),
            counts: Counts::default(),
        };
        let start: Cursor = [at(1, &[0, 0])].into_iter().collect();
        let topics = Topics(vec![(TAG, "t".into())]);
        let (log, press) =
            (Log::new(LogBounds { events, ..BOUNDS }, start.clone()).conflating(), Press::new(start));
        Self { log, press, render, epoch: 1, next: [0; 2], all: Vec::new(), topics }
    }

    fn give(&mut self, delivery: &Delivery) {
        self.press.add(delivery, &self.render, 64 << 10);
    }

    fn append(&mut self) {
        for pressed in self.press.take() {
            match pressed {
                Pressed::Batch(batch) => drop(self.log.append(batch)),
                Pressed::Progress(cursor) => self.log.progress(cursor),
            }
        }
    }

    fn happens(&mut self, rng: &mut fastrand::Rng, keys: &[Option<&'static str>]) {
        let partition = rng.usize(..2);
        let next = &mut self.next[partition];
        match rng.u8(..60) {
            0 => {
                self.epoch += 1;
                self.next = [0; 2];
                let new =
                    NewEpoch { topic: "t".into(), tag: TAG, epoch: Epoch(self.epoch), start: vec![0, 0] };
                self.give(&Delivery::Epoch(new));
            }
            1..4 => {
                let missing = Some(*next..*next + rng.u64(1..4));
                *next = missing.clone().unwrap().end;
                let (topic, partition) = ("t".into(), partition as u32);
                self.give(&Delivery::Gap(Gap {
                    topic,
                    tag: TAG,
                    partition,
                    missing,
                    reason: GapReason::Retention,
                }));
            }
            4..8 => {
                *next += rng.u64(1..4);
                let to = [at(self.epoch, &self.next)].into_iter().collect();
                self.give(&Delivery::Progress(to));
            }
            _ => {
                let is = Is {
                    epoch: self.epoch,
                    partition: partition as u32,
                    offset: *next,
                    key: keys[rng.usize(..keys.len())],
                    label: rng.choice(["x", "y", "none"]).unwrap(),
                };
                *next += 1;
                let payload = format!("{}/{}/{}/{}", is.epoch, is.partition, is.offset, is.label);
                let mut message = Message::new("t", payload);
                message.key = is.key.map(Into::into);
                (message.tag, message.partition) = (TAG, is.partition);
                message.position = Position::Offset(is.offset);
                self.give(&Delivery::Message(message));
                self.all.push(is);
            }
        }
        if rng.u8(..3) == 0 {
            self.append();
        }
    }
}

fn at(epoch: u128, next: &[u64]) -> TopicCursor {
    TopicCursor { tag: TAG, epoch: Epoch(epoch).tag(), next: Next::Offsets(next.to_vec()) }
}

/// What a client got, and was told.
#[derive(Default)]
struct Client {
    got: Vec<(u128, u32, u64)>,
    /// What it got or was told is missing, by incarnation and partition.
    spans: HashMap<(EpochTag, u32), Vec<Range<u64>>>,
    conflated: Vec<(u32, Range<u64>)>,
    before: Option<Cursor>,
}

impl Client {
    fn read(&mut self, bytes: &[u8]) {
        let mut decoder = Decoder::new();
        decoder.feed(bytes);
        while let Some(event) = decoder.next_event().unwrap() {
            let id: Cursor = event.last_event_id.parse().unwrap();
            let topic = id.topic(TAG).unwrap();
            if let Some(before) = self.before.as_ref().and_then(|before| before.topic(TAG))
                && before.epoch == topic.epoch
            {
                let down = (0..2).find(|partition| topic.offset(*partition) < before.offset(*partition));
                assert_eq!(down, None, "I6: the id went down at {event:?}");
            }
            let mut span = |partition: u32, span: Range<u64>| {
                assert_eq!(topic.offset(partition), span.end, "the id is after it: {event:?}");
                let spans = self.spans.entry((topic.epoch, partition)).or_default();
                let last = spans.last().map_or(0, |last| last.end);
                assert!(
                    last <= span.start && !span.is_empty(),
                    "in order, once each: {event:?} after {last}"
                );
                spans.push(span);
            };
            if event.event_type == "tidewater.gap" {
                let told: serde_json::Value = serde_json::from_str(&event.data).unwrap();
                match told["from"].as_u64() {
                    Some(from) => {
                        let (partition, to) = (told["partition"].as_u64(), told["to"].as_u64());
                        let (partition, to) = (partition.unwrap() as u32, to.unwrap());
                        span(partition, from..to);
                        if told["reason"] == "conflated" {
                            self.conflated.push((partition, from..to));
                        }
                    }
                    None => assert_eq!(told["reason"], "epoch"),
                }
            } else {
                let mut parts = event.data.split('/').map(|part| part.parse::<u128>());
                let mut part = || parts.next().unwrap().unwrap();
                let (epoch, partition, offset) = (part(), part() as u32, part() as u64);
                assert_eq!(topic.epoch, Epoch(epoch).tag());
                span(partition, offset..offset + 1);
                self.got.push((epoch, partition, offset));
            }
            self.before = Some(id);
        }
    }

    fn has(&self, is: &Is) -> bool {
        self.got.contains(&(is.epoch, is.partition, is.offset))
    }

    fn knows(&self, is: &Is) -> bool {
        self.spans
            .get(&(Epoch(is.epoch).tag(), is.partition))
            .into_iter()
            .flatten()
            .any(|span| span.contains(&is.offset))
    }
}

/// I1 and I7: everything is delivered or told, never both, in order; and what is newest is delivered.
#[test]
fn i7_the_newest_of_each_key_comes_and_the_rest_is_told() {
    const FEW: &[Option<&str>] = &[Some("a"), Some("b"), None];
    const MANY: &[Option<&str>] = &[
        Some("a"),
        Some("b"),
        Some("c"),
        Some("d"),
        Some("e"),
        Some("f"),
        Some("g"),
        Some("h"),
        Some("i"),
        Some("j"),
        Some("k"),
        Some("l"),
        Some("m"),
        Some("n"),
        Some("o"),
        Some("p"),
        Some("q"),
        None,
    ];
    let (mut conflated, mut overflown, mut precise) = (0, 0, 0);
    for seed in 0..600 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let keys = if seed % 3 == 0 { MANY } else { FEW };
        let select = match seed % 5 {
            0 => Select::tag("x"),
            1 => Select::key("a"),
            _ => Select::all(),
        };
        let wanted = |is: &&Is| match seed % 5 {
            0 => is.label == "x",
            1 => is.key == Some("a") && is.label != "none",
            _ => is.label != "none",
        };
        let mut node = Node::new(if seed % 4 == 3 { 1000 } else { KEPT });
        for _ in 0..rng.usize(..20) {
            node.happens(&mut rng, keys);
        }
        node.append();
        let (from, began) = (node.all.len(), node.epoch);
        let first = node.log.next();
        let mut conflation = Conflation::new(first, (**node.log.head()).clone());
        let mut client = Client::default();
        let start = node.next;
        let lags = rng.usize(..80);
        let still = rng.bool();
        for _ in 0..lags {
            node.happens(&mut rng, keys);
        }
        node.append();
        for turn in 0.. {
            assert!(turn < 100_000, "seed {seed}: it never catches up");
            let mut out = BytesMut::new();
            let (limit, mut steps) = (rng.usize(1..400), rng.usize(1..10));
            conflation.write(&node.log, &node.topics, &select, &mut out, limit, &mut steps);
            client.read(&out);
            if !still && rng.u8(..4) > 0 && node.all.len() < from + 150 {
                (0..rng.usize(..8)).for_each(|_| node.happens(&mut rng, keys));
                node.append();
            } else if let Some((next, walk)) = conflation.caught_up(&node.log) {
                assert_eq!(next, node.log.next());
                let mut own = walk;
                own.reach(node.log.head());
                assert_eq!(own.cursor, **node.log.head(), "seed {seed}");
                break;
            }
        }
        let wants: Vec<_> = node.all[from..].iter().filter(wanted).collect();
        let whole = node.log.tail() <= first;
        let current = wants.iter().filter(|is| is.epoch == node.epoch);
        for is in wants.iter().filter(|is| whole || is.epoch == node.epoch) {
            let before = is.epoch == began && is.offset < start[is.partition as usize];
            assert!(before || client.knows(is), "seed {seed}: neither delivered nor told: {is:?}");
        }
        assert!(
            client.got.iter().all(|got| wants.iter().any(|is| (is.epoch, is.partition, is.offset) == *got))
        );
        if node.epoch == began && whole {
            for (partition, gap) in &client.conflated {
                let left_out = |is: &&&Is| is.partition == *partition && gap.contains(&is.offset);
                assert!(wants.iter().any(|is| left_out(&is)), "seed {seed}: nothing was left out in {gap:?}");
                precise += 1;
            }
        }
        // Without a key it is of its partition.
        let id = |is: &Is| (is.key, if is.key.is_none() { is.partition } else { 0 });
        let newest: HashMap<_, _> = current.clone().map(|is| (id(is), *is)).collect();
        if keys.len() * 4 <= KEPT {
            for is in newest.values() {
                assert!(client.has(is), "seed {seed}: the newest is left out: {is:?}");
            }
            if still && node.epoch == began {
                assert_eq!(client.got.len(), newest.len(), "seed {seed}: only the newest");
                conflated += usize::from(newest.len() < current.count());
            }
        } else {
            overflown += newest.values().filter(|is| !client.has(is)).count();
        }
        let latest = node.log.latest().unwrap();
        let mut over = 0;
        let mut from = 0;
        while let Some((seq, kept)) = latest.kept_from(from) {
            assert!(kept.head.len() < 64 && seq < node.log.tail());
            assert_eq!(Some(kept.at.epoch), node.log.tail_cursor().topic(TAG).map(|topic| topic.epoch));
            (over, from) = (over + 1, seq + 1);
        }
        assert!(over <= KEPT, "kept is bounded");
    }
    assert!(conflated > 50 && overflown > 20 && precise > 50, "{conflated}, {overflown}, {precise}");
}
