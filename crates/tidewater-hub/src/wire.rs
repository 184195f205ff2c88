//! The hub's own blocks: cursors, gaps, reconnection times. Pure.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::json;
use tidewater_core::{
    Cursor, Gap, GapReason, NewEpoch, TopicName, TopicTag,
    payload::{CURSOR_EVENT, GAP_EVENT},
    sse::{EventName, encode_end_into, encode_head_into, encode_id_into, encode_retry_into},
};

use crate::retry;

static CURSOR: EventName = EventName::from_static(CURSOR_EVENT);
static GAP: EventName = EventName::from_static(GAP_EVENT);

/// What a gap event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) reason: GapReason,
    /// The topic and partition, unless the whole id could not be read.
    pub(crate) place: Option<(TopicName, Option<u32>)>,
    /// The offsets that can't be read, half-open.
    pub(crate) missing: Option<std::ops::Range<u64>>,
}

impl Told {
    /// A gap of one partition.
    pub(crate) fn gap(gap: &Gap) -> Self {
        Self {
            reason: gap.reason,
            place: Some((gap.topic.clone(), Some(gap.partition))),
            missing: gap.missing.clone(),
        }
    }

    /// A topic as a whole: it was made anew, or positions past its end were wanted.
    pub(crate) fn topic(reason: GapReason, topic: TopicName) -> Self {
        Self { reason, place: Some((topic, None)), missing: None }
    }

    /// A topic's new incarnation.
    pub(crate) fn epoch(new: &NewEpoch) -> Self {
        Self::topic(GapReason::Epoch, new.topic.clone())
    }

    /// The whole id.
    pub(crate) fn unreadable() -> Self {
        Self { reason: GapReason::Unreadable, place: None, missing: None }
    }

    /// The event's data: a JSON object without the keys that don't apply.
    fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("reason".into(), self.reason.as_str().into());
        if let Some((topic, partition)) = &self.place {
            object.insert("topic".into(), topic.as_str().into());
            if let Some(partition) = partition {
                object.insert("partition".into(), json!(partition));
            }
        }
        if let Some(missing) = &self.missing {
            object.insert("from".into(), json!(missing.start));
            object.insert("to".into(), json!(missing.end));
        }
        serde_json::Value::Object(object).to_string()
    }
}

/// The head of a gap event: everything but its `id` line.
pub(crate) fn gap_head(out: &mut BytesMut, told: &Told) {
    encode_head_into(out, Some(&GAP), &told.json());
}

/// A gap event.
pub(crate) fn gap(out: &mut BytesMut, told: &Told, cursor: &Cursor) {
    #[cfg(test)]
    if crate::model::broken::is(crate::model::broken::Fault::GapLeftOut) {
        return;
    }
    gap_head(out, told);
    id(out, cursor);
}

/// A block that moves the client's id and that page code doesn't see (I6).
pub(crate) fn cursor(out: &mut BytesMut, cursor: &Cursor) {
    encode_head_into(out, Some(&CURSOR), "");
    id(out, cursor);
}

/// The `id` line and the end of a block.
pub(crate) fn id(out: &mut BytesMut, cursor: &Cursor) {
    let mut text = String::new();
    cursor.write_text(&mut text);
    if encode_id_into(out, &text).is_err() {
        // base64url holds nothing that can't stand in an id; a block is ended in any case.
        encode_end_into(out);
    }
}

/// The line that sets the reconnection time. The block stays open.
pub(crate) fn retry_line(out: &mut BytesMut, retry: Duration) {
    encode_retry_into(out, retry.max(retry::SHORTEST).as_millis() as u64);
}

/// The last block of a stream whose client shall come back (I9, I10).
pub(crate) fn come_back(retry: Duration) -> Bytes {
    let mut out = BytesMut::new();
    retry_line(&mut out, retry);
    encode_end_into(&mut out);
    out.freeze()
}

/// The gaps between two places of one order, and the cursor after each.
pub(crate) fn gaps_between(
    from: &Cursor,
    to: &Cursor,
    reason: GapReason,
    name: impl Fn(TopicTag) -> TopicName,
) -> Vec<(Told, Cursor)> {
    let mut cursor = from.clone();
    let mut gaps = Vec::new();
    for topic in to.topics() {
        match from.topic(topic.tag) {
            // Nobody can say how much lies between positions without an order.
            Some(old) if old.epoch == topic.epoch && old.is_elsewhere(topic) => {
                cursor.set(topic.clone());
                gaps.push((Told::topic(reason, name(topic.tag)), cursor.clone()));
            }
            Some(old) if old.epoch == topic.epoch => {
                for (partition, next) in (0..).zip(topic.offsets()) {
                    let missing = old.offset(partition)..*next;
                    if missing.is_empty() {
                        continue;
                    }
                    cursor.raise(topic.tag, topic.epoch, partition, *next);
                    let place = Some((name(topic.tag), Some(partition)));
                    gaps.push((Told { reason, place, missing: Some(missing) }, cursor.clone()));
                }
            }
            Some(_) => {
                cursor.set(topic.clone());
                gaps.push((Told::topic(GapReason::Epoch, name(topic.tag)), cursor.clone()));
            }
            None => cursor.set(topic.clone()),
        }
    }
    gaps
}
