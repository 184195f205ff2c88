//! From a message to an event: payload modes, event names, tombstones.
//!
//! ```
//! use tidewater_core::{Message, PayloadMode};
//!
//! let event = PayloadMode::Text.render(&Message::new("orders", "{\"id\":1}"));
//! assert_eq!((event.event.as_deref(), event.data.as_str()), (None, "{\"id\":1}"));
//! ```
//!
//! Pure: what a payload becomes depends on the message alone.

use std::{borrow::Cow, fmt, str::FromStr, time::UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::json;

use crate::{Error, ErrorKind, EventFrom, Message, Position, Result};

/// The header that names the event, unless the channel chooses another.
pub const EVENT_HEADER: &str = "tidewater-event";
/// The event name of a payload that text mode can't carry as text.
pub const BINARY_EVENT: &str = "tidewater.binary";
/// The event name of a message without a payload.
pub const TOMBSTONE_EVENT: &str = "tidewater.tombstone";
/// The event name of a gap.
pub const GAP_EVENT: &str = "tidewater.gap";
/// The event name of a block that only moves the client's id.
pub const CURSOR_EVENT: &str = "tidewater.cursor";

/// What becomes of a message: an event's name and data, and what selection and grants match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The event name; `None` is `message`. One that is illegal or reserved goes out as `message`, counted.
    pub event: Option<Cow<'static, str>>,
    /// The data. CR and CRLF reach the browser as LF.
    pub data: Data,
    /// What `?tag=` and grants match.
    pub tags: Vec<Box<str>>,
}

impl Outgoing {
    /// An event named `message` with this data.
    pub fn new(data: impl Into<String>) -> Self {
        Self { event: None, data: Data::from(data.into()), tags: Vec::new() }
    }

    /// The same with an event name.
    #[must_use]
    pub fn event(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.event = Some(name.into());
        self
    }

    /// The same with one more tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Box<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// Text that an event carries: of its own, or a payload's bytes, shared, known to be UTF-8.
#[derive(Clone)]
pub struct Data(Repr);

#[derive(Clone)]
enum Repr {
    Owned(String),
    /// Checked to be UTF-8 when it was made.
    Shared(Bytes),
}

impl Data {
    /// Shares a payload, if it is UTF-8.
    pub fn shared(payload: Bytes) -> Option<Self> {
        std::str::from_utf8(&payload).is_ok().then(|| Self(Repr::Shared(payload)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Owned(text) => text,
            Repr::Shared(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self(Repr::Owned(String::new()))
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Self(Repr::Owned(text))
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Data {}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// How a channel writes payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadMode {
    /// The payload as text, exact but for CR and CRLF, which SSE reads as LF. What is not UTF-8, or begins with byte
    /// 0 as schema registries' framing does, goes out in base64 as `tidewater.binary`.
    #[default]
    Text,
    /// Always base64 (standard alphabet, padded). Exact byte for byte.
    Base64,
    /// A JSON object with topic, partition, offset, key, timestamp, headers and payload. Exact byte for byte: what is
    /// not UTF-8 stands under a name of its own with `_base64` at the end.
    Envelope,
}

impl PayloadMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Base64, Self::Envelope];

    /// In one word: `text`, `base64`, `envelope`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Envelope => "envelope",
        }
    }

    /// What a message becomes, the event named by the header [`EVENT_HEADER`].
    pub fn render(self, message: &Message) -> Outgoing {
        self.render_with(message, &EventFrom::default())
    }

    /// What a message becomes, the event named by what the channel chose. What has no payload, or can't be text, has
    /// names of its own: [`TOMBSTONE_EVENT`], [`BINARY_EVENT`].
    pub fn render_with(self, message: &Message, event: &EventFrom) -> Outgoing {
        let named = || event.name(message);
        let (event, data) = match (self, &message.payload) {
            (Self::Envelope, Some(_)) => (named(), Data::from(envelope(message))),
            (Self::Envelope, None) => (Some(Cow::Borrowed(TOMBSTONE_EVENT)), Data::from(envelope(message))),
            (mode, None) => (Some(Cow::Borrowed(TOMBSTONE_EVENT)), key(message, mode)),
            (Self::Base64, Some(payload)) => (named(), STANDARD.encode(payload).into()),
            (Self::Text, Some(payload)) => match text(payload) {
                Some(text) => (named(), text),
                None => (Some(Cow::Borrowed(BINARY_EVENT)), STANDARD.encode(payload).into()),
            },
        };
        Outgoing { event, data, tags: Vec::new() }
    }
}

impl FromStr for PayloadMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "there is no such payload mode (there are: {})",
                    Self::ALL.map(Self::as_str).join(", ")
                ),
            )
        })
    }
}

