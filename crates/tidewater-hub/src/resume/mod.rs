//! Where a client starts (I1, I3, I5). Pure: the log's state and the broker's bounds come in.

pub(crate) mod limit;
pub(crate) mod open;
pub(crate) mod walk;

use tidewater_core::{Bounds, Cursor, Epoch, GapReason, Next, Start, TopicCursor, TopicName, TopicTag};

use crate::{
    log::Log,
    resume::{
        limit::Limit,
        walk::{Step, Walk},
    },
    select::Select,
    settings::LagPolicy,
    wire::{Told, gaps_between},
};

/// What a client asked for, as it came: nothing in it has been checked.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// The id of the last event that it has, from the header or the URL. May be anything.
    pub last_event_id: Option<String>,
    /// Where it wants to start if it has no id. `None`: the channel's default.
    pub start: Option<Start>,
    /// What it wants to see.
    pub select: Select,
    /// What it wants to happen if it falls behind. `None`, or what the channel doesn't allow
    /// ([`Channel::lag_policies`](crate::Channel::lag_policies)): the channel's own policy.
    pub lag: Option<LagPolicy>,
}

/// How a stream begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Gaps to tell first, each with the client's cursor after it.
    pub(crate) gaps: Vec<(Told, Cursor)>,
    /// The client's effective start.
    pub(crate) cursor: Cursor,
    pub(crate) place: Place,
}

/// Where the client reads first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The shared bytes, from this entry on.
    Shared(u64),
    /// The log from this entry on, on a path of its own.
    Own(u64),
    /// The broker.
    Backfill,
}

/// A channel's topics, for what is told about them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics(pub(crate) Vec<(TopicTag, TopicName)>);

impl Topics {
    pub(crate) fn name(&self, tag: TopicTag) -> TopicName {
        let known = self.0.iter().find(|(topic, _)| *topic == tag);
        known.map_or_else(|| TopicName::new(tag.to_string()), |(_, name)| name.clone())
    }
}

/// What is known when a client comes.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) log: &'a Log,
    pub(crate) topics: &'a Topics,
    /// Read from the broker after the client came; only where the log's head doesn't decide.
    pub(crate) bounds: Option<&'a Bounds>,
    /// Whether the broker can be read backwards.
    pub(crate) replay: bool,
    /// Whether clients may go back behind the log.
    pub(crate) behind_log: bool,
    /// Where clients may go back to some time only.
    pub(crate) limit: Option<Limit>,
}

/// Only the broker's bounds, read now, decide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AskBroker;

fn raise(cursor: &mut Cursor, topic: &TopicCursor) {
    for (partition, next) in (0..).zip(topic.offsets()) {
        cursor.raise(topic.tag, topic.epoch, partition, *next);
    }
}

