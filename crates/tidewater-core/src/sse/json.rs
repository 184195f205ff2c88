//! Events whose data is JSON.

use bytes::{BufMut, BytesMut};
use memchr::memchr2;
use serde::{Deserialize, Serialize};

use super::encode::{Frame, put_lines};
use super::error::EncodeError;
use super::event::{Event, EventRef};

/// Why a value could not be made an event.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The frame's own fields.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// What `serde_json` has against the value.
    #[error("the event's data can't be written as JSON")]
    Json(#[source] serde_json::Error),
}

impl Frame<'_> {
    /// Appends the frame with a value as its data, written straight into the buffer. Data that the frame has is left out.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use tidewater_core::sse::{EventName, Frame};
    ///
    /// let (name, mut wire) = (EventName::from_static("price"), BytesMut::new());
    /// Frame::new().event(&name).id("7").encode_json_into(&mut wire, &("EUR", 12.5))?;
    /// assert_eq!(&wire[..], b"event: price\ndata: [\"EUR\",12.5]\nid: 7\n\n");
    /// # Ok::<(), tidewater_core::sse::JsonError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Frame::encode_into`], and what `serde_json` has against the value. Then nothing is written.
    pub fn encode_json_into<T>(&self, out: &mut BytesMut, value: &T) -> Result<(), JsonError>
    where
        T: Serialize + ?Sized,
    {
        let before = out.len();
        let written = self.encode_parts_into(out, |out| put_json(out, value));
        if written.is_err() {
            out.truncate(before);
        }
        written
    }
}

impl Event {
    /// The data, read as JSON.
    ///
    /// ```
    /// # use tidewater_core::sse::Decoder;
    /// let mut decoder = Decoder::new();
    /// decoder.feed(b"data: [1, 2]\n\n");
    /// let numbers: Vec<u32> = decoder.next_event()?.expect("it is whole").json()?;
    /// assert_eq!(numbers, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What `serde_json` has against it, with the line and column within the data.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(&self.data)
    }
}

impl<'a> EventRef<'a> {
    /// [`Event::json`].
    ///
    /// # Errors
    /// Those of [`Event::json`].
    pub fn json<T: Deserialize<'a>>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.data)
    }
}

fn put_json<T: Serialize + ?Sized>(out: &mut BytesMut, value: &T) -> Result<(), JsonError> {
    const FIELD: &[u8; 6] = b"data: ";
    let field_at = out.len();
    out.extend_from_slice(FIELD);
    let at = out.len();
    serde_json::to_writer((&mut *out).writer(), value).map_err(JsonError::Json)?;
    if memchr2(b'\n', b'\r', &out[at..]).is_none() {
        out.extend_from_slice(b"\n");
    } else {
        // Line ends in strings are escaped; those between values come with JSON that was made elsewhere (`RawValue`).
        let text = out.split_off(at);
        out.truncate(field_at);
        put_lines(out, FIELD, &text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::ser::Error as _;

    use super::*;
    use crate::sse::Decoder;

    #[test]
    fn line_ends_in_strings_are_escaped_and_those_between_values_end_lines() {
        let mut wire = BytesMut::new();
        Frame::new().data("left out").encode_json_into(&mut wire, "a\r\nb").unwrap();
        assert_eq!(&wire[..], b"data: \"a\\r\\nb\"\n\n");

        let pretty: Box<serde_json::value::RawValue> = serde_json::from_str("{\r\n  \"a\": 1\n}").unwrap();
        wire.clear();
        Frame::new().encode_json_into(&mut wire, &pretty).unwrap();
        assert_eq!(&wire[..], b"data: {\ndata:   \"a\": 1\ndata: }\n\n");
        let mut decoder = Decoder::new();
        decoder.feed(&wire);
        let event = decoder.next_event_ref().unwrap().unwrap();
        assert_eq!(event.json::<serde_json::Value>().unwrap(), serde_json::json!({ "a": 1 }));
    }

    #[test]
    fn what_cannot_be_written_writes_nothing() {
        struct Never;
        impl Serialize for Never {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(S::Error::custom("never"))
            }
        }
        let mut wire = BytesMut::from(&b"before"[..]);
        let refused = Frame::new().comment("c").encode_json_into(&mut wire, &(1, Never)).unwrap_err();
        assert!(matches!(refused, JsonError::Json(_)), "{refused:?}");
        let refused = Frame::new().id("a\n").encode_json_into(&mut wire, &1).unwrap_err();
        assert!(matches!(refused, JsonError::Encode(_)), "{refused:?}");
        assert_eq!(&wire[..], b"before");
    }
}
