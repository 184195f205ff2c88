//! Who reads the past next (I5). Pure: what is asked for comes in, and who may begin goes out.
//!
//! A source has a few readers, and anybody may ask for anything: an id is hostile input. So
//!
//! - **what is asked for together is read together**: whoever wants what begins within a [`WINDOW`] of another's place
//!   follows the same reader, also where neither place is before the other;
//! - **one reader serves who has waited longest**, whatever it wants, so that nobody waits for ever;
//! - **the others serve who is nearest to the log**: most clients were away for a moment, and are soon served;
//! - **one of those is kept for what is near**, however much ancient history is asked for. Who forges a place nearer than
//!   an honest client's asks for less than that client does, and is read together with others of its kind.

use std::{collections::VecDeque, sync::Arc};

use tidewater_core::{Cursor, Next, TopicCursor};
use tokio::sync::watch;

/// How far apart two places are at most, in offsets, that one reader serves together.
pub(super) const WINDOW: u64 = 4096;
/// What is further behind the log than this many offsets is far.
pub(super) const NEAR: u64 = 32_768;

/// What somebody asks for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The channel that renders it. Compared by address: a channel's name is its own.
    pub(super) channel: Arc<str>,
    /// What to read after; `None` for a reader that is wanted for something else, and by nobody else.
    pub(super) wanted: Option<Cursor>,
    /// How far behind the log that is, in offsets.
    pub(super) distance: u64,
    /// Whether another reader will do that begins before it and may come by. Readers don't always get so far: whoever
    /// followed one in vain waits for one of its own.
    pub(super) follows: bool,
}

/// Those who wait, and the readers that read. `R` is how somebody is answered.
#[derive(Debug)]
pub(super) struct Queue<R> {
    readers: usize,
    waiting: VecDeque<(Ask, R)>,
    running: Vec<Running>,
    next: u64,
}

#[derive(Debug)]
struct Running {
    number: u64,
    ask: Ask,
    /// Whether it serves who has waited longest.
    oldest: bool,
    ended: watch::Receiver<()>,
}

/// A reader that may begin.
#[derive(Debug)]
pub(super) struct Started<R> {
    pub(super) number: u64,
    pub(super) channel: Arc<str>,
    /// What to read after, so that it suits all of them.
    pub(super) wanted: Option<Cursor>,
    pub(super) reply: R,
    /// Those who are served by it too.
    pub(super) followers: Vec<R>,
    /// Dropped when it ends.
    pub(super) ends: watch::Sender<()>,
    pub(super) ended: watch::Receiver<()>,
}

impl<R> Queue<R> {
    /// A queue for so many readers at a time; at least one.
    pub(super) fn new(readers: usize) -> Self {
        Self { readers: readers.max(1), waiting: VecDeque::new(), running: Vec::new(), next: 0 }
    }

    /// From now on there may be so many, unless there already are more.
    pub(super) fn allow(&mut self, readers: usize) {
        self.readers = self.readers.max(readers);
    }

    /// How many there may be.
    pub(super) fn readers(&self) -> usize {
        self.readers
    }

    /// How many read now.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many of them are for this channel.
    pub(super) fn running_for(&self, channel: &Arc<str>) -> usize {
        self.running.iter().filter(|running| Arc::ptr_eq(&running.ask.channel, channel)).count()
    }

    /// How many wait for this channel and are not `gone`.
    pub(super) fn waiting_for(&self, channel: &Arc<str>, gone: impl Fn(&R) -> bool) -> usize {
        let waits = |(ask, reply): &&(Ask, R)| Arc::ptr_eq(&ask.channel, channel) && !gone(reply);
        self.waiting.iter().filter(waits).count()
    }

    /// A reader that is under way and comes by here soon: told when it has ended.
    pub(super) fn passing(&self, ask: &Ask) -> Option<watch::Receiver<()>> {
        let wanted = ask.wanted.as_ref().filter(|_| ask.follows)?;
        let passes = |running: &&Running| {
            let from =
                running.ask.wanted.as_ref().filter(|_| Arc::ptr_eq(&running.ask.channel, &ask.channel));
            from.and_then(|from| offsets_between(from, wanted)).is_some_and(|offsets| offsets <= WINDOW)
        };
        self.running.iter().find(passes).map(|running| running.ended.clone())
    }

    /// Puts somebody at the end.
    pub(super) fn push(&mut self, ask: Ask, reply: R) {
        self.waiting.push_back((ask, reply));
    }

    /// Who begins now, if a reader is free. Those who are `gone` are forgotten.
    pub(super) fn start(&mut self, gone: impl Fn(&R) -> bool) -> Option<Started<R>> {
        if self.running.len() >= self.readers {
            return None;
        }
        self.waiting.retain(|(_, reply)| !gone(reply));
        let (index, oldest) = self.choose()?;
        let (mut ask, reply) = self.waiting.remove(index)?;
        let followers = self.gather(&mut ask);
        let number = self.next;
        self.next += 1;
        let (ends, ended) = watch::channel(());
        let (channel, wanted) = (ask.channel.clone(), ask.wanted.clone());
        self.running.push(Running { number, ask, oldest, ended: ended.clone() });
        Some(Started { number, channel, wanted, reply, followers, ends, ended })
    }

