//! A client that fell off the log and gets the newest message of each key (I7). Pure.
//!
//! It walks the channel's order, first what is kept beyond the log, then the log, and stops only at what is the newest
//! of its key just then. What is left out is told by ranges, in each partition for itself: before the next thing that
//! comes in it, and where the client has caught up. Until then the client's cursor stays before what is left out, so a
//! client that is cut off comes back with an id that says what it really has.

use std::collections::BTreeSet;

use bytes::BytesMut;
use tidewater_core::{Cursor, GapReason, Next, TopicCursor, TopicTag};

use crate::{
    frame::{At, Batch, Kind},
    latest::{Kept, Latest},
    log::Log,
    resume::Topics,
    select::Select,
    walk::{Step, Walk},
    wire::{self, Told},
};

/// Where such a client is.
#[derive(Debug)]
pub(crate) struct Conflation {
    /// The next entry of the channel's order.
    next: u64,
    /// The client's cursor here: after everything that it got or was told.
    walk: Walk,
    /// Where something behind the cursor was left out and has not been told.
    behind: BTreeSet<(TopicTag, u32)>,
}

/// What is written, and how many gaps are in it.
struct Page<'a> {
    out: &'a mut BytesMut,
    topics: &'a Topics,
    gaps: u64,
}

impl Conflation {
    /// A client that has everything it wants before an entry, and this cursor.
    pub(crate) fn new(next: u64, cursor: Cursor) -> Self {
        Self { next, walk: Walk { cursor }, behind: BTreeSet::new() }
    }

    /// Whether a client of this log can be told ranges at all: positions have to be numbers.
    pub(crate) fn is_possible(log: &Log) -> bool {
        log.latest().is_some()
            && log.head().topics().iter().all(|topic| matches!(topic.next, Next::Offsets(_)))
    }

