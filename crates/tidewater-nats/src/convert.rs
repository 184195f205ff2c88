//! Messages of NATS and messages of ours.

use std::time::SystemTime;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use tidewater_core::{Error, ErrorKind, Headers, Message, Position, Result, TopicName, TopicTag};

/// The header that a message's key stands in: NATS has none of its own, and no convention for it.
pub const KEY_HEADER: &str = "tidewater-key";

/// Says which stream a publisher expected: an address, not a part of the message.
pub(crate) const EXPECTED_STREAM: &str = "Nats-Expected-Stream";

/// What begins the names of all headers that speak to the server.
pub(crate) const TO_THE_SERVER: &str = "Nats-";

/// What the server is told to check before it takes a message, and what batch a message is of: how it was published, not
/// a part of it. What was checked of the original means nothing where a copy of it goes.
const HOW_PUBLISHED: [&str; 2] = ["Nats-Expected-", "Nats-Batch-"];

/// What the server writes on a message that a stream took from another, and lets nobody else write.
const SOURCE: &str = "Nats-Stream-Source";

/// Who has written a message once, and where it reads its source from then: see `jetstream::mark`.
pub(crate) const WRITER: &str = "Tidewater-Writer";
pub(crate) const NEXT: &str = "Tidewater-Next";

/// Whether a header is no part of the message, but ours or the server's.
fn is_apart(name: &str) -> bool {
    [KEY_HEADER, WRITER, NEXT].contains(&name) || HOW_PUBLISHED.iter().any(|prefix| name.starts_with(prefix))
}

/// A message as it came.
pub(crate) fn received(
    message: async_nats::Message,
    tag: TopicTag,
    offset: u64,
    timestamp: Option<SystemTime>,
) -> Message {
    let (key, headers) = message.headers.map(taken_apart).unwrap_or_default();
    Message {
        topic: TopicName::new(&message.subject),
        tag,
        partition: 0,
        position: Position::Offset(offset),
        key,
        headers,
        // Absent payloads are something that NATS hasn't got: an empty one is empty.
        payload: Some(message.payload),
        timestamp,
    }
}

/// The headers as the client has them. The client doesn't keep the order of names, so they are sorted.
fn taken_apart(map: HeaderMap) -> (Option<Bytes>, Headers) {
    let bytes = |value: &HeaderValue| Bytes::copy_from_slice(value.as_str().as_bytes());
    let key = map.get_last(KEY_HEADER).map(bytes);
    let mut all: Vec<_> = map
        .iter()
        .map(|(name, values)| (AsRef::<str>::as_ref(name), values))
        .filter(|(name, _)| !is_apart(name))
        .collect();
    all.sort_unstable_by_key(|(name, _)| *name);
    let headers =
        all.into_iter().flat_map(|(name, values)| values.iter().map(move |value| (name, bytes(value))));
    (key, headers.collect())
}

/// The same of a message whose headers the client can't read: those that can be are kept, the others are left out.
pub(crate) fn taken_by_hand(
    subject: &str,
    tag: TopicTag,
    offset: u64,
    head: &[u8],
    payload: Bytes,
    timestamp: Option<SystemTime>,
) -> Message {
    let mut all: Vec<(&str, Bytes)> =
        by_hand(head).map(|(name, value)| (name, Bytes::copy_from_slice(value))).collect();
    let key = all.iter().rfind(|(name, _)| *name == KEY_HEADER).map(|(_, value)| value.clone());
    all.retain(|(name, _)| !is_apart(name));
    all.sort_by_key(|(name, _)| *name);
    Message {
        topic: TopicName::new(subject),
        tag,
        partition: 0,
        position: Position::Offset(offset),
        key,
        headers: all.into_iter().collect(),
        payload: Some(payload),
        timestamp,
    }
}

/// The headers that can be read, of a head as the server keeps it.
pub(crate) fn by_hand(head: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    // The first line is the version.
    head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        Some((name, line[colon + 1..].trim_ascii()))
    })
}

