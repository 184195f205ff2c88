//! Where messages come from.

use std::{fmt, ops::Range, time::SystemTime};

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use crate::{
    Cursor, Epoch, Error, ErrorKind, Message, Next, Result, ShareKey, TopicCursor, TopicName, TopicTag,
};

/// Reads messages from a broker. Object safe: a channel holds an `Arc<dyn Source>`.
///
/// `Display` names it as its URL does, without secrets: it goes into logs and errors.
///
/// # What every source keeps
/// The conformance suite in `tidewater-testkit` enforces these by number.
///
/// 1. Order holds per partition, and nothing between the start and what has been delivered is left out, but for
///    what a [`Delivery::Gap`], [`Delivery::Epoch`] or [`Delivery::Progress`] tells.
/// 2. The [start](Subscribed::start) is concrete: a number for every partition there is, known before any message.
///    *Latest* and *at a time* are resolved first.
/// 3. A wanted position that can be served is the start. One that can't (removed by retention, past the end, of
///    another epoch) is moved: to the first position kept, to the end, to the first of the new epoch. The
///    difference between wanted and start is the caller's to tell; the stream tells only what happens after.
/// 4. Dropping the stream unsubscribes without blocking a runtime thread.
/// 5. Pull only: what is not polled is not read ahead without a bound in bytes.
/// 6. A topic that is removed and made again while the stream is open is told as [`Delivery::Epoch`], and its new
///    incarnation is delivered from its first position.
/// 7. An `Err` ends the stream. Whether subscribing again can help is what [`Error::retry`] says.
#[async_trait]
pub trait Source: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// The kind of source, as its tags are made from: `"kafka"`, `"jetstream"`. Never changes between versions.
    fn kind(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The topics with their epochs and the positions they hold *now*, read from the broker anew.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable), [`NotFound`](ErrorKind::NotFound) or [`Denied`](ErrorKind::Denied).
    ///
    /// # Cancel safety
    /// Safe.
    async fn bounds(&self) -> Result<Bounds>;

    /// Starts reading. Each call is a subscription of its own, and independent of all others.
    ///
    /// # Errors
    /// As [`bounds`](Self::bounds), and [`Unsupported`](ErrorKind::Unsupported) for a start the source can't do.
    ///
    /// # Cancel safety
    /// Safe: a subscription that was dropped half way is undone.
    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed>;

    /// What a subscription of this source can be shared by: channels whose sources have equal keys take what one
    /// of them delivers. Equal keys mean the same topics at the same broker, read with the same credentials and
    /// the same settings, so that neither [`bounds`](Self::bounds) nor [`subscribe`](Self::subscribe) could tell the
    /// two sources apart. `None`, the default: never shared. It doesn't change in a source's life.
    fn share_key(&self) -> Option<ShareKey> {
        None
    }
}

/// What a source can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Messages stay readable after they were delivered: a subscription can start in the past.
    pub replay: bool,
    /// A start can be given as a time.
    pub from_time: bool,
    /// Topics have partitions, each with an order of its own.
    pub partitioned: bool,
    /// Positions are numbers that can be compared, so that two nodes' orders can be merged.
    pub mergeable: bool,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.replay, "replay"),
            (self.from_time, "from a time"),
            (self.partitioned, "partitions"),
            (self.mergeable, "mergeable positions"),
        ];
        let has: Vec<_> = all.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(if has.is_empty() { "live only".into() } else { has.join(", ") }.as_ref() as &str)
    }
}

/// Where a subscription starts.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// The start of every topic that [`after`](Self::after) doesn't name.
    pub start: Start,
    /// Positions wanted next. Topics the source hasn't got are not looked at; a partition that a known topic
    /// leaves out is wanted from offset 0.
    pub after: Option<Cursor>,
}

impl Subscription {
    /// From now on.
    pub fn latest() -> Self {
        Self::default()
    }

    /// From the first message that the broker still has.
    pub fn earliest() -> Self {
        Self { start: Start::Earliest, after: None }
    }

    /// From the first message that was written at this time or later.
    pub fn at(time: SystemTime) -> Self {
        Self { start: Start::Time(time), after: None }
    }

    /// Onwards from a cursor; topics it doesn't name start at the latest.
    pub fn after(cursor: Cursor) -> Self {
        Self { start: Start::Latest, after: Some(cursor) }
    }
}

/// A start that is not a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// From now on.
    #[default]
    Latest,
    /// From the first message that the broker still has.
    Earliest,
    /// From the first message written at this time or later (as far as the source has times).
    Time(SystemTime),
}

/// A stream of deliveries; what [`Subscribed`] holds.
pub type Deliveries = BoxStream<'static, Result<Delivery>>;

/// A subscription that has started.
pub struct Subscribed {
    /// Where it starts, concretely: every topic with its epoch, every partition with the next position.
    pub start: Cursor,
    /// What comes from there on. Dropping it unsubscribes.
    pub deliveries: Deliveries,
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribed").field("start", &self.start).finish_non_exhaustive()
    }
}

/// What a source delivers.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A message.
    Message(Message),
    /// Something that was there can no longer be read.
    Gap(Gap),
    /// Positions moved without a message: transaction markers, compaction, subjects that the filter leaves out. A
    /// topic that it names has every partition in it.
    Progress(Cursor),
    /// A topic was removed and made again.
    Epoch(NewEpoch),
}

