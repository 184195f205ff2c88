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
//! | `render`, `wire` | from messages to frames, and the hub's own blocks |
//! | `frame`, `log` | the bounded log: pure |
//! | `latest`, `conflate` | the newest message of each key, and a client that gets only these: pure |
//! | `resume`, `walk` | where a client starts, and what it gets on its own path: pure |
//! | `select`, `pattern`, `index`, `waiters` | what a client wants, and whom a message wakes: pure |
//! | `state` | log and waiters under one lock |
//! | `limit` | how far back clients may go in time |
//! | `backfill` | readers of the past, shared by clients |
//! | `open`, `stream` | one client: how it begins, and how it goes on |
//! | `model`, `broken` | tests only: a model that holds all of it to I1 to I6, and faults that it has to notice |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backfill;
#[cfg(test)]
mod broken;
mod builder;
mod channel;
mod conflate;
mod frame;
mod hub;
mod index;
mod latest;
mod limit;
mod log;
#[cfg(test)]
mod model;
mod open;
mod pattern;
mod render;
mod resume;
mod select;
mod settings;
mod state;
mod status;
mod stream;
mod upstream;
mod waiters;
mod walk;
mod wire;

pub use builder::{ChannelBuilder, IntoSink, IntoSource};
pub use channel::{Channel, Published};
pub use hub::Hub;
pub use log::LogBounds;
pub use resume::Resume;
pub use select::Select;
pub use settings::{AllowedReplay, LagPolicy, MapFailure, Prewarm, UnknownLagPolicy};
pub use status::{Status, UpstreamState};
pub use stream::EventStream;
