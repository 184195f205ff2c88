//! Reading what is in the store.

use std::{ops::Range, sync::PoisonError, time::SystemTime};

use tidewater_core::{Message, Position, TopicTag};

use super::{Marks, Part, Store, offset, record, record_key, records};
use crate::{
    KIND,
    failure::{Failure, Result},
};

/// The most that is read at once: a message that is larger is read alone.
const EVENTS: usize = 256;
const BYTES: usize = 1 << 20;

impl Store {
    /// The messages of these offsets, as many as one page holds; none if the first of them is not there any more.
    pub(crate) fn page(&self, offsets: Range<u64>) -> Result<Vec<Message>> {
        let Some(part) = self.part_of(offsets.start) else { return Ok(Vec::new()) };
        let tag = TopicTag::of(KIND, &self.topic);
        let (mut page, mut bytes) = (Vec::new(), 0);
        for (item, expected) in part.log.range(records(offsets.clone())).zip(offsets) {
            let (key, value) = item.into_inner().map_err(|error| Failure::store("reading", &error))?;
            if offset(&key) != Some(expected) {
                return Err(Failure::damaged(format_args!("the message at offset {expected} is missing")));
            }
            let message = record::decode(&value).ok_or_else(|| {
                Failure::damaged(format_args!("the message at offset {expected} can't be read"))
            })?;
            bytes += value.len();
            if bytes > BYTES && !page.is_empty() {
                break;
            }
            let position = Position::Offset(expected);
            page.push(Message { topic: self.topic.clone(), tag, position, ..message });
            if page.len() == EVENTS {
                break;
            }
        }
        Ok(page)
    }

    /// The first of these offsets whose record is not `before` what is looked for; the end if all are. What is gone by
    /// now is before it.
    pub(crate) fn search(&self, offsets: Range<u64>, before: impl Fn(&Marks) -> bool) -> Result<u64> {
        let Range { mut start, mut end } = offsets;
        // It is near the beginning, mostly: first in steps that double.
        let mut step = 1;
        while start < end {
            let probe = start.saturating_add(step - 1).min(end - 1);
            match self.marks(probe)? {
                Some(marks) if !before(&marks) => {
                    end = probe;
                    break;
                }
                _ => start = probe + 1,
            }
            step *= 2;
        }
        while start < end {
            let middle = start + (end - start) / 2;
            match self.marks(middle)? {
                Some(marks) if !before(&marks) => end = middle,
                _ => start = middle + 1,
            }
        }
        Ok(start)
    }

    /// The first of these offsets whose message has this time or a later one.
    pub(crate) fn at_time(&self, offsets: Range<u64>, time: SystemTime) -> Result<u64> {
        self.search(offsets, |marks| marks.newest < time)
    }

    /// What the record at this offset says; `None` if it was removed with its part.
    pub(crate) fn marks(&self, offset: u64) -> Result<Option<Marks>> {
        let Some(part) = self.part_of(offset) else { return Ok(None) };
        let record = part.log.get(record_key(offset)).map_err(|error| Failure::store("reading", &error))?;
        match record.map(|record| record::marks(&record)) {
            Some(Some(marks)) => Ok(Some(marks)),
            Some(None) => Err(Failure::damaged(format_args!("the message at offset {offset} can't be read"))),
            None => Err(Failure::damaged(format_args!("the message at offset {offset} is missing"))),
        }
    }

    /// The part that an offset is in, or would be; `None` for one that was removed with its part.
    fn part_of(&self, offset: u64) -> Option<Part> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        let after = parts.partition_point(|part| part.base <= offset);
        after.checked_sub(1).map(|index| parts[index].clone())
    }
}
