//! The contracts of Tidewater: what a message is, where a client stands, what a source and a sink do,
//! how plugins are found, and how events are written to the wire.
//!
//! Nothing in this crate knows a broker, a web framework or HTTP. The way of the data:
//!
//! ```text
//! broker ── Source ──> Message ──> (map, encode, log, subscriber: the hub) ──> browser
//! browser ── POST ──> (web adapter) ──> Sink ──> broker
//! ```
//!
//! | to … | see |
//! |---|---|
//! | write a source or a sink | [`Source`], [`Sink`], [`ExactlyOnce`], [`Plugin`] |
//! | open one by its URL | [`plugin::open_source`], [`plugin::open_sink`] |
//! | read or write a resume id | [`Cursor`] |
//! | encode or decode `text/event-stream` | [`sse`] |
//! | try without a broker | [`memory`] |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod combined;
pub mod cursor;
mod epoch;
mod error;
mod event_from;
mod exactly_once;
mod following;
pub mod memory;
mod message;
pub mod payload;
pub mod plugin;
mod position;
mod share;
mod sink;
mod source;
pub mod sse;
mod topic;

pub use combined::Combined;
pub use cursor::{Cursor, CursorError, Next, TopicCursor};
pub use epoch::{Epoch, EpochTag};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event_from::EventFrom;
pub use exactly_once::{ExactlyOnce, MAX_WRITER_ID, Transfer, check_writer_id};
pub use message::{Header, Headers, Message};
pub use payload::{Outgoing, PayloadMode};
pub use plugin::{Plugin, SourceUrl};
pub use position::{MAX_OPAQUE_BYTES, OpaqueId, Position};
pub use share::ShareKey;
pub use sink::{Place, Receipt, Sink};
pub use source::{
    Bounds, Capabilities, Deliveries, Delivery, Gap, GapReason, NewEpoch, Source, Start, Subscribed,
    Subscription, TopicBounds,
};
pub use topic::{TopicName, TopicTag};

pub use inventory;