/// Something that can no longer be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The topic of the cursor.
    pub topic: TopicName,
    /// Its tag.
    pub tag: TopicTag,
    /// The partition.
    pub partition: u32,
    /// The offsets that can't be read, half-open; some may never have been messages. `None`: nobody knows how much
    /// (what a broker without a log did not deliver).
    pub missing: Option<Range<u64>>,
    /// Why.
    pub reason: GapReason,
}

/// Why something can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The broker has removed it: retention, purge, deleted records.
    Retention,
    /// The topic was removed and made again, or the log that the position belonged to is gone.
    Epoch,
    /// The position is past the broker's end.
    Ahead,
    /// The id can't be read.
    Unreadable,
    /// It is older than the channel lets anybody go back.
    Replay,
    /// The client fell behind what is kept in memory.
    Lag,
    /// The client fell behind what is kept in memory, and newer messages of the same keys stand for these.
    Conflated,
    /// The broker did not deliver it and can't say how much: a disconnect or a full queue of a source that can't
    /// replay.
    Lost,
    /// The application's own step failed on it.
    Map,
}

impl GapReason {
    /// Every reason, in the order of their declaration.
    pub const ALL: &'static [Self] = &[
        Self::Retention,
        Self::Epoch,
        Self::Ahead,
        Self::Unreadable,
        Self::Replay,
        Self::Lag,
        Self::Conflated,
        Self::Lost,
        Self::Map,
    ];

    /// The reason as it stands in a gap event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Epoch => "epoch",
            Self::Ahead => "ahead",
            Self::Unreadable => "unreadable",
            Self::Replay => "replay",
            Self::Lag => "lag",
            Self::Conflated => "conflated",
            Self::Lost => "lost",
            Self::Map => "map",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A topic's new incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEpoch {
    /// The topic of the cursor.
    pub topic: TopicName,
    /// Its tag.
    pub tag: TopicTag,
    /// The new incarnation.
    pub epoch: Epoch,
    /// The next position of each partition of the new incarnation.
    pub start: Vec<u64>,
}

/// What a source holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Every topic of the source.
    pub topics: Vec<TopicBounds>,
}

/// What one topic holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicBounds {
    /// The topic of the cursor.
    pub name: TopicName,
    /// Its tag.
    pub tag: TopicTag,
    /// Its incarnation.
    pub epoch: Epoch,
    /// Per partition the first offset that can be read and the one after the last. Empty where positions are
    /// opaque.
    pub partitions: Vec<Range<u64>>,
}

impl Bounds {
    /// The bounds of the topic with this tag.
    pub fn topic(&self, tag: TopicTag) -> Option<&TopicBounds> {
        self.topics.iter().find(|topic| topic.tag == tag)
    }

    /// The first position of everything.
    pub fn first(&self) -> Cursor {
        self.cursor(|range| range.start)
    }

    /// The end of everything.
    pub fn end(&self) -> Cursor {
        self.cursor(|range| range.end)
    }

    /// Checks that no two topics share a tag.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming both.
    pub fn check(&self) -> Result<()> {
        for (index, topic) in self.topics.iter().enumerate() {
            if let Some(other) = self.topics[..index].iter().find(|other| other.tag == topic.tag) {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "the topics {:?} and {:?} have the same tag {} in cursors: put them into two channels",
                        other.name, topic.name, topic.tag
                    ),
                ));
            }
        }
        Ok(())
    }

    fn cursor(&self, of: impl Fn(&Range<u64>) -> u64) -> Cursor {
        self.topics
            .iter()
            .map(|topic| TopicCursor {
                tag: topic.tag,
                epoch: topic.epoch.tag(),
                next: Next::Offsets(topic.partitions.iter().map(&of).collect()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, tag: u32) -> TopicBounds {
        TopicBounds { name: name.into(), tag: TopicTag(tag), epoch: Epoch(1), partitions: vec![3..7, 0..2] }
    }

    /// I2: a cursor knows topics by their tags alone.
    #[test]
    fn topics_that_share_a_tag_are_refused_by_name() {
        let bounds = |tags: [u32; 2]| Bounds { topics: vec![topic("a", tags[0]), topic("b", tags[1])] };
        assert!(bounds([1, 2]).check().is_ok());
        let error = bounds([1, 1]).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("\"a\" and \"b\""), "{error}");
    }

    #[test]
    fn every_reason_of_a_gap_is_listed() {
        use GapReason::{Ahead, Conflated, Epoch, Lag, Lost, Map, Replay, Retention, Unreadable};
        // A new one has to be counted here to compile.
        let reasons = |reason| match reason {
            Retention | Epoch | Ahead | Unreadable | Replay | Lag | Conflated | Lost | Map => 9,
        };
        let listed: std::collections::HashSet<_> = GapReason::ALL.iter().collect();
        assert_eq!(listed.len(), reasons(Map));
    }

    #[test]
    fn bounds_are_cursors_of_both_ends() {
        let bounds = Bounds { topics: vec![topic("a", 1)] };
        assert_eq!(bounds.first().topic(TopicTag(1)).unwrap().offsets(), [3, 0]);
        assert_eq!(bounds.end().topic(TopicTag(1)).unwrap().offsets(), [7, 2]);
    }
}
