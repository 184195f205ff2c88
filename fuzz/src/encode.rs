//! What is encoded is read back, and nothing else; what cannot be framed is refused.
//!
//! The input is a [`Feeding`] for the decoder, and frames of any fields: [`Fields`].

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use tidewater_core::sse::{Decoder, EventName, Frame, Limits};

use crate::{
    feeding::{Feeding, Taking},
    literal,
    reading::{Item, Reading},
};

/// The fields of a frame, whatever they hold.
#[derive(Arbitrary, Clone, Debug, Default)]
pub struct Fields {
    /// Of any lines.
    pub comment: Option<Text>,
    /// In milliseconds.
    pub retry: Option<u64>,
    /// Refused if it is empty or holds CR, LF or NUL.
    pub event: Option<Text>,
    /// Of any lines.
    pub data: Option<Text>,
    /// Refused if it holds CR, LF or NUL.
    pub id: Option<Text>,
}

/// A text of at most 255 bytes: its length in one byte, then its bytes. `String`'s own form has lengths at the end of
/// the input, where a seed could not put them.
#[derive(Clone, Debug, Default)]
pub struct Text(pub String);

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let length = usize::from(u8::arbitrary(u)?).min(u.len());
        u.bytes(length).map(|bytes| Self(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// Encodes frames one behind the other, and reads them with the decoder and by the standard's text.
///
/// # Panics
/// If a client would see anything but these fields, or a frame is refused that need not be, or the reverse.
pub fn check(input: &[u8]) {
    let mut rest = input;
    let Some(feeding) = Feeding::take(&mut rest) else { return };
    let mut frames = Unstructured::new(rest);
    let mut wire = BytesMut::new();
    let mut wanted = Reading::default();
    while !frames.is_empty() {
        // All kinds of it can be made of what is there.
        let Ok(fields) = Fields::arbitrary(&mut frames) else { return };
        let before = wire.len();
        let encoded = fields.encode_into(&mut wire);
        assert_eq!(encoded, fields.can_be_framed(), "{fields:?}");
        if encoded {
            fields.expect(&mut wanted);
        } else {
            assert_eq!(wire.len(), before, "a refused frame left something behind: {fields:?}");
        }
    }

    let wire: Bytes = wire.freeze();
    assert_eq!(literal::read(&wire, &Reading::default()), wanted, "the standard's text, of {wire:?}");
    let (found, error) = feeding.read(&mut Decoder::new(), Limits::default(), &wire, Taking::Items);
    assert_eq!(error, None, "an error far below the limits");
    assert_eq!(found, wanted, "the decoder, of {wire:?}");
}

impl Fields {
    /// Whether it was encoded.
    fn encode_into(&self, out: &mut BytesMut) -> bool {
        let name = self.event.as_ref().map(|Text(name)| EventName::new(name)).transpose();
        let Ok(name) = name else { return false };
        let mut frame = Frame::new();
        if let Some(Text(comment)) = &self.comment {
            frame = frame.comment(comment);
        }
        if let Some(millis) = self.retry {
            frame = frame.retry(millis);
        }
        if let Some(name) = &name {
            frame = frame.event(name);
        }
        if let Some(Text(data)) = &self.data {
            frame = frame.data(data);
        }
        if let Some(Text(id)) = &self.id {
            frame = frame.id(id);
        }
        frame.encode_into(out).is_ok()
    }

    fn can_be_framed(&self) -> bool {
        let one_line = |text: &Text| !text.0.contains(['\r', '\n', '\0']);
        self.event.as_ref().is_none_or(|name| !name.0.is_empty() && one_line(name))
            && self.id.as_ref().is_none_or(one_line)
    }

    /// Adds what a client is to see of it: at most one event.
    fn expect(&self, wanted: &mut Reading) {
        if let Some(Text(comment)) = &self.comment {
            let with_space = |line: &&str| if line.is_empty() { String::new() } else { format!(" {line}") };
            wanted.items.extend(all_lines(comment).iter().map(with_space).map(Item::Comment));
        }
        if let Some(millis) = self.retry {
            wanted.items.push(Item::Retry(millis));
            wanted.retry = Some(millis);
        }
        if let Some(Text(id)) = &self.id {
            wanted.last_event_id.clone_from(id);
        }
        if let Some(Text(data)) = &self.data {
            wanted.items.push(Item::Event {
                event_type: self.event.clone().map_or_else(|| "message".to_owned(), |Text(name)| name),
                data: all_lines(data).join("\n"),
                last_event_id: wanted.last_event_id.clone(),
            });
        }
    }
}

/// The lines of a text, the one after the last line end too.
fn all_lines(text: &str) -> Vec<&str> {
    let mut lines = literal::lines(text);
    lines.push(text.rsplit(['\r', '\n']).next().unwrap_or(text));
    lines
}
