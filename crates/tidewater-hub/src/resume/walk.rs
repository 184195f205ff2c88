//! A client's own path: what it gets of entries that it may have seen already, and under which id (I4). Pure.

use bytes::BytesMut;
use tidewater_core::{Cursor, Gap, GapReason};

use crate::{
    log::frame::{Anew, At, Batch, Kind},
    select::Select,
    wire::{self, Told, gaps_between},
};

/// A client's cursor, moved along entries that another order may have put elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// The client's cursor here.
    pub(crate) cursor: Cursor,
}

/// How far a client has come in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The index to go on from.
    pub(crate) next: usize,
    /// The messages that were written.
    pub(crate) events: usize,
}

/// What becomes of one entry for this client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has it, or it is of an incarnation that is over for it.
    Known,
    /// New, and its bytes as they are.
    New,
    /// A gap of which the client has the first part: only the rest is told.
    Rest(Gap),
    /// The client's own incarnation begins, and past where the client is in it.
    Late,
}

impl Walk {
    /// Looks at an entry without moving.
    pub(crate) fn look(&self, kind: &Kind) -> Step {
        match kind {
            Kind::Message(at, _) | Kind::Skip(at) => self.look_at(at),
            Kind::Gap(gap, epoch) => {
                let Some(topic) = self.cursor.topic(gap.tag) else { return Step::New };
                if topic.epoch != *epoch {
                    return Step::Known;
                }
                match &gap.missing {
                    None => Step::New,
                    Some(missing) => {
                        let next = topic.offset(gap.partition);
                        if missing.end <= next {
                            Step::Known
                        } else if missing.start >= next {
                            Step::New
                        } else {
                            Step::Rest(Gap { missing: Some(next..missing.end), ..Gap::clone(gap) })
                        }
                    }
                }
            }
            Kind::Epoch(anew) => match self.cursor.topic(anew.new.tag) {
                Some(topic) if topic.epoch == anew.after => Step::New,
                // The client is in one that the node was not in: it is ahead, and nothing takes it back.
                Some(_) if self.cursor.dominates(&begin(anew)) => Step::Known,
                Some(topic) if topic.epoch == anew.new.epoch.tag() => Step::Late,
                Some(_) => Step::Known,
                None => Step::New,
            },
        }
    }

    /// Takes over positions that the node has reached at a place up to which the client has everything.
    pub(crate) fn reach(&mut self, node: &Cursor) {
        for topic in node.topics() {
            match self.cursor.topic(topic.tag) {
                None => self.cursor.set(topic.clone()),
                Some(own) if own.epoch == topic.epoch => {
                    for (partition, next) in (0..).zip(topic.offsets()) {
                        self.cursor.raise(topic.tag, topic.epoch, partition, *next);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// [`reach`](Self::reach), for positions without an order too: they are where the node is.
    pub(crate) fn arrive(&mut self, node: &Cursor) {
        self.reach(node);
        for topic in node.topics() {
            let own = self.cursor.topic(topic.tag);
            if own.is_some_and(|own| own.epoch == topic.epoch && own.is_elsewhere(topic)) {
                self.cursor.set(topic.clone());
            }
        }
    }

    /// Walks a batch from `index` on and writes what is new and wanted, until `out` holds `limit` bytes or `steps`
    /// entries were looked at.
    pub(crate) fn write(
        &mut self,
        batch: &Batch,
        mut index: usize,
        select: &Select,
        out: &mut BytesMut,
        limit: usize,
        steps: &mut usize,
    ) -> Written {
        let mut events = 0;
        while index < batch.frames.len() && out.len() < limit && *steps > 0 {
            let frame = &batch.frames[index];
            *steps -= 1;
            match self.look(&frame.kind) {
                Step::Known => {}
                Step::New => {
                    frame.kind.apply(&mut self.cursor);
                    if select.wants(frame) {
                        events += usize::from(frame.is_message());
                        out.extend_from_slice(&batch.bytes[batch.offset(index)..frame.id_at]);
                        wire::id(out, &self.cursor);
                    }
                }
                Step::Rest(rest) => {
                    frame.kind.apply(&mut self.cursor);
                    wire::gap(out, &Told::gap(&rest), &self.cursor);
                }
                Step::Late => {
                    if let Kind::Epoch(anew) = &frame.kind {
                        let name = |_| anew.new.topic.clone();
                        for (told, cursor) in
                            gaps_between(&self.cursor, &begin(anew), GapReason::Retention, name)
                        {
                            wire::gap(out, &told, &cursor);
                            self.cursor = cursor;
                        }
                    }
                }
            }
            index += 1;
        }
        Written { next: index, events }
    }

    fn look_at(&self, at: &At) -> Step {
        let Some(topic) = self.cursor.topic(at.tag) else { return Step::New };
        if topic.epoch != at.epoch {
            return Step::Known;
        }
        match at.position.offset() {
            Some(offset) if offset < topic.offset(at.partition) => Step::Known,
            _ => Step::New,
        }
    }
}

/// Where an incarnation begins.
fn begin(anew: &Anew) -> Cursor {
    [anew.new.cursor()].into_iter().collect()
}
