//! Where one topic is read, and what its messages become.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers as _},
};
use tidewater_core::{
    Delivery, Headers, Message, NewEpoch, Next, Position, Start, Subscription, TopicBounds, TopicCursor,
    TopicName, TopicTag,
};

use crate::topic_ids::Incarnation;

/// The most messages of one incarnation that are remembered between two looks at its id.
const REMEMBERED: usize = 16_384;

/// Where one topic is read.
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) tag: TopicTag,
    pub(crate) incarnation: Incarnation,
    /// Incarnations that were there before: a broker that is behind may still tell of one.
    pub(crate) retired: Vec<Incarnation>,
    /// The next offset of each partition: everything below it has been told.
    pub(crate) next: Vec<u64>,
    /// It isn't there now.
    pub(crate) gone: bool,
    /// What was delivered since the incarnation was last looked at: partition, offset, what it was.
    pub(crate) recent: VecDeque<(u32, u64, u64)>,
    /// What of this incarnation was delivered under the one before it.
    pub(crate) told: HashMap<(u32, u64), u64>,
}

impl Topic {
    pub(crate) fn new(name: TopicName, tag: TopicTag, incarnation: Incarnation, next: Vec<u64>) -> Self {
        Self {
            name,
            tag,
            incarnation,
            retired: Vec::new(),
            next,
            gone: false,
            recent: VecDeque::new(),
            told: HashMap::new(),
        }
    }

    pub(crate) fn cursor(&self) -> TopicCursor {
        TopicCursor {
            tag: self.tag,
            epoch: self.incarnation.epoch.tag(),
            next: Next::Offsets(self.next.clone()),
        }
    }

    /// Goes over to another incarnation, from its beginning.
    pub(crate) fn renew(&mut self, found: Incarnation) -> Delivery {
        self.gone = false;
        self.next = vec![0; found.partitions];
        self.told =
            self.recent.drain(..).map(|(partition, offset, what)| ((partition, offset), what)).collect();
        self.retired.push(mem::replace(&mut self.incarnation, found));
        Delivery::Epoch(NewEpoch {
            topic: self.name.clone(),
            tag: self.tag,
            epoch: self.incarnation.epoch,
            start: self.next.clone(),
        })
    }

    /// Whether the incarnation should be looked at before this is delivered: offsets went back, or no more can be
    /// remembered of what was delivered.
    pub(crate) fn is_odd(&self, message: &Message) -> bool {
        let next = self.next.get(message.partition as usize).copied().unwrap_or(0);
        self.recent.len() >= REMEMBERED || message.position.offset().is_some_and(|offset| offset < next)
    }

    /// Delivers a message, unless that was done.
    pub(crate) fn take(&mut self, message: Message) -> Option<Delivery> {
        let (partition, offset) = (message.partition, message.position.offset()?);
        let next = self.next.get_mut(partition as usize)?;
        if offset < *next {
            return None;
        }
        // What is left out between them never was a message, or has been compacted.
        *next = offset + 1;
        let what = fingerprint(&message);
        if self.told.remove(&(partition, offset)) == Some(what) {
            return Some(Delivery::Progress([self.cursor()].into_iter().collect()));
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((partition, offset, what));
        Some(Delivery::Message(message))
    }

    pub(crate) fn message(&self, message: &BorrowedMessage<'_>) -> Message {
        let ms = message.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok());
        Message {
            topic: self.name.clone(),
            tag: self.tag,
            partition: u32::try_from(message.partition()).unwrap_or(0),
            position: Position::Offset(u64::try_from(message.offset()).unwrap_or(0)),
            key: message.key().map(Bytes::copy_from_slice),
            headers: headers(message),
            payload: message.payload().map(Bytes::copy_from_slice),
            timestamp: ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms))),
        }
    }
}

/// Where the partitions of a topic start: what is wanted, moved to where it can be served.
pub(crate) fn start(
    topic: &TopicBounds,
    subscription: &Subscription,
    times: Option<&Vec<Option<u64>>>,
) -> Vec<u64> {
    let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(topic.tag));
    let ranges = topic.partitions.iter().enumerate();
    ranges
        .map(|(partition, range)| match (wanted, subscription.start) {
            (Some(wanted), _) if wanted.epoch == topic.epoch.tag() => {
                wanted.offset(partition as u32).clamp(range.start, range.end)
            }
            (Some(_), _) | (None, Start::Earliest) => range.start,
            (None, Start::Latest) => range.end,
            // Nothing written then or later: the end.
            (None, Start::Time(_)) => times
                .and_then(|times| times.get(partition).copied().flatten())
                .map_or(range.end, |at| at.clamp(range.start, range.end)),
        })
        .collect()
}

