//! The encoder against inputs that forged events in other encoders: what it writes is exactly one event
//! with the fields that were given, or it refuses. Read back by our decoder and by an independent one.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Deserialize;
use tidewater_core::sse::{Decoder, Event, EventName, Frame, Item};

#[test]
fn every_input_is_one_event_or_refused() {
    let inputs = load();
    assert_eq!(inputs.len(), 28);
    let mut refused = Vec::new();
    for Input { name, fields } in &inputs {
        let Some(wire) = encode(fields) else {
            refused.push(name.as_str());
            continue;
        };
        let (events, comments) = decode(&wire);
        assert_eq!(events, [fields.expected()], "{name}: {wire:?}");
        assert_eq!(comments, fields.expected_comments(), "{name}: {wire:?}");
        assert_eq!(oracle(&wire), [fields.expected()], "{name}, read by another parser");
    }
    assert_eq!(refused, REFUSED);
}

/// All others are encoded. The binary payload never reaches the encoder: it takes text.
const REFUSED: [&str; 9] = [
    "event+LF",
    "id+LF",
    "event+CR",
    "id+CR",
    "event+CRLF",
    "id+CRLF",
    "id NUL",
    "event empty",
    "binary payload (not UTF-8)",
];

#[test]
fn an_input_amid_others_leaves_its_neighbours_alone() {
    for Input { name, fields } in load() {
        let before = Frame::new().data("before").to_bytes().unwrap();
        let after = Frame::new().data("after").to_bytes().unwrap();
        let wire = encode(&fields).unwrap_or_default();
        let (events, _) = decode(&[&before[..], &wire, &after].concat());
        let data: Vec<&str> = events.iter().map(|event| &*event.data).collect();
        if wire.is_empty() {
            assert_eq!(data, ["before", "after"], "{name}");
        } else {
            assert_eq!(data, ["before", &*fields.expected().data, "after"], "{name}");
        }
    }
}

/// What the vectors do not have: every byte below 0x21 and some line ends of other formats, in every field.
#[test]
fn no_byte_breaks_out_of_its_field() {
    let bytes = (0..=0x20u8).map(char::from).chain("\u{7f}\u{85}\u{2028}\u{2029}\u{feff}:".chars());
    for byte in bytes {
        let text = format!("a{byte}data: forged{byte}{byte}id: 9{byte}");
        for field in ["event", "id", "data", "comment"] {
            let mut fields = Fields { data: Some("d".into()), ..Fields::default() };
            *match field {
                "event" => &mut fields.event,
                "id" => &mut fields.id,
                "data" => &mut fields.data,
                _ => &mut fields.comment,
            } = Some(text.clone());
            match encode(&fields) {
                Some(wire) => assert_eq!(decode(&wire).0, [fields.expected()], "{field} with {byte:?}"),
                None => {
                    assert!(matches!(field, "event" | "id"), "{field} with {byte:?} was refused");
                    assert!(matches!(byte, '\r' | '\n' | '\0'), "{field} with {byte:?} was refused");
                }
            }
        }
    }
}

fn encode(fields: &Fields) -> Option<Vec<u8>> {
    let payload = match &fields.data_b64 {
        Some(text) => Some(String::from_utf8(STANDARD.decode(text).unwrap()).ok()?),
        None => fields.data.clone(),
    };
    let name = fields.event.as_deref().map(EventName::new).transpose().ok()?;
    let mut frame = Frame::new();
    if let Some(name) = &name {
        frame = frame.event(name);
    }
    if let Some(payload) = &payload {
        frame = frame.data(payload);
    }
    if let Some(id) = &fields.id {
        frame = frame.id(id);
    }
    if let Some(comment) = &fields.comment {
        frame = frame.comment(comment);
    }
    frame.to_bytes().ok().map(Into::into)
}

fn decode(wire: &[u8]) -> (Vec<Event>, Vec<String>) {
    let mut decoder = Decoder::new();
    decoder.feed(wire);
    let (mut events, mut comments) = (Vec::new(), Vec::new());
    while let Some(item) = decoder.next_item().unwrap() {
        match item {
            Item::Event(event) => events.push(event),
            Item::Comment(comment) => comments.push(comment.into()),
            other => panic!("a forged {other:?}"),
        }
    }
    assert_eq!(decoder.buffered(), 0, "the block is not closed");
    (events, comments)
}

fn oracle(wire: &[u8]) -> Vec<Event> {
    let chunks = stream::iter([Ok::<_, std::io::Error>(wire.to_vec())]);
    let events: Vec<_> = chunks.eventsource().collect().now_or_never().unwrap();
    let ours = |event: eventsource_stream::Event| Event {
        event_type: event.event.into(),
        data: event.data.into(),
        last_event_id: event.id.into(),
    };
    events.into_iter().map(|event| ours(event.unwrap())).collect()
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    fields: Fields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    event: Option<String>,
    data: Option<String>,
    data_b64: Option<String>,
    id: Option<String>,
    comment: Option<String>,
}

impl Fields {
    fn expected(&self) -> Event {
        Event {
            event_type: self.event.clone().unwrap_or_else(|| "message".to_owned()).into(),
            data: with_lf(self.data.as_deref().unwrap()).into(),
            last_event_id: self.id.clone().unwrap_or_default().into(),
        }
    }

    fn expected_comments(&self) -> Vec<String> {
        let Some(comment) = &self.comment else { return Vec::new() };
        let with_space = |line: &str| if line.is_empty() { String::new() } else { format!(" {line}") };
        with_lf(comment).split('\n').map(with_space).collect()
    }
}

fn with_lf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn load() -> Vec<Input> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/encoder-attack-inputs.json");
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(entries[0].get("_meta").is_some());
    entries.into_iter().skip(1).map(|entry| serde_json::from_value(entry).unwrap()).collect()
}
