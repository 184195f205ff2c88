//! What must hold for one client (I1 to I6), block by block.
//!
//! A client's last id is its claim to have everything before it. So each block is judged by the way from the id before
//! it to its own: whatever lies between and was a message that the client wants must be the message that the block
//! brings, or be named by the gap that the block tells. Nothing may go down, nothing may be past the broker's end,
//! incarnations change by a gap only and never back. If every block keeps to that from the first to the last, over all
//! connections, and the last id is the broker's end, then what was received and what was told missing cover everything
//! once, in order.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use tidewater_core::{Cursor, EpochTag, TopicCursor, TopicTag, sse::Event};
use tokio::time::Instant;

use super::{
    broker::{KIND, Kind, Partition, Record, Truth, topic_name},
    script::{Back, Lag, PATTERNS, Setup, Wants},
};
use crate::log::{FIRST, Log, frame};

/// What is wrong.
pub(crate) type Complaint = String;

/// What a block is judged by.
pub(crate) struct Oracle<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) truth: &'a Truth,
    /// The log of the client's channel.
    pub(crate) log: &'a Log,
    /// What it was when the client came.
    pub(crate) opening: &'a Opening,
    pub(crate) wants: Wants,
    /// Whether the channel has the application's step.
    pub(crate) map: bool,
    /// What happens to the client if it falls behind.
    pub(crate) lag: Lag,
}

/// What it was like when a client came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    /// Where what its channel had of each topic began.
    pub(crate) begins: Cursor,
    /// Where its channel was.
    pub(crate) head: Cursor,
    /// Nothing older is to come, by the broker's times.
    pub(crate) oldest: Option<Instant>,
    /// The same by when it came to the node.
    pub(crate) floor: Cursor,
}

/// A gap as a client is told it.
pub(crate) struct Told {
    pub(crate) reason: String,
    pub(crate) topic: Option<TopicTag>,
    partition: Option<u32>,
    missing: Option<Range<u64>>,
}

impl Told {
    pub(crate) fn parse(event: &Event) -> Result<Self, Complaint> {
        let unreadable = |_| format!("a gap that can't be read: {}", &*event.data);
        let json: serde_json::Value = serde_json::from_str(&event.data).map_err(unreadable)?;
        let number = |name: &str| json[name].as_u64();
        Ok(Self {
            reason: json["reason"].as_str().unwrap_or_default().to_owned(),
            topic: json["topic"].as_str().map(|name| TopicTag::of(KIND, name)),
            partition: number("partition").map(|partition| partition as u32),
            missing: number("from").zip(number("to")).map(|(from, to)| from..to),
        })
    }
}