impl Known<'_> {
    /// Where a client with this cursor starts.
    pub(crate) fn plan(&self, wanted: &Cursor) -> Result<Plan, AskBroker> {
        #[cfg(test)]
        let wanted = &crate::model::broken::wanted(wanted, self.log.head());
        // Topics that the channel hasn't got are left out, those that the id hasn't got start here.
        let mut cursor: Cursor =
            self.log.head().topics().iter().map(|t| wanted.topic(t.tag).unwrap_or(t).clone()).collect();
        let mut gaps: Vec<_> =
            self.log.lost_at(&cursor).map(|gap| (Told::gap(gap), cursor.clone())).collect();
        for head in self.log.head().topics() {
            let Some(own) = wanted.topic(head.tag) else { continue };
            let Some((told, start)) = self.check(own, head)? else { continue };
            cursor.set(start);
            gaps.push((told, cursor.clone()));
        }
        let limited = self.limited(&cursor);
        gaps.extend(self.replay_gaps(&cursor, &limited));
        Ok(self.place(limited, gaps))
    }

    /// The gaps between where somebody wants to go on and where the limit lets them.
    pub(crate) fn replay_gaps(&self, cursor: &Cursor, limited: &Cursor) -> Vec<(Told, Cursor)> {
        // Where a topic was made anew in between, that is told first, and then what of it is too old.
        let mut anew = cursor.clone();
        for topic in limited.topics() {
            let was_other = cursor.topic(topic.tag).is_some_and(|own| own.epoch != topic.epoch);
            if let Some(begin) = self.log.begin_of(topic.tag, topic.epoch).filter(|_| was_other) {
                anew.set(begin.clone());
            }
        }
        let between = |from, to| gaps_between(from, to, GapReason::Replay, |tag| self.topics.name(tag));
        let mut gaps = between(cursor, &anew);
        gaps.extend(between(&anew, limited));
        gaps
    }

    /// Where a client with this cursor may go on: nowhere before the limit (I3).
    pub(crate) fn limited(&self, cursor: &Cursor) -> Cursor {
        let Some(limit) = &self.limit else { return cursor.clone() };
        #[cfg(test)]
        if crate::model::broken::is(crate::model::broken::Fault::LimitIgnored) {
            return cursor.clone();
        }
        let mut start = cursor.clone();
        for topic in limit.cursor.topics() {
            let Some(own) = cursor.topic(topic.tag) else { continue };
            if own.epoch == topic.epoch && own.is_elsewhere(topic) {
                // Without an order only the log knows what is before what.
                let place = self.find_opaque(cursor);
                if !matches!(place, Some(Place::Shared(seq)) if seq >= limit.seq) {
                    start.set(topic.clone());
                }
            } else if own.epoch == topic.epoch {
                raise(&mut start, topic);
            } else if self.tail_has(own)
                // Else nothing in the log is too old, and what it has let go need not be.
                && limit.seq > self.log.tail()
                // Else it has begun after the source was asked.
                && !(self.tail_has(topic) && self.log.begins_before(topic, own))
                && let Some(place) = limit.log.topic(topic.tag)
            {
                // Of an incarnation that is in the log, and not the source's: as far as the log lets it go.
                if place.epoch == own.epoch {
                    raise(&mut start, place);
                } else if !self.log.begins_before(place, own) {
                    let same = place.epoch == topic.epoch;
                    start.set(if same { topic } else { place }.clone());
                }
            }
            // Else it is younger than the limit.
        }
        start
    }

    /// Where a client with an id that says nothing starts.
    pub(crate) fn plan_unreadable(&self) -> Plan {
        let cursor = (**self.log.head()).clone();
        Plan {
            gaps: vec![(Told::unreadable(), cursor.clone())],
            cursor,
            place: Place::Shared(self.log.next()),
        }
    }

    /// Where a client that has nothing starts if it wants what comes from now on.
    pub(crate) fn plan_latest(&self) -> Plan {
        Plan { gaps: Vec::new(), cursor: (**self.log.head()).clone(), place: Place::Shared(self.log.next()) }
    }

    /// Whether a topic's positions can be had at all; if not, what to tell and where to start.
    fn check(&self, own: &TopicCursor, head: &TopicCursor) -> Result<Option<(Told, TopicCursor)>, AskBroker> {
        match (&own.next, &head.next) {
            // Only the log or the broker knows an id without an order.
            (Next::After(_), Next::After(_)) => return Ok(None),
            (Next::Offsets(_), Next::Offsets(_)) => {}
            // Not given out by any node of this source.
            _ => {
                return Ok(Some((
                    Told::topic(GapReason::Unreadable, self.topics.name(own.tag)),
                    head.clone(),
                )));
            }
        }
        let behind_head = own.epoch == head.epoch
            && (0..).zip(own.offsets()).all(|(partition, next)| *next <= head.offset(partition));
        let in_log = own.epoch != head.epoch && self.tail_has(own);
        if behind_head || in_log {
            return Ok(None);
        }
        let bounds = self.bounds.ok_or(AskBroker)?;
        let name = self.topics.name(own.tag);
        let Some(now) = bounds.topic(own.tag) else {
            // The topic is not there now: nothing past the head can be believed.
            return Ok(Some((Told::topic(GapReason::Epoch, name), head.clone())));
        };
        if own.epoch != now.epoch.tag() {
            return Ok(Some((
                Told::topic(GapReason::Epoch, name),
                self.first_of(now.tag, now.epoch, bounds),
            )));
        }
        let end = |partition: u32| now.partitions.get(partition as usize).map_or(0, |range| range.end);
        let ahead: Vec<_> =
            (0..).zip(own.offsets()).filter(|(partition, next)| **next > end(*partition)).collect();
        let Some((first, _)) = ahead.first() else { return Ok(None) };
        let mut start = own.clone();
        if let Next::Offsets(offsets) = &mut start.next {
            offsets.truncate(now.partitions.len());
            for (partition, next) in (0..).zip(offsets) {
                if *next > end(partition) {
                    // Afresh: from what this node has, or from the end of an incarnation that it hasn't seen yet.
                    *next = if own.epoch == head.epoch { head.offset(partition) } else { end(partition) };
                }
            }
        }
        Ok(Some((Told { reason: GapReason::Ahead, place: Some((name, Some(*first))), missing: None }, start)))
    }

    /// The first position of the incarnation that the broker has now: all of it is after whatever the client had.
    /// Where the broker keeps nothing, what this node has of it.
    fn first_of(&self, tag: TopicTag, epoch: Epoch, bounds: &Bounds) -> TopicCursor {
        let tail = self.log.tail_cursor().topic(tag);
        if let Some(tail) = tail.filter(|tail| !self.replay && tail.epoch == epoch.tag()) {
            return tail.clone();
        }
        if let Some(begin) = self.log.begin_of(tag, epoch.tag()).filter(|_| !self.replay) {
            return begin.clone();
        }
        let next = bounds.topic(tag).map(|topic| topic.partitions.iter().map(|range| range.start).collect());
        TopicCursor { tag, epoch: epoch.tag(), next: Next::Offsets(next.unwrap_or_default()) }
    }

    /// Where in the log, if anywhere, a client with this cursor goes on.
    fn place(&self, cursor: Cursor, mut gaps: Vec<(Told, Cursor)>) -> Plan {
        if let Some(place) = self.find(&cursor) {
            return Plan { gaps, cursor, place };
        }
        if self.replay && self.behind_log {
            return Plan { gaps, cursor, place: Place::Backfill };
        }
        // What is older than the log can't be had: tell what is missing, and start where the log does.
        let reason = if self.replay { GapReason::Replay } else { GapReason::Retention };
        let mut start = Walk { cursor: cursor.clone() };
        start.arrive(self.log.tail_cursor());
        gaps.extend(gaps_between(&cursor, &start.cursor, reason, |tag| self.topics.name(tag)));
        let place = self.find(&start.cursor).unwrap_or(Place::Shared(self.log.next()));
        Plan { gaps, cursor: start.cursor, place }
    }

    /// The place in the log from which a client with this cursor misses nothing; `None` if the log starts too late.
    pub(crate) fn find(&self, cursor: &Cursor) -> Option<Place> {
        if self.log.head().topics().iter().any(|topic| matches!(topic.next, Next::After(_))) {
            return self.find_opaque(cursor);
        }
        if self.log.head().dominates(cursor) && cursor.dominates(self.log.head()) {
            return Some(Place::Shared(self.log.next()));
        }
        if !self.covers(cursor, self.log.tail_cursor()) {
            return None;
        }
        let batches = self.log.batches();
        let after = batches.partition_point(|batch| self.covers(cursor, &batch.start));
        let Some(batch) = after.checked_sub(1).and_then(|last| batches.get(last)) else {
            return Some(Place::Own(self.log.next()));
        };
        let walk = Walk { cursor: cursor.clone() };
        let known = batch.frames.iter().take_while(|frame| walk.look(&frame.kind) == Step::Known).count();
        let seq = batch.first + known as u64;
        let node = if known == batch.frames.len() { (*batch.end).clone() } else { batch.cursor_at(known) };
        let same = node.dominates(cursor) && cursor.dominates(&node);
        #[cfg(test)]
        let same = same || crate::model::broken::is(crate::model::broken::Fault::MergeForgotten);
        Some(if same { Place::Shared(seq) } else { Place::Own(seq) })
    }

    /// Whether a client with this cursor has everything up to a place of the log.
    fn covers(&self, cursor: &Cursor, place: &Cursor) -> bool {
        place.topics().iter().all(|topic| match cursor.topic(topic.tag) {
            None => false,
            Some(own) if own.epoch == topic.epoch => {
                (0..).zip(topic.offsets()).all(|(partition, next)| own.offset(partition) >= *next)
            }
            // Of an incarnation that begins later in the log, or that the broker has and the log hasn't yet.
            Some(own) => self.is_later(own, topic),
        })
    }

    fn is_later(&self, own: &TopicCursor, topic: &TopicCursor) -> bool {
        if self.log.begins(own.tag, own.epoch) {
            // Epochs of one topic follow each other: the place's own begins in the log too, or is the tail's.
            return !self.log.begins(topic.tag, topic.epoch) || self.log.begins_before(topic, own);
        }
        self.bounds.and_then(|bounds| bounds.topic(own.tag)).is_some_and(|now| now.epoch.tag() == own.epoch)
    }

    /// Whether the log's own past has this incarnation.
    fn tail_has(&self, own: &TopicCursor) -> bool {
        let tail = self.log.tail_cursor().topic(own.tag);
        tail.is_some_and(|tail| tail.epoch == own.epoch) || self.log.begins(own.tag, own.epoch)
    }

    fn find_opaque(&self, cursor: &Cursor) -> Option<Place> {
        let [topic] = self.log.head().topics() else { return None };
        let own = cursor.topic(topic.tag)?;
        let Next::After(id) = &own.next else { return None };
        if own.epoch != topic.epoch {
            return None;
        }
        if topic.is_after(id) {
            return Some(Place::Shared(self.log.next()));
        }
        self.log.after_opaque(own.tag, id).map(Place::Shared)
    }
}
