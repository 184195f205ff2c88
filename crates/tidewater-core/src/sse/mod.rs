//! The `text/event-stream` wire codec: the one encoder and the one decoder of the workspace.
//!
//! ```
//! use bytes::BytesMut;
//! use tidewater_core::sse::{Decoder, EventName, Frame};
//!
//! let name = EventName::from_static("price");
//! let mut wire = BytesMut::new();
//! Frame::new().event(&name).data("first line\nsecond line").id("42").encode_into(&mut wire)?;
//! assert_eq!(&wire[..], b"event: price\ndata: first line\ndata: second line\nid: 42\n\n");
//!
//! let mut decoder = Decoder::new();
//! decoder.feed(&wire);
//! let event = decoder.next_event()?.expect("the whole event was fed");
//! assert_eq!(event.event_type, "price");
//! assert_eq!(event.data, "first line\nsecond line");
//! assert_eq!(event.last_event_id, "42");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both halves are pure: no I/O, no clock, no hidden queue.
//!
//! Encoding is safe against forged events by construction. Payloads may hold anything: CR, LF and CRLF
//! each end a `data` line, as a parser would read them. Names and ids are one line by definition, so
//! one that holds CR, LF or NUL is refused. What is *reserved* among names is not the codec's business.
//! A frame splits into a head ([`encode_head_into`]) and a tail ([`encode_id_into`]), so that one encoded
//! payload can go out under several ids.
//!
//! Decoding follows the WHATWG HTML standard, §9.2.5 (parsing) and §9.2.6 (interpretation), to the letter,
//! for any chunking, in linear time and within [`Limits`]. One rule is taken from what browsers do and the web
//! platform tests assert: the last event id outlives its connection ([`Decoder::restart`]), although the text
//! gives each stream an empty id buffer.

mod block;
#[cfg(feature = "codec")]
mod codec;
mod decode;
mod encode;
mod error;
mod event;
mod input;
#[cfg(feature = "json")]
mod json;
mod name;
mod parse;
mod stream;
mod text;

pub use decode::Decoder;
pub use encode::{
    Frame, encode_comment_into, encode_data_into, encode_end_into, encode_event_id_into, encode_event_into,
    encode_head_into, encode_id_into, encode_retry_into,
};
pub use error::{DecodeError, EncodeError, Field, StreamError};
pub use event::{Event, EventRef, Item, Limits};
#[cfg(feature = "json")]
pub use json::JsonError;
pub use name::{EventId, EventName};
pub use stream::{DecodeStream, decode_stream};
pub use text::Utf8Bytes;
