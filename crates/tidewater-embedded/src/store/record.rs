//! A message as it stands in the store.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | what there is: 1 a key, 2 a payload, 4 a time of its own, 8 a newest time, 16 headers |
//! | 8 | the bytes of all records before this one |
//! | 12 | when it was written, never before the one before it |
//! | 12 | (8) the newest time that a message up to this one has, where that is another one |
//! | 12 | (4) the time that the message came with |
//! | 4, then each 4 + name + 4 + value | (16) headers, in their order |
//! | 4 + key | (1) the key |
//! | the rest | (2) the payload |
//!
//! Numbers are big endian; a time is 8 bytes of seconds since 1970, and 4 of nanoseconds. The store's journal and its
//! tables have check sums, so there is none here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes};
use tidewater_core::Message;

const VERSION: u8 = 1;

const KEY: u8 = 1;
const PAYLOAD: u8 = 2;
const OWN_TIME: u8 = 4;
const NEWEST: u8 = 8;
const HEADERS: u8 = 16;

/// What a record says of all up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The bytes of all records before it.
    pub(crate) before: u64,
    /// When it was written.
    pub(crate) written: SystemTime,
    /// The newest time that a message up to it has.
    pub(crate) newest: SystemTime,
}

impl Marks {
    /// Those before the first record.
    pub(crate) fn start() -> Self {
        Self { before: 0, written: UNIX_EPOCH, newest: UNIX_EPOCH }
    }

    /// Those of a message that is written now, behind a record of these marks and of so many bytes.
    pub(crate) fn next(&self, size: u64, now: SystemTime, message: &Message) -> Self {
        let written = self.written.max(now);
        let newest = self.newest.max(message.timestamp.unwrap_or(written));
        Self { before: self.before + size, written, newest }
    }

    /// As they stand at the beginning of a part of the log that has no record yet.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self, &Message { payload: None, ..Message::new("", "") })
    }
}

/// The record of a message. Its parts are shorter than 4 GiB each: a message is bounded where it comes in.
pub(crate) fn encode(marks: &Marks, message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + message.size() + message.headers.iter().count() * 8);
    let newest = (marks.newest != marks.written).then_some(marks.newest);
    let flags = [
        (message.key.is_some(), KEY),
        (message.payload.is_some(), PAYLOAD),
        (message.timestamp.is_some(), OWN_TIME),
        (newest.is_some(), NEWEST),
        (!message.headers.is_empty(), HEADERS),
    ];
    out.push(VERSION);
    out.push(flags.iter().filter(|(has, _)| *has).map(|(_, flag)| flag).sum());
    out.extend_from_slice(&marks.before.to_be_bytes());
    put_time(&mut out, marks.written);
    for time in [newest, message.timestamp].into_iter().flatten() {
        put_time(&mut out, time);
    }
    if !message.headers.is_empty() {
        out.extend_from_slice(&(message.headers.iter().count() as u32).to_be_bytes());
        for header in &message.headers {
            put(&mut out, header.name.as_bytes());
            put(&mut out, &header.value);
        }
    }
    if let Some(key) = &message.key {
        put(&mut out, key);
    }
    out.extend_from_slice(message.payload.as_deref().unwrap_or_default());
    out
}

/// Reads a record, as a message without topic and position, which are the reader's to know. `None`: it is none.
pub(crate) fn decode(record: &[u8]) -> Option<Message> {
    let mut rest = Bytes::copy_from_slice(record);
    let (flags, marks) = decode_marks(&mut rest)?;
    let own = if flags & OWN_TIME != 0 { Some(time(&mut rest)?) } else { None };
    let headers = if flags & HEADERS != 0 { headers(&mut rest)? } else { Vec::new() };
    let key = if flags & KEY != 0 { Some(part(&mut rest)?) } else { None };
    let payload = (flags & PAYLOAD != 0).then_some(rest);
    let timestamp = Some(own.unwrap_or(marks.written));
    let message = Message::new("", Bytes::new()).with_headers(headers.into_iter().collect());
    Some(Message { key, payload, timestamp, ..message })
}

/// Only what a record says of all up to it.
pub(crate) fn marks(record: &[u8]) -> Option<Marks> {
    let mut rest = Bytes::copy_from_slice(record.get(..record.len().min(2 + 8 + 12 + 12))?);
    decode_marks(&mut rest).map(|(_, marks)| marks)
}