impl Oracle<'_> {
    /// A message: the next one of its partition that the client wants, and nothing else is passed over.
    pub(crate) fn message(&self, event: &Event, before: &Cursor, after: &Cursor) -> Result<(), Complaint> {
        let numbers: Vec<u64> = event
            .data
            .split('\n')
            .next()
            .unwrap_or_default()
            .split('/')
            .filter_map(|n| n.parse().ok())
            .collect();
        let &[topic, epoch, partition, offset, _] = &numbers[..] else {
            return Err(format!("not a payload of the broker's: {}", &*event.data));
        };
        let (tag, partition) = (TopicTag::of(KIND, &topic_name(topic as usize)), partition as u32);
        let own = before.topic(tag).ok_or("I2: a message of a topic that the id before hasn't got")?;
        let (_, known, incarnation) =
            self.truth.find(tag, own.epoch).ok_or("an incarnation that nobody knows")?;
        let incarnation = &known.incarnations[incarnation];
        if incarnation.epoch.0 != u128::from(epoch) {
            return Err(format!("I1: a message of the incarnation {epoch}, the client is in {}", own.epoch));
        }
        let record = record(&incarnation.partitions, partition, offset).ok_or("no such message")?;
        if &*event.event_type != self.name(record) {
            return Err(format!("a message of the name {}", event.event_type));
        }
        if record.payload != *event.data {
            return Err("the payload is not the broker's".into());
        }
        if record.kind == Kind::Hole || !self.is_wanted(topic as usize, record) || self.fails(record) {
            return Err("a message that this client was not to get".into());
        }
        if offset < own.offset(partition) {
            return Err(format!(
                "I1: partition {partition} of t.{topic}: {offset} came twice, or out of order"
            ));
        }
        if after.next_offset(tag, partition) != Some(offset + 1) {
            return Err(format!("I2: the id is not the cursor after {offset} of partition {partition}"));
        }
        self.passed(tag, own.epoch, partition, own.offset(partition)..offset)?;
        self.moved(before, after, Some((tag, partition)))
    }

    /// A block that only moves the id.
    pub(crate) fn cursor(&self, before: &Cursor, after: &Cursor) -> Result<(), Complaint> {
        self.moved(before, after, None)
    }

    /// A gap that is told to a client with an id that the hub gave out.
    pub(crate) fn gap(&self, told: &Told, before: &Cursor, after: &Cursor) -> Result<(), Complaint> {
        match (&told.reason[..], told.topic, told.partition, &told.missing) {
            ("lost", ..) if !self.setup.replay => self.moved(before, after, None),
            ("epoch", Some(tag), None, None) => self.anew(tag, before, after),
            (reason, Some(tag), Some(partition), Some(missing)) => {
                let own = before.topic(tag).ok_or("a gap in a topic that the id before hasn't got")?;
                self.range(reason, own, partition, missing)?;
                if after.topic(tag).map(|after| (after.epoch, after.offset(partition)))
                    != Some((own.epoch, missing.end))
                {
                    return Err("I2: the id is not the cursor after the gap".into());
                }
                self.moved(before, after, Some((tag, partition)))
            }
            (reason, ..) => Err(format!("a gap without a cause: {reason}")),
        }
    }

    /// A place where a client begins: one that is, and at the first message if that was asked for.
    pub(crate) fn begins(&self, at: &Cursor, first: bool) -> Result<(), Complaint> {
        for topic in at.topics() {
            let (_, known, incarnation) = self
                .truth
                .find(topic.tag, topic.epoch)
                .ok_or("I3: it begins in an incarnation that never was")?;
            // Of what is over, one can believe what a client says: it is told that it is over.
            let over = incarnation + 1 < known.incarnations.len();
            let partitions = &known.incarnations[incarnation].partitions;
            for (number, offset) in topic.offsets().iter().enumerate() {
                if !over && *offset > partitions.get(number).map_or(0, Partition::end) {
                    return Err(format!("I3: it begins past the end of partition {number}"));
                }
                // Who comes from elsewhere to what counts by itself begins with what that has; who is there when it
                // counts anew, where it begins.
                let has = self.opening.begins.topic(topic.tag).filter(|has| has.epoch == topic.epoch);
                let gone = |o: &u64| match has {
                    _ if self.setup.replay => self.is_gone(partitions, number, *o),
                    Some(has) => *o < has.offset(number as u32),
                    None => true,
                };
                let kept = (0..*offset).find(|o| !gone(o));
                if let Some(kept) = kept.filter(|_| first) {
                    return Err(format!("it begins at {offset} of partition {number}, and {kept} is there"));
                }
            }
        }
        Ok(())
    }

    /// The way of every topic and partition but one: nothing down, nothing passed over.
    fn moved(&self, before: &Cursor, after: &Cursor, but: Option<(TopicTag, u32)>) -> Result<(), Complaint> {
        for own in before.topics() {
            let Some(now) = after.topic(own.tag) else {
                return Err("I2: a topic is gone from the id".into());
            };
            if own.epoch != now.epoch {
                return Err(format!("the epoch {} became {} without a gap", own.epoch, now.epoch));
            }
            for number in 0..own.offsets().len().max(now.offsets().len()) as u32 {
                let (from, to) = (own.offset(number), now.offset(number));
                if to < from {
                    return Err(format!("I6: the id went down in partition {number}: {from} to {to}"));
                }
                if but != Some((own.tag, number)) {
                    self.passed(own.tag, own.epoch, number, from..to)?;
                }
            }
        }
        if after.topics().len() != before.topics().len() {
            return Err("I2: the id has a topic that it had not before".into());
        }
        Ok(())
    }

    /// What was passed over in silence: no messages, or none for this client.
    fn passed(
        &self,
        tag: TopicTag,
        epoch: EpochTag,
        number: u32,
        range: Range<u64>,
    ) -> Result<(), Complaint> {
        if range.is_empty() {
            return Ok(());
        }
        let (_, topic, incarnation) =
            self.truth.find(tag, epoch).ok_or("an incarnation that nobody knows")?;
        let partitions = &topic.incarnations[incarnation].partitions;
        let index = index(topic.name.as_str());
        for offset in range {
            match record(partitions, number, offset) {
                None => return Err(format!("the id is past the end of partition {number}: {offset}")),
                Some(record) if self.is_left_out(index, record) => {}
                Some(_) => {
                    return Err(format!("I1: {offset} of partition {number} of {} is lost", topic.name));
                }
            }
        }
        Ok(())
    }

    /// Whether a range may be told missing for this reason.
    fn range(
        &self,
        reason: &str,
        own: &TopicCursor,
        number: u32,
        missing: &Range<u64>,
    ) -> Result<(), Complaint> {
        let place = format!("{missing:?} of partition {number} for {reason}");
        if missing.is_empty() {
            return Err(format!("a gap of nothing: {place}"));
        }
        if missing.start < own.offset(number) {
            return Err(format!("I1: a gap that covers what the client has: {place}"));
        }
        self.passed(own.tag, own.epoch, number, own.offset(number)..missing.start)?;
        let (_, topic, incarnation) = self.truth.find(own.tag, own.epoch).ok_or("an unknown incarnation")?;
        let partitions = &topic.incarnations[incarnation].partitions;
        let withheld = match reason {
            "retention" if !self.setup.replay => Withheld::Evicted,
            "retention" => Withheld::Nothing,
            "lag" if self.skips() => Withheld::Evicted,
            "replay" if self.setup.back == Back::Log && self.setup.replay => Withheld::Evicted,
            "replay" if self.setup.back != Back::Log => Withheld::Old(self.old()?),
            "conflated" if self.lag == Lag::Conflate => Withheld::Conflated,
            "map" => {
                let failed =
                    record(partitions, number, missing.start).is_some_and(|record| self.fails(record));
                let one = missing.end == missing.start + 1;
                return if failed && one { Ok(()) } else { Err(format!("the step didn't fail: {place}")) };
            }
            _ => return Err(format!("I7: no such reason here: {place}")),
        };
        let mut any = false;
        for offset in missing.clone() {
            let Some(record) = record(partitions, number, offset) else {
                return Err(format!("I1: a gap past the broker's end: {place}"));
            };
            let removed = offset < partitions[number as usize].first
                || matches!(record.kind, Kind::Lost | Kind::Unheard);
            let withheld = match &withheld {
                Withheld::Nothing => false,
                Withheld::Evicted => self.is_evicted(own, number as usize, offset),
                Withheld::Old(old) => self.is_old(old, own, number, offset, record),
                Withheld::Conflated => true,
            };
            any |= removed || withheld;
            if !self.is_gone(partitions, number as usize, offset) && !withheld {
                return Err(format!("I1: a gap, and {offset} is there: {place}"));
            }
        }
        if let Withheld::Conflated = withheld {
            self.newest(own, number, missing)?;
        }
        if any { Ok(()) } else { Err(format!("I1: a gap for what never was a message: {place}")) }
    }

    /// Whether a client that falls behind goes on where the log begins.
    fn skips(&self) -> bool {
        let fills_up = self.setup.replay
            && match self.setup.back {
                Back::Everything => true,
                Back::Log => false,
                Back::Age(_) => self.setup.times,
            };
        self.lag == Lag::Skip || self.lag == Lag::Backfill && !fills_up
    }

    /// The limit now, by the broker's times and by the node's.
    fn old(&self) -> Result<(Option<Instant>, Cursor), Complaint> {
        let Back::Age(ms) = self.setup.back else { return Err("I3: a limit where there is none".into()) };
        let oldest = Instant::now().checked_sub(Duration::from_millis(ms));
        Ok((oldest, (**self.log.since(oldest).1).clone()))
    }

    /// Whether a message is older than clients may have it.
    fn is_old(
        &self,
        (oldest, floor): &(Option<Instant>, Cursor),
        own: &TopicCursor,
        number: u32,
        offset: u64,
        record: &Record,
    ) -> bool {
        let by_time = || oldest.is_some_and(|oldest| record.at < oldest);
        let place = |epoch| self.truth.find(own.tag, epoch).map(|(_, _, incarnation)| incarnation);
        let by_log = || {
            floor.topic(own.tag).is_some_and(|floor| match floor.epoch == own.epoch {
                true => offset < floor.offset(number),
                false => place(floor.epoch) > place(own.epoch),
            })
        };
        let is_over = || {
            self.truth.find(own.tag, own.epoch).is_some_and(|(_, topic, n)| n + 1 < topic.incarnations.len())
        };
        let known = self.setup.times && self.setup.replay;
        let in_log = || by_log() || self.is_evicted(own, number as usize, offset);
        if known { by_time() || is_over() && in_log() } else { in_log() }
    }

    /// The newest message of a key that the client wants is not left out, unless the node has let it go.
    fn newest(&self, own: &TopicCursor, number: u32, missing: &Range<u64>) -> Result<(), Complaint> {
        let mut newest = BTreeMap::new();
        let mut note = |at: &frame::At| {
            let Some(offset) = at.position.offset().filter(|_| at.tag == own.tag) else { return };
            let Some((_, topic, incarnation)) = self.truth.find(at.tag, at.epoch) else { return };
            let partitions = &topic.incarnations[incarnation].partitions;
            let Some(record) = record(partitions, at.partition, offset) else { return };
            if self.is_wanted(index(topic.name.as_str()), record) {
                newest.insert(record.key, (at.epoch, at.partition, offset));
            }
        };
        // In what was read of the past at the start, the order is another one.
        let mut seq = FIRST;
        while let Some((kept, message)) = self.log.latest().and_then(|latest| latest.kept_from(seq)) {
            note(&message.at);
            seq = kept + 1;
        }
        for batch in self.log.batches().iter().filter(|batch| batch.first >= FIRST) {
            for frame in &batch.frames {
                if let frame::Kind::Message(at, _) = &frame.kind {
                    note(at);
                }
            }
        }
        let left_out = newest.values().find(|(epoch, partition, offset)| {
            (*epoch, *partition) == (own.epoch, number) && missing.contains(offset)
        });
        match left_out {
            None => Ok(()),
            Some((_, _, offset)) => {
                Err(format!("I7: {offset} of partition {number} is the newest of its key, and left out"))
            }
        }
    }

    /// Where a client may begin: nowhere before the limit (I3).
    pub(crate) fn limited(&self, at: &Cursor) -> Result<(), Complaint> {
        let opening = self.opening;
        for topic in at.topics() {
            let same = |other: &&TopicCursor| other.epoch == topic.epoch;
            let Some((_, known, incarnation)) = self.truth.find(topic.tag, topic.epoch) else { continue };
            let is_over = incarnation + 1 < known.incarnations.len();
            let partitions = &known.incarnations[incarnation].partitions;
            let head = opening.head.topic(topic.tag).filter(same);
            for number in 0..partitions.len() as u32 {
                let from = topic.offset(number);
                let floor =
                    opening.floor.topic(topic.tag).filter(same).map_or(0, |floor| floor.offset(number));
                if from < floor {
                    return Err(format!("I3: {from} of partition {number} is older than what it may have"));
                }
                let Some(oldest) = opening.oldest.filter(|_| !is_over) else { continue };
                let to = head.map_or(0, |head| head.offset(number));
                let older = |o: &u64| {
                    record(partitions, number, *o).is_some_and(|record| record.at < oldest)
                        && !self.is_gone(partitions, number as usize, *o)
                };
                if let Some(old) = (from..to).find(older) {
                    return Err(format!("I3: {old} of partition {number} is older than the limit"));
                }
            }
        }
        Ok(())
    }

    /// Whether a client with this cursor has all that it wants up to the end.
    pub(crate) fn has_all(&self, at: &Cursor, end: &Cursor) -> bool {
        end.topics().iter().all(|end| {
            let Some(own) = at.topic(end.tag).filter(|own| own.epoch == end.epoch) else { return false };
            (0..end.offsets().len() as u32).all(|number| {
                self.passed(own.tag, own.epoch, number, own.offset(number)..end.offset(number)).is_ok()
            })
        })
    }

    /// A topic's new incarnation: a later one, from its first message that can be had.
    fn anew(&self, tag: TopicTag, before: &Cursor, after: &Cursor) -> Result<(), Complaint> {
        let (Some(own), Some(now)) = (before.topic(tag), after.topic(tag)) else {
            return Err("a new epoch of a topic that an id hasn't got".into());
        };
        if own.epoch == now.epoch {
            return Err("a gap for a new epoch, and it is the old one".into());
        }
        let old = self.truth.find(tag, own.epoch).ok_or("an unknown incarnation")?;
        let new = self.truth.find(tag, now.epoch).ok_or("I3: a new epoch that never was")?;
        if old.0 == new.0 && old.2 > new.2 {
            return Err("I3: back to an incarnation that is over".into());
        }
        let first: Cursor = [now.clone()].into_iter().collect();
        self.begins(&first, true)?;
        let others =
            |cursor: &Cursor| cursor.topics().iter().filter(|t| t.tag != tag).cloned().collect::<Cursor>();
        self.moved(&others(before), &others(after), None)
    }

    /// Whether the broker can't deliver an offset any more.
    fn is_gone(&self, partitions: &[Partition], number: usize, offset: u64) -> bool {
        let Some(partition) = partitions.get(number) else { return true };
        let unread = |record: &Record| record.kind != Kind::Message;
        offset < partition.first || partition.records.get(offset as usize).is_none_or(unread)
    }

    /// Whether the node's log begins after an offset.
    fn is_evicted(&self, topic: &TopicCursor, number: usize, offset: u64) -> bool {
        let place = |epoch| self.truth.find(topic.tag, epoch).map(|(_, _, incarnation)| incarnation);
        self.log.tail_cursor().topic(topic.tag).is_some_and(|tail| {
            if tail.epoch == topic.epoch {
                offset < tail.offset(number as u32)
            } else {
                !self.setup.replay || place(tail.epoch) > place(topic.epoch)
            }
        })
    }

    /// Whether a client gets nothing of it and needs to be told nothing.
    fn is_left_out(&self, topic: usize, record: &Record) -> bool {
        matches!(record.kind, Kind::Hole | Kind::Compacted | Kind::Unheard) || !self.is_wanted(topic, record)
    }

    /// Whether the client's selection and the application's step let it through.
    fn is_wanted(&self, topic: usize, record: &Record) -> bool {
        let payload = record.payload.as_bytes();
        let selected = match self.wants {
            Wants::All => true,
            Wants::Key(key) => record.key == key,
            Wants::Topic(wanted) => topic == usize::from(wanted),
            Wants::Pattern(pattern) => PATTERNS[usize::from(pattern)].1[topic],
            Wants::KeyOf(key, wanted) => record.key == key && topic == usize::from(wanted),
            Wants::Tag(even) => self.map && even == (Record::tag(payload) == "even"),
            Wants::Event(named) => named == (self.name(record) != "message"),
        };
        selected && !(self.map && record.key == 1)
    }

    /// Whether the application's step fails on it.
    fn fails(&self, record: &Record) -> bool {
        self.map && record.payload.ends_with('7')
    }

    /// The name of its event.
    fn name(&self, record: &Record) -> &'static str {
        Record::event(record.payload.as_bytes()).filter(|_| self.map).unwrap_or("message")
    }
}

/// What may be withheld from a client though the broker has it.
enum Withheld {
    Nothing,
    Evicted,
    Old((Option<Instant>, Cursor)),
    Conflated,
}

/// A topic's number, by its name.
fn index(name: &str) -> usize {
    name.trim_start_matches("t.").parse().unwrap_or(0)
}

fn record(partitions: &[Partition], number: u32, offset: u64) -> Option<&Record> {
    partitions.get(number as usize)?.records.get(offset as usize)
}
