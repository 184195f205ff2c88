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
    log::{
        Log,
        frame::{At, Batch, Kind},
        latest::{Kept, Latest, Missed},
    },
    resume::{
        Topics,
        walk::{Step, Walk},
    },
    select::Select,
    status::Gaps,
    wire::{self, Told, gaps_between},
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

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Gaps.
    pub(crate) gaps: Gaps,
    /// Messages.
    pub(crate) events: usize,
}

/// Where it is written.
struct Page<'a> {
    out: &'a mut BytesMut,
    topics: &'a Topics,
    written: Written,
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

    /// Whether the log can't tell where the client belongs.
    pub(crate) fn is_stranded(&self, log: &Log) -> bool {
        if self.next >= log.tail() {
            return log.strands(self.next, &self.walk.cursor);
        }
        let unknown = |tag| {
            let own = self.walk.cursor.topic(tag)?;
            let missed = log.latest()?.missed(tag, own.epoch, self.next);
            Some(missed == Missed::Unknown && !log.begins(tag, own.epoch))
        };
        log.latest().is_some_and(|latest| latest.begun().any(|tag| unknown(tag) == Some(true)))
    }

    /// Walks on and writes what is newest and wanted, until `out` holds `limit` bytes, `steps` entries were looked at,
    /// or the client has caught up.
    pub(crate) fn write(
        &mut self,
        log: &Log,
        topics: &Topics,
        select: &Select,
        out: &mut BytesMut,
        limit: usize,
        steps: &mut usize,
    ) -> Written {
        let mut page = Page { out, topics, written: Written::default() };
        let Some(latest) = log.latest() else { return page.written };
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
                if self.next < log.tail() {
                    continue;
                }
                self.fall(log.tail_cursor());
                // Whether the log can tell where the client belongs is asked before it is read.
                break;
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
        page.written
    }

    /// Topics that began anew in what the log has let go.
    fn renew(&mut self, log: &Log, latest: &Latest, page: &mut Page<'_>) {
        for tag in latest.begun() {
            let Some(own) = self.walk.cursor.topic(tag) else { continue };
            let Missed::Until(epoch) = latest.missed(tag, own.epoch, self.next) else { continue };
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
        kind.apply(&mut self.walk.cursor);
        page.out.extend_from_slice(head);
        wire::id(page.out, &self.walk.cursor);
        page.written.events += 1;
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
                let newest = latest.is_newest(facets, at.partition, self.next, select);
                #[cfg(test)]
                let newest = newest && !crate::model::broken::is(crate::model::broken::Fault::NewestLeftOut);
                if !newest {
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
                    frame.kind.apply(&mut self.walk.cursor);
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
            Kind::Epoch(anew) if step == Step::Late => {
                let begin = [anew.new.cursor()].into_iter().collect();
                let name = |_| anew.new.topic.clone();
                for (told, cursor) in gaps_between(&self.walk.cursor, &begin, GapReason::Retention, name) {
                    page.tell(&told, &cursor);
                    self.walk.cursor = cursor;
                }
                return;
            }
            Kind::Epoch(anew) => {
                let node = batch.cursor_at(index);
                self.tell_all(&node, Some(anew.new.tag), page);
            }
        }
        frame.kind.apply(&mut self.walk.cursor);
        if let Step::Rest(rest) = &step {
            page.tell(&Told::gap(rest), &self.walk.cursor);
        } else {
            page.out.extend_from_slice(&batch.bytes[batch.offset(index)..frame.id_at]);
            wire::id(page.out, &self.walk.cursor);
            page.written.events += usize::from(frame.is_message());
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
        self.written.gaps.add(told.reason, 1);
        wire::gap(self.out, told, cursor);
    }
}

#[cfg(test)]
mod tests;