/// The headers of a message to publish.
///
/// # Errors
/// [`ErrorKind::Rejected`] for what the format of NATS can't carry.
pub(crate) fn headers_of(message: &Message) -> Result<Option<HeaderMap>> {
    let mut map = HeaderMap::new();
    for header in &message.headers {
        if !is_apart(&header.name) && &*header.name != SOURCE {
            map.append(name(&header.name)?, value(&header.name, &header.value)?);
        }
    }
    if let Some(key) = &message.key {
        map.insert(name(KEY_HEADER)?, value("the key", key)?);
    }
    Ok((!map.is_empty()).then_some(map))
}

fn name(name: &str) -> Result<HeaderName> {
    // The client lets an empty one through.
    let parsed = Some(name).filter(|name| !name.is_empty()).and_then(|name| name.parse().ok());
    parsed.ok_or_else(|| {
        Error::new(
            ErrorKind::Rejected,
            format!("a header named {name:?}: NATS takes visible ASCII without a colon"),
        )
    })
}

fn value(of: &str, value: &Bytes) -> Result<HeaderValue> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.trim() == *text);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::new(
            ErrorKind::Rejected,
            format!("{of}: NATS carries UTF-8 text without line breaks, with no white space around it"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &'static str, value: &'static [u8]) -> Message {
        Message::new("", "").with_headers([(name, value)].into_iter().collect())
    }

    #[test]
    fn what_nats_cannot_carry_is_refused() {
        for (name, value) in [
            ("a b", &b"x"[..]),
            ("a:b", b"x"),
            ("", b"x"),
            ("a", b"x\r\nforged: y"),
            ("a", b"\xff"),
            ("a", b" x"),
        ] {
            let refused = headers_of(&message(name, value)).err().map(|error| error.kind());
            assert_eq!(refused, Some(ErrorKind::Rejected), "{name:?}: {value:?}");
        }
        let key = Message::new("", "").with_key(&b"\n"[..]);
        assert!(headers_of(&key).unwrap_err().to_string().contains("the key"));
    }

    #[test]
    fn keys_come_back_as_keys() {
        let message = message("x", b"1").with_key("k");
        let (key, headers) = taken_apart(headers_of(&message).unwrap().unwrap());
        assert_eq!((key, headers), (Some("k".into()), message.headers));
        assert!(headers_of(&Message::new("", "")).unwrap().is_none());
    }

    #[test]
    fn what_can_be_read_by_hand_is_kept() {
        let take = |head: &[u8]| taken_by_hand("s", TopicTag(1), 7, head, Bytes::from("p"), None);
        let plain = take(b"NATS/1.0\r\nx: 1\r\na:2 \r\ntidewater-key: k\r\nNats-Expected-Stream: S\r\n\r\n");
        let headers = [("a", &b"2"[..]), ("x", b"1")].into_iter().collect();
        assert_eq!((plain.key, plain.headers), (Some("k".into()), headers));
        assert_eq!((plain.position, plain.payload), (Position::Offset(7), Some("p".into())));
        let odd = take(b"NATS/1.0 what\r\nno colon\r\n\xff: y\r\na b: \xff\r\nx: a\rid: y\r\n");
        let headers = [("a b", &b"\xff"[..]), ("x", b"a\rid: y")].into_iter().collect();
        assert_eq!((odd.key, odd.headers), (None, headers));
        assert!(take(b"").headers.is_empty());
    }

    #[test]
    fn how_the_original_was_published_is_left_out_of_a_copy() {
        for name in ["Nats-Expected-Last-Sequence", "Nats-Batch-Id", SOURCE, WRITER, NEXT, KEY_HEADER] {
            assert!(headers_of(&message(name, b"7")).unwrap().is_none(), "{name}");
        }
        assert!(headers_of(&message("Nats-Msg-Id", b"7")).unwrap().is_some());
    }

    #[test]
    fn how_it_was_published_is_no_part_of_a_message() {
        let mut map = HeaderMap::new();
        for name in ["Nats-Batch-Sequence", EXPECTED_STREAM, WRITER, NEXT, "x"] {
            map.insert(name, "7");
        }
        let headers = [("x", &b"7"[..])].into_iter().collect();
        assert_eq!(taken_apart(map), (None, headers));
    }
}
