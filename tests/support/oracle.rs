//! What I1, I2 and I6 promise to one client, checked event by event.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use tidewater_core::Cursor;

use crate::Event;

/// A place in a partition: `PARTITION:OFFSET` as text, which is what the producers send as payload.
///
/// So every message says itself where the broker has put it: what a client gets can be judged by it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(pub u32, pub u64);

impl Offset {
    fn parse(text: &str) -> Option<Self> {
        let (partition, offset) = text.split_once(':')?;
        Some(Self(partition.parse().ok()?, offset.parse().ok()?))
    }
}

impl From<Offset> for String {
    fn from(Offset(partition, offset): Offset) -> Self {
        format!("{partition}:{offset}")
    }
}

/// One client of a channel with one topic, over all its connections.
///
/// Holds it to: after its first cursor, every message of every partition exactly once and in order (I1); no gap; an
/// id with every event, and that id exactly what has been delivered so far (I2, I6), so that it can neither go down
/// nor skip anything.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The first offset that the source gives: 0 for Kafka, 1 for JetStream.
    first: u64,
    partitions: u32,
    holes: Holes,
    cursor: Option<Cursor>,
    received: u64,
}

/// Offsets that hold no message that may be seen: what was aborted, and the markers of transactions. Added before they
/// are written, shared by all oracles of a topic.
#[derive(Clone, Debug, Default)]
pub struct Holes(Arc<Mutex<BTreeSet<(u32, u64)>>>);

impl Holes {
    /// Adds offsets of a partition.
    pub fn add(&self, partition: u32, offsets: Range<u64>) {
        let mut holes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holes.extend(offsets.map(|offset| (partition, offset)));
    }

    /// The first offset from this one on that may hold a message.
    fn skip(&self, partition: u32, offset: u64) -> u64 {
        let [offset] = self.skip_all(partition, [offset]);
        offset
    }

    /// The same of several, among the holes of one moment: who writes adds more meanwhile.
    fn skip_all<const N: usize>(&self, partition: u32, offsets: [u64; N]) -> [u64; N] {
        let holes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        offsets.map(|mut offset| {
            while holes.contains(&(partition, offset)) {
                offset += 1;
            }
            offset
        })
    }
}

impl Oracle {
    /// A client that has nothing yet.
    pub fn new(partitions: u32, first: u64) -> Self {
        Self { first, partitions, holes: Holes::default(), cursor: None, received: 0 }
    }

    /// The same of a topic that has these holes. A cursor before one is as good as a cursor behind it.
    #[must_use]
    pub fn among(mut self, holes: &Holes) -> Self {
        self.holes = holes.clone();
        self
    }

    /// Takes the next event that the client got.
    ///
    /// # Errors
    /// What promise it breaks.
    pub fn take(&mut self, event: &Event) -> Result<()> {
        let expected = self.cursor.clone();
        self.judge(event).with_context(|| {
            let expected = expected.map_or("nothing yet".to_owned(), |cursor| self.shown(&cursor));
            format!("after {} messages, at {expected}: {event:?}", self.received)
        })
    }

    /// Whether it has had everything before these offsets, one per partition.
    pub fn has_reached(&self, ends: &[u64]) -> bool {
        self.cursor.is_some() && ends.iter().zip(0..).all(|(end, partition)| self.next(partition) >= *end)
    }

    /// The next offset that it shall get.
    pub fn next(&self, partition: u32) -> u64 {
        let topics = self.cursor.as_ref().map(Cursor::topics).unwrap_or_default();
        let next = topics.first().map_or(0, |topic| topic.offset(partition)).max(self.first);
        self.holes.skip(partition, next)
    }

    /// How many messages it has had.
    pub fn received(&self) -> u64 {
        self.received
    }

    fn judge(&mut self, event: &Event) -> Result<()> {
        let id: Cursor = event.last_event_id.parse().context("the id can't be read")?;
        ensure!(id.topics().len() == 1, "the id has {} topics", id.topics().len());
        match &*event.event_type {
            "tidewater.cursor" => {
                ensure!(event.data.is_empty(), "a cursor block with data");
                match &self.cursor {
                    None => self.cursor = Some(id),
                    Some(cursor) => ensure!(
                        self.same(cursor, &id),
                        "a cursor block with another cursor than what was delivered: {}",
                        self.shown(&id)
                    ),
                }
            }
            "message" => {
                let Offset(partition, offset) =
                    Offset::parse(&event.data).context("not a payload of ours")?;
                ensure!(self.cursor.is_some(), "a message before the first cursor");
                let next = self.next(partition);
                ensure!(offset >= next, "given twice: partition {partition} was at {next}");
                ensure!(offset <= next, "lost: partition {partition} goes from {next} to {offset}");
                let cursor = self.cursor.as_mut().context("no cursor")?;
                let topic = cursor.topics().first().context("no topic")?.clone();
                cursor.raise(topic.tag, topic.epoch, partition, offset + 1);
                let cursor = cursor.clone();
                ensure!(
                    self.same(&cursor, &id),
                    "its id is not what was delivered: {} instead of {}",
                    self.shown(&id),
                    self.shown(&cursor)
                );
                self.received += 1;
            }
            other => bail!("an event {other:?}, which should not be there"),
        }
        Ok(())
    }