fn headers(message: &BorrowedMessage<'_>) -> Headers {
    let Some(headers) = message.headers() else { return Headers::default() };
    (0..headers.count())
        .filter_map(|index| {
            // rdkafka panics on a name that isn't UTF-8: such a header is left out, not the message.
            let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok().flatten()?;
            Some((header.key, Bytes::copy_from_slice(header.value.unwrap_or_default())))
        })
        .collect()
}

/// What a message was, as far as is needed to know it again at the same offset.
fn fingerprint(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&message.timestamp, &message.key, &message.payload).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tidewater_core::{Cursor, Epoch};

    use super::*;
    use crate::KIND;

    fn bounds() -> TopicBounds {
        let name = TopicName::new("t");
        TopicBounds {
            tag: TopicTag::of(KIND, &name),
            name,
            epoch: Epoch(7),
            partitions: vec![10..20, 0..0, 5..6],
        }
    }

    fn cursor(epoch: u128, offsets: &[u64]) -> Subscription {
        let next = Next::Offsets(offsets.to_vec());
        let topic = TopicCursor { tag: bounds().tag, epoch: Epoch(epoch).tag(), next };
        Subscription::after([topic].into_iter().collect())
    }

    #[test]
    fn a_start_is_moved_to_where_it_can_be_served() {
        let at = |subscription: &Subscription| start(&bounds(), subscription, None);
        assert_eq!(at(&Subscription::latest()), [20, 0, 6]);
        assert_eq!(at(&Subscription::earliest()), [10, 0, 5]);
        assert_eq!(at(&cursor(7, &[15, 0, 6])), [15, 0, 6], "what can be served is the start");
        assert_eq!(at(&cursor(7, &[3, 9])), [10, 0, 5], "removed, past the end, absent");
        assert_eq!(at(&cursor(8, &[15, 0, 6])), [10, 0, 5], "another incarnation");
        assert_eq!(at(&Subscription::after(Cursor::default())), [20, 0, 6], "not named");
    }

    #[test]
    fn a_time_is_an_offset_or_the_end() {
        let times = vec![Some(12), None, Some(1)];
        let subscription = Subscription::at(SystemTime::now());
        assert_eq!(start(&bounds(), &subscription, Some(&times)), [12, 0, 5]);
    }

    fn incarnation(epoch: u128) -> Incarnation {
        Incarnation { epoch: Epoch(epoch), id: epoch.to_string(), partitions: 2 }
    }

    fn topic() -> Topic {
        Topic::new(TopicName::new("t"), TopicTag(1), incarnation(7), vec![5, 0])
    }

    fn message(offset: u64, payload: &'static str) -> Message {
        Message { position: Position::Offset(offset), ..Message::new("t", payload) }
    }

    #[test]
    fn a_new_incarnation_starts_at_zero() {
        let mut topic = topic();
        topic.gone = true;
        let Delivery::Epoch(told) = topic.renew(incarnation(8)) else { panic!() };
        assert_eq!((told.epoch, told.start), (Epoch(8), vec![0, 0]));
        assert_eq!((topic.next.as_slice(), topic.gone), ([0, 0].as_slice(), false));
        assert_eq!(topic.retired[0].epoch, Epoch(7));
    }

    #[test]
    fn what_was_delivered_under_the_old_epoch_is_not_sent_again() {
        let mut topic = topic();
        // 5 is of the old incarnation, 6 of the new one, which was read on at the old position.
        for (offset, payload) in [(5, "old 5"), (6, "new 6")] {
            assert!(matches!(topic.take(message(offset, payload)), Some(Delivery::Message(_))));
        }
        topic.renew(incarnation(8));
        let mut came = Vec::new();
        for (offset, payload) in [(0, "new 0"), (5, "new 5"), (6, "new 6"), (7, "new 7")] {
            match topic.take(message(offset, payload)) {
                Some(Delivery::Message(message)) => came.push(message.position.offset().unwrap()),
                Some(Delivery::Progress(progress)) => {
                    assert_eq!(progress.next_offset(TopicTag(1), 0), Some(7), "told as progress");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(came, [0, 5, 7]);
    }

    #[test]
    fn offsets_that_go_back_are_odd_and_not_delivered_twice() {
        let mut topic = topic();
        assert!(!topic.is_odd(&message(5, "x")) && topic.is_odd(&message(4, "x")));
        assert!(topic.take(message(4, "x")).is_none());
        for offset in 0..REMEMBERED as u64 {
            topic.take(message(5 + offset, "x"));
        }
        assert!(topic.is_odd(&message(1 << 40, "x")), "no more can be remembered");
    }
}