    /// A reader has ended.
    pub(super) fn end(&mut self, number: u64) {
        self.running.retain(|running| running.number != number);
    }

    /// The one to serve, and whether that is for having waited longest.
    fn choose(&self) -> Option<(usize, bool)> {
        if !self.running.iter().any(|running| running.oldest) {
            return (!self.waiting.is_empty()).then_some((0, true));
        }
        let (index, (nearest, _)) =
            self.waiting.iter().enumerate().min_by_key(|(_, (ask, _))| ask.distance)?;
        let far = self.running.iter().filter(|running| !running.oldest && running.ask.is_far()).count();
        // One for the oldest, one for what is near.
        (!nearest.is_far() || far + 2 < self.readers).then_some((index, false))
    }

    /// Takes out those who can follow, and moves the start to before all of them.
    fn gather(&mut self, ask: &mut Ask) -> Vec<R> {
        let Some(mut start) = ask.wanted.clone() else { return Vec::new() };
        // From the start to the farthest of them: distances along one order add up.
        let mut farthest: u64 = 0;
        let mut followers = Vec::new();
        for (other, reply) in std::mem::take(&mut self.waiting) {
            let wanted =
                other.wanted.as_ref().filter(|_| other.follows && Arc::ptr_eq(&other.channel, &ask.channel));
            let reach = wanted.and_then(|wanted| {
                let before = before_both(&start, wanted)?;
                let all = farthest.saturating_add(offsets_between(&before, &start)?);
                let all = all.max(offsets_between(&before, wanted)?);
                (all <= WINDOW).then_some((before, all))
            });
            match reach {
                Some(reach) => {
                    (start, farthest) = reach;
                    followers.push(reply);
                }
                None => self.waiting.push_back((other, reply)),
            }
        }
        ask.wanted = Some(start);
        followers
    }
}

impl Ask {
    fn is_far(&self) -> bool {
        self.distance > NEAR
    }
}

/// How far a cursor is behind a place of the log, in offsets. Another incarnation's positions count nothing; those without
/// an order are far.
pub(super) fn distance(cursor: &Cursor, place: &Cursor) -> u64 {
    place.topics().iter().fold(0, |sum: u64, topic| match cursor.topic(topic.tag) {
        Some(own) if own.is_elsewhere(topic) => u64::MAX,
        Some(own) if own.epoch == topic.epoch => sum.saturating_add(behind(own, topic)),
        _ => sum,
    })
}

/// How many offsets lie between two places of one order; `None` if `to` is not at or after `from` everywhere.
fn offsets_between(from: &Cursor, to: &Cursor) -> Option<u64> {
    let same = from.topics().len() == to.topics().len() && to.dominates(from);
    same.then(|| distance(from, to))
}

/// The latest place that is at or before both, in the same topics.
fn before_both(one: &Cursor, other: &Cursor) -> Option<Cursor> {
    if one.topics().len() != other.topics().len() {
        return None;
    }
    one.topics()
        .iter()
        .map(|topic| {
            let theirs = other.topic(topic.tag).filter(|theirs| theirs.epoch == topic.epoch)?;
            if topic.is_elsewhere(theirs) {
                return None;
            }
            let Next::Offsets(own) = &topic.next else { return Some(topic.clone()) };
            let partitions = own.len().min(theirs.offsets().len());
            let next =
                (0..).take(partitions).map(|partition| topic.offset(partition).min(theirs.offset(partition)));
            Some(TopicCursor { next: Next::Offsets(next.collect()), ..topic.clone() })
        })
        .collect()
}