/// Whether an application may give an event this name: not the hub's own (`tidewater.*`), nor `error` and `open`,
/// which an `EventSource` fires itself.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("tidewater.") || name == "error" || name == "open"
}

fn text(payload: &Bytes) -> Option<Data> {
    if payload.first() == Some(&0) { None } else { Data::shared(payload.clone()) }
}

/// A tombstone's data: the key whose value is gone.
fn key(message: &Message, mode: PayloadMode) -> Data {
    match &message.key {
        None => Data::default(),
        Some(key) if mode == PayloadMode::Base64 => STANDARD.encode(key).into(),
        Some(key) => text(key).unwrap_or_else(|| STANDARD.encode(key).into()),
    }
}

fn envelope(message: &Message) -> String {
    let mut object = serde_json::Map::new();
    object.insert("topic".into(), message.topic.as_str().into());
    object.insert("partition".into(), message.partition.into());
    match &message.position {
        Position::Offset(offset) => object.insert("offset".into(), (*offset).into()),
        Position::Opaque(id) => put(&mut object, "id", Some(id.as_bytes())),
    };
    put(&mut object, "key", message.key.as_ref());
    let millis = message
        .timestamp
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_millis() as u64);
    object.insert("timestamp".into(), millis.into());
    let headers = message.headers.iter().map(|header| match std::str::from_utf8(&header.value) {
        Ok(value) => json!({ "name": &*header.name, "value": value }),
        Err(_) => json!({ "name": &*header.name, "value_base64": STANDARD.encode(&header.value) }),
    });
    object.insert("headers".into(), headers.collect::<Vec<_>>().into());
    put(&mut object, "payload", message.payload.as_ref());
    serde_json::Value::Object(object).to_string()
}

fn put(
    object: &mut serde_json::Map<String, serde_json::Value>,
    name: &str,
    bytes: Option<&Bytes>,
) -> Option<serde_json::Value> {
    match bytes.map(|bytes| std::str::from_utf8(bytes)) {
        None => object.insert(name.into(), serde_json::Value::Null),
        Some(Ok(text)) => object.insert(name.into(), text.into()),
        Some(Err(_)) => object
            .insert(format!("{name}_base64"), STANDARD.encode(bytes.map_or(&[][..], |bytes| bytes)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    fn message(payload: &'static [u8]) -> Message {
        Message::new("t", payload).with_key("k")
    }

    #[test]
    fn text_goes_out_as_it_is() {
        let event = PayloadMode::Text.render(&message(b" a\r\nb"));
        assert_eq!((event.event, event.data.as_str()), (None, " a\r\nb"));
    }

    #[test]
    fn what_is_not_text_goes_out_as_binary() {
        for payload in [&b"\xff\xfe"[..], b"\0\0\0\0\x01abc"] {
            let event = PayloadMode::Text.render(&message(payload));
            assert_eq!(event.event.as_deref(), Some(BINARY_EVENT));
            assert_eq!(STANDARD.decode(event.data.as_str()).unwrap(), payload);
        }
    }

    #[test]
    fn the_header_names_the_event() {
        let named = message(b"x")
            .with_headers([("tidewater-event", "a"), ("ce_type", "b")].into_iter().collect::<Headers>());
        assert_eq!(PayloadMode::Text.render(&named).event.as_deref(), Some("a"));
        assert_eq!(
            PayloadMode::Base64
                .render_with(&named, &EventFrom::Header("ce_type".to_owned()))
                .event
                .as_deref(),
            Some("b")
        );
    }

    #[test]
    fn a_tombstone_carries_its_key() {
        let gone = Message { payload: None, ..message(b"") };
        let event = PayloadMode::Text.render(&gone);
        assert_eq!((event.event.as_deref(), event.data.as_str()), (Some(TOMBSTONE_EVENT), "k"));
        let envelope: serde_json::Value =
            serde_json::from_str(PayloadMode::Envelope.render(&gone).data.as_str()).unwrap();
        assert!(envelope["payload"].is_null() && envelope["key"] == "k", "{envelope}");
    }

    #[test]
    fn an_envelope_is_exact() {
        let message = Message { key: Some(Bytes::from_static(b"\xff")), ..message(b"a\r\nb") };
        let envelope: serde_json::Value =
            serde_json::from_str(PayloadMode::Envelope.render(&message).data.as_str()).unwrap();
        assert_eq!(envelope["payload"], "a\r\nb");
        assert_eq!(envelope["key_base64"], "/w==");
        assert_eq!((&envelope["topic"], &envelope["offset"]), (&json!("t"), &json!(0)));
    }
}
