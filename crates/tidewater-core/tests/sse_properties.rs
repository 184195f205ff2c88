//! Properties of the codec over arbitrary input: what is encoded is read back; where the bytes are cut does not
//! matter; the decoder agrees with the standard's algorithm written down plainly; its memory is bounded.

#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tidewater_core::sse::{DecodeError, Decoder, Event, EventName, Frame, Item, Limits};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_read_back(frames in vec(fields(), 1..5), cuts in cuts()) {
        let mut wire = bytes::BytesMut::new();
        let mut wanted = Vec::new();
        let mut last_event_id = String::new();
        for fields in &frames {
            let before = wire.len();
            if !fields.encode_into(&mut wire) {
                prop_assert_eq!(wire.len(), before, "a refused frame left something behind");
                prop_assert!(!fields.is_framable());
                continue;
            }
            prop_assert!(fields.is_framable());
            fields.items(&mut last_event_id, &mut wanted);
        }
        prop_assert_eq!(decode(&cut(&wire, &cuts), Limits::default()), (wanted, None));
    }

    #[test]
    fn the_decoder_is_the_standards_algorithm_however_the_bytes_are_cut(bytes in stream_bytes(), cuts in cuts()) {
        let wanted = reference(&bytes);
        prop_assert_eq!(&decode(&cut(&bytes, &cuts), Limits::default()).0, &wanted);
        prop_assert_eq!(&decode(&[&bytes], Limits::default()).0, &wanted);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&decode(&single, Limits::default()).0, &wanted);
    }

    #[test]
    fn the_decoder_agrees_with_another_where_that_one_is_right(bytes in plain_stream()) {
        let ours: Vec<Event> = decode(&[&bytes], Limits::default())
            .0
            .into_iter()
            .filter_map(|item| if let Seen::Event(event) = item { Some(event) } else { None })
            .collect();
        let chunks = stream::iter([Ok::<_, std::io::Error>(bytes)]);
        let theirs: Vec<_> = chunks.eventsource().collect().now_or_never().unwrap();
        let theirs: Vec<Event> = theirs
            .into_iter()
            .map(Result::unwrap)
            .map(|event| Event {
                event_type: event.event.into(),
                data: event.data.into(),
                last_event_id: event.id.into(),
            })
            .collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_bounded_decoder_keeps_its_bounds(
        bytes in stream_bytes(),
        cuts in cuts(),
        max_line_bytes in 0..40usize,
        max_event_bytes in 0..40usize,
    ) {
        let limits = Limits { max_line_bytes, max_event_bytes };
        let mut decoder = Decoder::with_limits(limits);
        let mut failed = None;
        for chunk in cut(&bytes, &cuts) {
            decoder.feed(chunk);
            failed = loop {
                match decoder.next_event() {
                    Ok(Some(event)) => prop_assert!(event.data.len() <= 3 * max_event_bytes),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            prop_assert!(decoder.buffered() <= max_line_bytes + max_event_bytes);
            prop_assert!(decoder.last_event_id().len() <= max_event_bytes);
        }

        // The error comes when the standard's reading of the same bytes passes a bound, and never otherwise.
        prop_assert_eq!(failed.is_some(), passes_a_bound(&bytes, limits), "{:?}", failed);
        // What was complete before it comes out however the bytes are cut.
        let whole = decode(&[&bytes], limits);
        let pieces = decode(&cut(&bytes, &cuts), limits);
        prop_assert_eq!(&whole.0, &pieces.0);
        prop_assert_eq!(whole.1.is_some(), pieces.1.is_some());
    }
}

#[test]
fn a_line_without_end_is_an_error_at_the_bound_and_costs_linear_time() {
    const LIMIT: usize = 1 << 20;
    let limits = Limits { max_line_bytes: LIMIT, max_event_bytes: 2 * LIMIT };
    for start in ["data: ", "data", ": ", "id: ", "unknown", "\u{feff}data:"] {
        let mut decoder = Decoder::with_limits(limits);
        decoder.feed(start.as_bytes());
        assert_eq!(decoder.next_event(), Ok(None));
        for _ in start.len()..LIMIT {
            decoder.feed(b"x");
            assert_eq!(decoder.next_event(), Ok(None));
        }
        assert!(decoder.buffered() <= LIMIT && decoder.buffered() >= LIMIT - start.len());
        decoder.feed(b"x");
        assert_eq!(decoder.next_event(), Err(DecodeError::LineTooLong { limit: LIMIT }), "{start:?}");
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn a_block_without_end_is_an_error_at_the_bound() {
    let limits = Limits { max_line_bytes: 100, max_event_bytes: 1 << 20 };
    let mut decoder = Decoder::with_limits(limits);
    let mut fed = 0;
    while decoder.next_event() == Ok(None) {
        decoder.feed(b"data: 0123456789\n");
        fed += 11;
        assert!(fed <= (1 << 20) + 11, "no error past the bound");
    }
    assert!(fed > 1 << 20);
    assert_eq!(decoder.next_event(), Err(DecodeError::EventTooLong { limit: 1 << 20 }));
}

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Event(Event),
    Comment(String),
    Retry(u64),
}

/// Decodes chunks of which every other one is given away and not copied.
fn decode(chunks: &[impl AsRef<[u8]>], limits: Limits) -> (Vec<Seen>, Option<DecodeError>) {
    let mut decoder = Decoder::with_limits(limits);
    let mut seen = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        match index % 2 {
            0 => decoder.feed_bytes(Bytes::copy_from_slice(chunk.as_ref())),
            _ => decoder.feed(chunk.as_ref()),
        }
        loop {
            match decoder.next_item() {
                Ok(Some(Item::Event(event))) => seen.push(Seen::Event(event)),
                Ok(Some(Item::Comment(comment))) => seen.push(Seen::Comment(comment.into())),
                Ok(Some(Item::Retry(millis))) => seen.push(Seen::Retry(millis)),
                Ok(Some(other)) => panic!("what is {other:?}?"),
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

/// WHATWG HTML §9.2.5-9.2.6, read aloud: no chunks, no bounds, no care for speed.
fn reference(bytes: &[u8]) -> Vec<Seen> {
    let (mut seen, mut data, mut event_type) = (Vec::new(), String::new(), String::new());
    let (mut id_buffer, mut last_event_id) = (String::new(), String::new());
    for line in lines(bytes).0 {
        if line.is_empty() {
            last_event_id.clone_from(&id_buffer);
            if data.is_empty() {
                event_type.clear();
                continue;
            }
            data.pop();
            let event_type = Some(std::mem::take(&mut event_type)).filter(|name| !name.is_empty());
            seen.push(Seen::Event(Event {
                event_type: event_type.unwrap_or_else(|| "message".to_owned()).into(),
                data: std::mem::take(&mut data).into(),
                last_event_id: last_event_id.clone().into(),
            }));
        } else if let Some(comment) = line.strip_prefix(':') {
            seen.push(Seen::Comment(comment.to_owned()));
        } else {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "event" => event_type = value.to_owned(),
                "data" => {
                    data.push_str(value);
                    data.push('\n');
                }
                "id" if !value.contains('\0') => id_buffer = value.to_owned(),
                "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    seen.push(Seen::Retry(value.parse().unwrap_or(u64::MAX)));
                }
                _ => {}
            }
        }
    }
    seen
}

/// The lines that are ended, and what follows the last of them.
fn lines(bytes: &[u8]) -> (Vec<String>, String) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let rest = lines.pop().unwrap();
    (lines, rest)
}

/// Whether a line, or the data, type and id of an event, is longer than its limit; counted on the raw bytes.
fn passes_a_bound(bytes: &[u8], limits: Limits) -> bool {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        lines.push(&rest[..end]);
        rest = &rest[end + if rest[end..].starts_with(b"\r\n") { 2 } else { 1 }..];
    }
    let ended = lines.len();
    lines.push(rest);

    let (mut data, mut event_type, mut id) = (0, 0, 0);
    for (at, line) in lines.into_iter().enumerate() {
        if line.len() > limits.max_line_bytes {
            return true;
        }
        let line = if at == 0 { line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line) } else { line };
        if line.is_empty() && at < ended {
            (data, event_type, id) = (0, 0, 0);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let value = colon.map_or(&[][..], |colon| &line[colon + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = String::from_utf8_lossy(value);
        match &line[..colon.unwrap_or(line.len())] {
            b"data" if at < ended => data += value.len() + 1,
            b"data" => data += value.len(),
            b"event" if at < ended => event_type = text.len(),
            b"id" if at < ended && !value.contains(&0) => id = text.len(),
            _ => {}
        }
        if data + event_type + id > limits.max_event_bytes {
            return true;
        }
    }
    false
}

#[derive(Clone, Debug)]
struct Fields {
    comment: Option<String>,
    retry: Option<u64>,
    event: Option<String>,
    data: String,
    id: Option<String>,
}

impl Fields {
    /// Whether it was encoded.
    fn encode_into(&self, out: &mut bytes::BytesMut) -> bool {
        let Ok(name) = self.event.as_deref().map(EventName::new).transpose() else { return false };
        let mut frame = Frame::new().data(&self.data);
        if let Some(name) = &name {
            frame = frame.event(name);
        }
        if let Some(id) = &self.id {
            frame = frame.id(id);
        }
        if let Some(millis) = self.retry {
            frame = frame.retry(millis);
        }
        if let Some(comment) = &self.comment {
            frame = frame.comment(comment);
        }
        frame.encode_into(out).is_ok()
    }

    fn is_framable(&self) -> bool {
        let one_line = |text: &String| !text.contains(['\r', '\n', '\0']);
        self.event.as_ref().is_none_or(|name| !name.is_empty() && one_line(name))
            && self.id.as_ref().is_none_or(one_line)
    }

    fn items(&self, last_event_id: &mut String, seen: &mut Vec<Seen>) {
        let with_lf = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
        for line in self
            .comment
            .iter()
            .flat_map(|comment| with_lf(comment).split('\n').map(str::to_owned).collect::<Vec<_>>())
        {
            seen.push(Seen::Comment(if line.is_empty() { line } else { format!(" {line}") }));
        }
        seen.extend(self.retry.map(Seen::Retry));
        if let Some(id) = &self.id {
            last_event_id.clone_from(id);
        }
        seen.push(Seen::Event(Event {
            event_type: self.event.clone().unwrap_or_else(|| "message".to_owned()).into(),
            data: with_lf(&self.data).into(),
            last_event_id: last_event_id.clone().into(),
        }));
    }
}

fn fields() -> impl Strategy<Value = Fields> {
    let line = || prop_oneof![4 => "[a-z :.é\u{feff}]{0,6}", 1 => nasty_text()];
    (option::of(nasty_text()), option::of(any::<u64>()), option::of(line()), nasty_text(), option::of(line()))
        .prop_map(|(comment, retry, event, data, id)| Fields { comment, retry, event, data, id })
}

/// Text that is mostly line ends, NUL, colons, spaces and field names.
fn nasty_text() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "\n", "\r", "\r\n", "\0", ":", " ", "data", "id: 1", "event: x", "retry: 5", "\u{feff}", "\u{2028}",
        "é", "𐍈", "x",
    ];
    let part = select(PARTS);
    prop_oneof![3 => vec(part, 0..12).prop_map(|parts| parts.concat()), 1 => any::<String>()]
}

/// Bytes that are almost an event stream.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    const LINE_ENDS: &[&[u8]] = &[b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"];
    const DATA: &[&[u8]] = &[b"data", b"data:", b"data: x", b"\ndata: y\n\n"];
    const ID: &[&[u8]] = &[b"id", b"id:", b"\nid: 7\n", b"id: \0"];
    const EVENT: &[&[u8]] = &[b"event:", b"\nevent: e\n", b"event"];
    const RETRY: &[&[u8]] = &[b"retry:", b"\nretry: 12\n", b"99999999999999999999", b"-1"];
    const TEXT: &[&[u8]] = &[b":", b" ", b"\0", b"longer text"];
    // A byte order mark, whole and in parts; characters cut short; bytes that never occur.
    const ILL_FORMED: &[&[u8]] = &[
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xbb",
        b"\xbf",
        b"\xe2\x82",
        b"\xac",
        b"\xf0\x9f",
        b"\x98\x80",
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
    ];
    let part = prop_oneof![
        8 => select(LINE_ENDS),
        8 => select(DATA),
        4 => select(ID),
        4 => select(EVENT),
        3 => select(RETRY),
        3 => select(TEXT),
        3 => select(ILL_FORMED),
    ];
    let bom = prop_oneof![4 => Just(&b""[..]), 1 => Just(&b"\xef\xbb\xbf"[..])];
    // The longer ones have whole lines that are read in place.
    let parts = prop_oneof![2 => vec(part.clone(), 0..24), 1 => vec(part, 40..160)];
    let parts = (bom, parts).prop_map(|(bom, parts)| [bom, &parts.concat()].concat());
    prop_oneof![8 => parts, 1 => vec(any::<u8>(), 0..64)]
}

/// What the other parser reads as the standard has it: well-formed UTF-8, LF only, no byte order mark.
fn plain_stream() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-z0-9 :é𐍈]{0,8}";
    let line = prop_oneof![
        4 => text.prop_map(|value| format!("data: {value}\n")),
        1 => Just("data\n".to_owned()),
        1 => text.prop_map(|value| format!("event:{value}\n")),
        1 => text.prop_map(|value| format!("id: {value}\n")),
        1 => text.prop_map(|value| format!(":{value}\n")),
        1 => text.prop_map(|value| format!("x{value}\n")),
        3 => Just("\n".to_owned()),
    ];
    vec(line, 0..20).prop_map(|lines| lines.concat().into_bytes())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![2 => vec(0..12usize, 1..16), 1 => vec(0..600usize, 1..6)]
}

/// Cuts into pieces of these lengths, over and over; a length of 0 is an empty chunk.
fn cut<'a>(bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    for length in lengths.iter().copied().chain(std::iter::repeat_n(7, bytes.len())) {
        let (chunk, after) = rest.split_at(length.min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}