    /// The client's cursor.
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.walk.cursor
    }

    /// Where the client goes on in the log, once it has caught up.
    pub(crate) fn caught_up(&self, log: &Log) -> Option<(u64, Walk)> {
        (self.next == log.next() && self.behind.is_empty()).then(|| (self.next, self.walk.clone()))
    }

    /// Walks on and writes what is newest and wanted, until `out` holds `limit` bytes, `steps` entries were looked at,
    /// or the client has caught up. Gives the number of gaps it has told.
    pub(crate) fn write(
        &mut self,
        log: &Log,
        topics: &Topics,
        select: &Select,
        out: &mut BytesMut,
        limit: usize,
        steps: &mut usize,
    ) -> u64 {
        let mut page = Page { out, topics, gaps: 0 };
        let Some(latest) = log.latest() else { return 0 };
        while page.out.len() < limit && *steps > 0 {
            *steps -= 1;
            if self.next < log.tail() {
                self.renew(log, latest, &mut page);
                match latest.kept_from(self.next) {
                    Some((seq, kept)) => {
                        self.kept(seq, kept, latest, select, &mut page);
                        self.next = seq + 1;
                    }
                    None => self.next = log.tail(),
                }
                if self.next >= log.tail() {
                    self.fall(log.tail_cursor());
                }
                continue;
            }
            let Some(batch) = log.find(self.next) else {
                self.finish(log.head(), &mut page);
                break;
            };
            if batch.first == self.next {
                self.reach(&batch.start);
            }
            self.entry(batch, latest, select, &mut page);
            self.next += 1;
        }
        page.gaps
    }

    /// Topics that began anew in what the log has let go.
    fn renew(&mut self, log: &Log, latest: &Latest, page: &mut Page<'_>) {
        for tag in latest.begun() {
            let Some(own) = self.walk.cursor.topic(tag) else { continue };
            let Some(epoch) = latest.missed_epoch(tag, own.epoch, self.next) else { continue };
            if log.begins(tag, own.epoch) {
                continue;
            }
            // From its very first position: what is left out of it is told like everything else.
            self.walk.cursor.set(TopicCursor { tag, epoch, next: Next::Offsets(Vec::new()) });
            self.behind.retain(|(topic, _)| *topic != tag);
            page.tell(&Told::topic(GapReason::Epoch, page.topics.name(tag)), &self.walk.cursor);
        }
    }

    /// A message that the log has let go. What lay before it may have been anything.
    fn kept(&mut self, seq: u64, kept: &Kept, latest: &Latest, select: &Select, page: &mut Page<'_>) {
        let Kept { at, facets, head, .. } = kept;
        let wanted = select.matches(facets) && latest.is_newest(facets, at.partition, seq, select);
        let kind = Kind::Message(at.clone(), facets.clone());
        if !wanted || self.walk.look(&kind) == Step::Known {
            return;
        }
        self.left_out(at, page);
        self.walk.pass(&kind);
        page.out.extend_from_slice(head);
        wire::id(page.out, &self.walk.cursor);
    }

    /// Goes to where the log begins.
    fn fall(&mut self, tail: &Cursor) {
        for topic in tail.topics() {
            let Some(own) = self.walk.cursor.topic(topic.tag).filter(|own| own.epoch == topic.epoch) else {
                continue;
            };
            let short =
                (0..).zip(topic.offsets()).filter(|(partition, next)| own.offset(*partition) < **next);
            self.behind.extend(short.map(|(partition, _)| (topic.tag, partition)));
        }
    }

    /// One entry of the log.
    fn entry(&mut self, batch: &Batch, latest: &Latest, select: &Select, page: &mut Page<'_>) {
        let index = (self.next - batch.first) as usize;
        let frame = &batch.frames[index];
        let step = self.walk.look(&frame.kind);
        if step == Step::Known {
            return;
        }
        match &frame.kind {
            Kind::Message(at, facets) if select.matches(facets) => {
                let place = (at.tag, at.partition);
                if !latest.is_newest(facets, at.partition, self.next, select) {
                    self.behind.insert(place);
                    return;
                }
                if self.behind.remove(&place) {
                    self.left_out(at, page);
                }
            }
            Kind::Message(at, _) | Kind::Skip(at) => {
                // Nobody misses it. Behind something that is missed, it is told with that.
                if !self.behind.contains(&(at.tag, at.partition)) {
                    self.walk.pass(&frame.kind);
                }
                return;
            }
            Kind::Gap(gap, _) => {
                if let Some(missing) = &gap.missing
                    && self.behind.remove(&(gap.tag, gap.partition))
                {
                    self.tell_until(gap.tag, gap.partition, missing.start, page);
                }
            }
            Kind::Epoch(new) => {
                let node = batch.cursor_at(index);
                self.tell_all(&node, Some(new.tag), page);
            }
        }
        self.walk.pass(&frame.kind);
        if let Step::Rest(rest) = &step {
            page.tell(&Told::gap(rest), &self.walk.cursor);
        } else {
            page.out.extend_from_slice(&batch.bytes[batch.offset(index)..frame.id_at]);
            wire::id(page.out, &self.walk.cursor);
        }
    }

    /// The client has seen all there is.
    fn finish(&mut self, head: &Cursor, page: &mut Page<'_>) {
        self.tell_all(head, None, page);
        self.reach(head);
    }

    /// Takes over the node's positions where nothing was left out.
    fn reach(&mut self, node: &Cursor) {
        for topic in node.topics() {
            if self.walk.cursor.topic(topic.tag).is_none_or(|own| own.epoch != topic.epoch) {
                continue;
            }
            for (partition, next) in (0..).zip(topic.offsets()) {
                if !self.behind.contains(&(topic.tag, partition)) {
                    self.walk.cursor.raise(topic.tag, topic.epoch, partition, *next);
                }
            }
        }
    }

    /// Tells what was left out up to a place of the node's, of one topic or of all.
    fn tell_all(&mut self, node: &Cursor, of: Option<TopicTag>, page: &mut Page<'_>) {
        let places: Vec<_> =
            self.behind.iter().filter(|(tag, _)| of.is_none_or(|of| of == *tag)).copied().collect();
        for (tag, partition) in places {
            self.behind.remove(&(tag, partition));
            let same = |topic: &&TopicCursor| {
                self.walk.cursor.topic(tag).is_some_and(|own| own.epoch == topic.epoch)
            };
            if let Some(topic) = node.topic(tag).filter(same) {
                self.tell_until(tag, partition, topic.offset(partition), page);
            }
        }
    }

    /// Tells what was left out before a message.
    fn left_out(&mut self, at: &At, page: &mut Page<'_>) {
        if let Some(offset) = at.position.offset() {
            self.tell_until(at.tag, at.partition, offset, page);
        }
    }

    fn tell_until(&mut self, tag: TopicTag, partition: u32, end: u64, page: &mut Page<'_>) {
        let Some(topic) = self.walk.cursor.topic(tag) else { return };
        let (epoch, missing) = (topic.epoch, topic.offset(partition)..end);
        if missing.is_empty() {
            return;
        }
        self.walk.cursor.raise(tag, epoch, partition, end);
        let place = Some((page.topics.name(tag), Some(partition)));
        let told = Told { reason: GapReason::Conflated, place, missing: Some(missing) };
        page.tell(&told, &self.walk.cursor);
    }
}

impl Page<'_> {
    fn tell(&mut self, told: &Told, cursor: &Cursor) {
        self.gaps += 1;
        wire::gap(self.out, told, cursor);
    }
}

#[cfg(test)]
mod tests {
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
                event_header: String::new(),
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
                client
                    .got
                    .iter()
                    .all(|got| wants.iter().any(|is| (is.epoch, is.partition, is.offset) == *got))
            );
            if node.epoch == began && whole {
                for (partition, gap) in &client.conflated {
                    let left_out = |is: &&&Is| is.partition == *partition && gap.contains(&is.offset);
                    assert!(
                        wants.iter().any(|is| left_out(&is)),
                        "seed {seed}: nothing was left out in {gap:?}"
                    );
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
}