fn decode_marks(rest: &mut Bytes) -> Option<(u8, Marks)> {
    let (version, flags) = (rest.try_get_u8().ok()?, rest.try_get_u8().ok()?);
    if version != VERSION || flags >= HEADERS << 1 {
        return None;
    }
    let before = rest.try_get_u64().ok()?;
    let written = time(rest)?;
    let newest = if flags & NEWEST != 0 { time(rest)? } else { written };
    Some((flags, Marks { before, written, newest }))
}

fn headers(rest: &mut Bytes) -> Option<Vec<(String, Bytes)>> {
    let count = rest.try_get_u32().ok()?;
    (0..count)
        .map(|_| {
            let name = String::from_utf8(part(rest)?.to_vec()).ok()?;
            Some((name, part(rest)?))
        })
        .collect()
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u32).to_be_bytes());
    out.extend_from_slice(part);
}

fn part(rest: &mut Bytes) -> Option<Bytes> {
    let length = rest.try_get_u32().ok()? as usize;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn put_time(out: &mut Vec<u8>, time: SystemTime) {
    let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs() as i64, since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => (-(before.as_secs() as i64), 0),
                nanoseconds => (-(before.as_secs() as i64) - 1, 1_000_000_000 - nanoseconds),
            }
        }
    };
    out.extend_from_slice(&seconds.to_be_bytes());
    out.extend_from_slice(&nanoseconds.to_be_bytes());
}

fn time(rest: &mut Bytes) -> Option<SystemTime> {
    let (seconds, nanoseconds) = (rest.try_get_i64().ok()?, rest.try_get_u32().ok()?);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 { UNIX_EPOCH.checked_sub(whole)? } else { UNIX_EPOCH.checked_add(whole)? };
    (nanoseconds < 1_000_000_000).then(|| second.checked_add(Duration::from_nanos(nanoseconds.into())))?
}

#[cfg(test)]
mod tests {
    use tidewater_core::Headers;

    use super::*;

    fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    fn messages() -> Vec<Message> {
        let headers: Headers = [("a", "1"), ("", ""), ("a", "2")].into_iter().collect();
        let full = Message::new("", "payload").with_key("key").with_headers(headers);
        vec![
            Message::new("", ""),
            Message { payload: None, ..Message::new("", "") }.with_key(""),
            Message { timestamp: Some(at(5, 7)), ..full.clone() },
            Message { timestamp: Some(UNIX_EPOCH - Duration::new(1, 250)), ..full },
        ]
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        for message in messages() {
            for newest in [at(9, 0), at(11, 3)] {
                let marks = Marks { before: 77, written: at(9, 0), newest };
                let bytes = encode(&marks, &message);
                let read = decode(&bytes).unwrap();
                assert_eq!(super::marks(&bytes), Some(marks));
                let of = |message: &Message| {
                    (message.key.clone(), message.payload.clone(), message.headers.clone())
                };
                assert_eq!(of(&read), of(&message));
                assert_eq!(read.timestamp, message.timestamp.or(Some(at(9, 0))));
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_of_another_version_is_no_record() {
        let message = messages().remove(2);
        let bytes = encode(&Marks::start(), &message);
        let payload = message.payload.as_ref().unwrap().len();
        for length in 0..bytes.len() - payload {
            assert!(decode(&bytes[..length]).is_none(), "{length}");
        }
        for (place, value) in [(0, 0), (0, 2), (1, 32), (1, 255)] {
            let mut other = bytes.clone();
            other[place] = value;
            assert!(decode(&other).is_none());
        }
    }

    #[test]
    fn times_never_go_back() {
        let message = |seconds| Message { timestamp: seconds, ..Message::new("", "") };
        let first = Marks::start().next(0, at(10, 0), &message(Some(at(20, 0))));
        assert_eq!(first, Marks { before: 0, written: at(10, 0), newest: at(20, 0) });
        let second = first.next(30, at(8, 0), &message(Some(at(1, 0))));
        assert_eq!(second, Marks { before: 30, written: at(10, 0), newest: at(20, 0) });
        assert_eq!(second.next(1, at(30, 0), &message(None)).newest, at(30, 0));
    }
}