fn behind(own: &TopicCursor, topic: &TopicCursor) -> u64 {
    let next = |(partition, next): (u32, &u64)| next.saturating_sub(own.offset(partition));
    (0..).zip(topic.offsets()).map(next).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use tidewater_core::{EpochTag, TopicTag};

    use super::*;

    const HEAD: u64 = 1_000_000;

    fn cursor(next: &[u64]) -> Cursor {
        let topic = TopicCursor { tag: TopicTag(1), epoch: EpochTag(1), next: Next::Offsets(next.to_vec()) };
        [topic].into_iter().collect()
    }

    /// The channel's log starts at [`HEAD`] in both of its partitions.
    struct Channel(Arc<str>);

    impl Channel {
        fn new() -> Self {
            Self("c".into())
        }

        fn ask(&self, next: [u64; 2]) -> Ask {
            let wanted = cursor(&next);
            Ask {
                channel: self.0.clone(),
                distance: distance(&wanted, &cursor(&[HEAD; 2])),
                wanted: Some(wanted),
                follows: true,
            }
        }
    }

    fn start(queue: &mut Queue<usize>) -> Option<Started<usize>> {
        queue.start(|_| false)
    }

    /// Who is served, one after the other, by all that may read at once.
    fn served(queue: &mut Queue<usize>) -> Vec<usize> {
        std::iter::from_fn(|| start(queue)).map(|started| started.reply).collect()
    }

    #[test]
    fn i5_who_asks_for_ancient_history_leaves_a_reader_for_those_who_were_away_for_a_moment() {
        let channel = Channel::new();
        let mut queue = Queue::new(4);
        for forged in 0..100 {
            queue.push(channel.ask([forged as u64 * 2 * WINDOW, 0]), forged);
        }
        assert_eq!(served(&mut queue), [0, 99, 98], "the oldest, the nearest, and one is free");
        queue.push(channel.ask([HEAD - 10, HEAD]), 1000);
        assert_eq!(served(&mut queue), [1000]);
    }

    #[test]
    fn i5_nobody_waits_for_ever() {
        let channel = Channel::new();
        let mut queue = Queue::new(2);
        queue.push(channel.ask([HEAD - 3 * WINDOW, HEAD]), 0);
        queue.push(channel.ask([0, 0]), 1);
        let first = start(&mut queue).unwrap();
        assert_eq!(
            (first.reply, served(&mut queue).len()),
            (0, 0),
            "what is far does not get the last reader"
        );
        queue.end(first.number);
        queue.push(channel.ask([HEAD - 1, HEAD]), 2);
        assert_eq!(served(&mut queue), [1, 2], "it has waited longest");
    }

    #[test]
    fn i5_neighbours_are_served_together_also_where_neither_is_before_the_other() {
        let channel = Channel::new();
        let mut queue = Queue::new(1);
        queue.push(channel.ask([HEAD - 100, HEAD - 500]), 0);
        queue.push(channel.ask([HEAD - 600, HEAD - 50]), 1);
        queue.push(channel.ask([HEAD - 600 - WINDOW, HEAD]), 2);
        let started = start(&mut queue).unwrap();
        assert_eq!((started.reply, &*started.followers), (0, &[1][..]));
        assert_eq!(started.wanted, Some(cursor(&[HEAD - 600, HEAD - 500])));
        assert!(queue.passing(&channel.ask([HEAD - 1, HEAD - 1])).is_some());
        assert!(queue.passing(&channel.ask([HEAD - 700, HEAD])).is_none(), "it begins before");
        assert!(Channel::new().ask([HEAD, HEAD]).wanted.is_some_and(|wanted| {
            queue
                .passing(&Ask { channel: "c".into(), wanted: Some(wanted), distance: 0, follows: true })
                .is_none()
        }));
    }

    /// Else one forged id of the beginning of time would be waited for by everybody, again and again.
    #[test]
    fn i5_a_reader_far_away_is_not_waited_for() {
        let channel = Channel::new();
        let mut queue = Queue::new(4);
        queue.push(channel.ask([0, 0]), 0);
        assert_eq!(served(&mut queue), [0]);
        assert!(queue.passing(&channel.ask([HEAD - 1, HEAD])).is_none());
    }

    /// Readers that come by and don't get so far can't keep anybody from a reader of his own.
    #[test]
    fn i5_who_followed_in_vain_follows_no_more() {
        let channel = Channel::new();
        let mut queue = Queue::new(2);
        queue.push(channel.ask([HEAD - 4000, HEAD]), 0);
        assert_eq!(served(&mut queue), [0]);
        let again = Ask { follows: false, ..channel.ask([HEAD - 1000, HEAD]) };
        assert!(queue.passing(&again).is_none());
        queue.push(channel.ask([HEAD - 4001, HEAD]), 1);
        queue.push(again, 2);
        assert_eq!(served(&mut queue), [2], "nearer, and on its own");
    }

    #[test]
    fn a_window_does_not_grow_without_bound() {
        let channel = Channel::new();
        let mut queue = Queue::new(1);
        for step in 0..100 {
            queue.push(channel.ask([HEAD - step as u64 * 1000, HEAD]), step);
        }
        let started = start(&mut queue).unwrap();
        assert_eq!(started.followers.len(), (WINDOW / 1000) as usize);
    }

    #[test]
    fn those_who_are_gone_are_forgotten() {
        let channel = Channel::new();
        let mut queue = Queue::new(1);
        queue.push(channel.ask([0, 0]), 0);
        queue.push(channel.ask([HEAD, 0]), 1);
        assert_eq!(queue.start(|reply| *reply == 0).unwrap().reply, 1);
    }

    #[test]
    fn a_reader_for_something_else_is_shared_with_nobody() {
        let channel = Channel::new();
        let mut queue = Queue::new(1);
        let other = |channel: &Channel| Ask {
            channel: channel.0.clone(),
            wanted: None,
            distance: NEAR,
            follows: true,
        };
        queue.push(other(&channel), 0);
        queue.push(other(&channel), 1);
        let started = start(&mut queue).unwrap();
        assert!(started.followers.is_empty());
        assert!(queue.passing(&other(&channel)).is_none());
    }
}
