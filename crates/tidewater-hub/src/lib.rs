//! The hub: one upstream subscription fanned out to any number of SSE clients, with exact resume.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use futures_util::StreamExt as _;
//! use tidewater_core::Message;
//! use tidewater_hub::{Hub, Resume, Select};
//!
//! let hub = Hub::new();
//! let demo = hub.channel("demo").source("memory:hub-doc").sink("memory:hub-doc").open()?;
//!
//! let mut stream = demo.stream(Resume::default(), Select::all()).await;
//! let first = stream.next().await.unwrap();
//! assert!(first.starts_with(b"retry: 2000\nevent: tidewater.cursor\ndata:\nid: "));
//!
//! let published = demo.publish(Message::new("demo", "hello")).await?;
//! let event = stream.next().await.unwrap();
//! assert_eq!(event, format!("data: hello\nid: {}\n\n", published.id.unwrap()));
//! # Ok::<(), tidewater_core::Error>(()) }).unwrap();
//! ```
//!
//! The way of a message through this crate:
//!
//! ```text
//! Source ─> upstream ─> render (map, encode once) ─> log ─> waiters (who wants it) ─> EventStream ─> wire bytes
//!                                                     └─ too old ─> backfill (readers) ─┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `hub`, `channel`, `builder`, `settings` | what an application touches |
//! | `upstream` | upstream subscriptions, the channels that share one, and whether one that says nothing is still there |
//! | `retry` | when a client that is sent away is to come back |
//! | `render`, `wire` | from messages to frames, and the hub's own blocks |
//! | `log` | the bounded log, what lies in it, and the newest message of each key: pure |
//! | `select` | what a client wants, whom a message wakes, and whose time is over: pure |
//! | `state` | log and waiters under one lock |
//! | `status`, `counts` | how a channel is, and what it counts for that |
//! | `encoding` | what batches become in gzip and zstd, once for all clients |
//! | `resume` | where a client starts, how far back it may go, and what it gets on its own path: pure, but for what has to be asked |
//! | `ask` | what the source is asked while a client waits |
//! | `backfill` | readers of the past, shared by clients |
//! | `stream` | one client, from its first block to its end |
//! | `model` | tests only: a model that holds all of it to I1 to I6, and faults that it has to notice |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ask;
mod backfill;
mod builder;
mod channel;
mod counts;
mod encoding;
mod hub;
mod log;
#[cfg(test)]
mod model;
mod render;
mod resume;
mod retry;
mod select;
mod settings;
mod spans;
mod state;
mod status;
mod stream;
mod upstream;
mod wire;

pub use builder::{ChannelBuilder, IntoSink, IntoSource};
pub use channel::{Channel, Published};
pub use encoding::Encoding;
pub use hub::Hub;
pub use log::LogBounds;
pub use resume::Resume;
pub use select::{Pattern, Select};
pub use settings::{AllowedReplay, LagPolicy, MapFailure, Prewarm, UnknownLagPolicy};
pub use status::{Gaps, Lag, Status, UpstreamState};
pub use stream::{Begins, Ended, Ending, EventStream, OnEnd};