    /// Equal, with what lies before the first offset taken as the first, and what lies in a hole as its end.
    fn same(&self, a: &Cursor, b: &Cursor) -> bool {
        match (a.topics(), b.topics()) {
            ([a], [b]) => {
                (a.tag, a.epoch) == (b.tag, b.epoch)
                    && (0..self.partitions).all(|n| {
                        let places = [a.offset(n), b.offset(n)].map(|offset| offset.max(self.first));
                        let [a, b] = self.holes.skip_all(n, places);
                        a == b
                    })
            }
            _ => false,
        }
    }

    fn shown(&self, cursor: &Cursor) -> String {
        let topic = cursor.topics().first();
        let offsets: Vec<_> =
            (0..self.partitions).map(|n| topic.map_or(0, |topic| topic.offset(n))).collect();
        format!("{offsets:?}")
    }
}

#[cfg(test)]
mod tests {
    use tidewater_core::{EpochTag, Next, TopicCursor, TopicTag};

    use super::*;

    fn event(kind: &'static str, data: &str, offsets: &[u64]) -> Event {
        let topic =
            TopicCursor { tag: TopicTag(1), epoch: EpochTag(2), next: Next::Offsets(offsets.to_vec()) };
        let id: Cursor = [topic].into_iter().collect();
        Event { event_type: kind.into(), data: data.into(), last_event_id: id.to_string().into() }
    }

    fn judge(events: &[Event]) -> Result<Oracle> {
        let mut oracle = Oracle::new(2, 0);
        events.iter().try_for_each(|event| oracle.take(event))?;
        Ok(oracle)
    }

    #[test]
    fn what_is_exact_passes() -> Result<()> {
        let oracle = judge(&[
            event("tidewater.cursor", "", &[5]),
            event("message", "1:0", &[5, 1]),
            event("message", "0:5", &[6, 1]),
            event("tidewater.cursor", "", &[6, 1]),
            event("message", "0:6", &[7, 1]),
        ])?;
        assert!(oracle.has_reached(&[7, 1]) && !oracle.has_reached(&[7, 2]) && oracle.received() == 3);
        Ok(())
    }

    #[test]
    fn a_hole_is_passed_over_and_nothing_else() -> Result<()> {
        let holes = Holes::default();
        holes.add(0, 6..9);
        let take = |events: &[Event]| -> Result<Oracle> {
            let mut oracle = Oracle::new(2, 0).among(&holes);
            events.iter().try_for_each(|event| oracle.take(event))?;
            Ok(oracle)
        };
        let start = [event("tidewater.cursor", "", &[5]), event("message", "0:5", &[6])];
        let oracle = take(&start)?;
        assert!(oracle.has_reached(&[9, 0]) && !oracle.has_reached(&[10, 0]));
        take(&[&start[..], &[event("message", "0:9", &[10])]].concat())?;
        take(&[&start[..], &[event("tidewater.cursor", "", &[8]), event("message", "0:9", &[10])]].concat())?;
        for bad in ["0:7", "0:10"] {
            assert!(take(&[&start[..], &[event("message", bad, &[11])]].concat()).is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_exact_is_told() {
        let start = event("tidewater.cursor", "", &[5, 1]);
        for (bad, why) in [
            (event("message", "0:4", &[5, 1]), "given twice"),
            (event("message", "0:6", &[7, 1]), "lost"),
            (event("message", "0:5", &[6, 2]), "its id is not"),
            (event("message", "0:5", &[6, 0]), "its id is not"),
            (event("tidewater.cursor", "", &[4, 1]), "another cursor"),
            (event("tidewater.cursor", "", &[6, 1]), "another cursor"),
            (event("tidewater.gap", "{}", &[6, 1]), "should not be there"),
            (event("message", "hello", &[6, 1]), "not a payload"),
            (Event { last_event_id: "".into(), ..event("message", "0:5", &[]) }, "can't be read"),
        ] {
            let told = format!("{:#}", judge(&[start.clone(), bad]).expect_err("not exact"));
            assert!(told.contains(why), "{told}");
        }
    }
}
