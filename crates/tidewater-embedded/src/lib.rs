//! A durable log in one process: a source and a sink over a folder, without a broker.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use futures_util::StreamExt as _;
//! use tidewater_core::{Delivery, Message, Sink as _, Source as _, Subscription};
//! use tidewater_embedded::{EmbeddedLog, Settings};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("orders");
//! let log = EmbeddedLog::open(&path, Settings::default())?;
//! log.sink().send(Message::new("", "hello")).await?; // on the disk when this resolves
//!
//! let mut subscribed = log.source().subscribe(Subscription::earliest()).await?;
//! let Some(Ok(Delivery::Message(message))) = subscribed.deliveries.next().await else { panic!() };
//! assert_eq!(message.payload.as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), tidewater_core::Error>(()) }).unwrap();
//! ```
//!
//! One path is one topic with one partition, offsets from 0 on. Its epoch and its name stand in the folder, so ids stay
//! good over restarts, and when the folder is moved. What [`send`](tidewater_core::Sink::send) has answered survives the
//! end of the process, however it ends; what survives the end of the machine is what [`SyncPolicy`] says.
//!
//! One process has a folder open at a time; in that process, whatever opens the same path shares one store.
//!
//! A thread of its own writes: it takes all that waits, writes it as one batch, has it synced, and answers all. Readers
//! take the newest from memory, and older messages in pages from the disk, off the runtime's threads.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod exactly_once;
mod failure;
mod log;
mod requests;
mod settings;
mod sink;
mod source;
mod store;
mod tail;
mod writer;

use std::sync::Arc;

use tidewater_core::{Capabilities, Plugin, inventory};

pub use self::{
    log::EmbeddedLog,
    settings::{Retain, Settings, SyncPolicy},
    sink::EmbeddedSink,
    source::EmbeddedSource,
};

/// The kind of source, as its tags are made from.
pub const KIND: &str = "embedded";

/// The largest message, in bytes of key, headers, payload and the name of its topic together: 32 MiB.
pub const MAX_MESSAGE: usize = 32 << 20;

const CAPABILITIES: Capabilities =
    Capabilities { replay: true, from_time: true, partitioned: false, mergeable: true };

inventory::submit! {
    Plugin {
        name: KIND,
        schemes: &[KIND],
        about: "a durable log in a folder, for one process",
        example: "embedded:./data?retain_bytes=1GiB&retain_age=7days&sync=always",
        capabilities: CAPABILITIES,
        source: Some(|url| Ok(Arc::new(EmbeddedLog::from_url(url)?.source()))),
        sink: Some(|url| Ok(Arc::new(EmbeddedLog::from_url(url)?.sink()))),
    }
}
