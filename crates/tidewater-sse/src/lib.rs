//! An `EventSource` for Rust: follows a stream of server-sent events over cuts, as browsers do.
//!
//! ```no_run
//! use futures_util::TryStreamExt;
//! use tidewater_sse::EventSource;
//!
//! # async fn run() -> Result<(), tidewater_sse::Error> {
//! let mut events = EventSource::new("http://localhost:8080/channels/demo")?.events();
//! while let Some(event) = events.try_next().await? {
//!     println!("{} {}: {}", event.last_event_id, event.event_type, event.data);
//! }
//! // The server says that there are no more (204).
//! # Ok(()) }
//! ```
//!
//! A cut, a server that restarts, a network that is away: it connects again, with the last event id, and goes on. What
//! else there is to know comes as [`Signal`]s:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use futures_util::TryStreamExt;
//! use tidewater_sse::{EventSource, NOT_NOW, Signal};
//!
//! # async fn run(stored_id: String) -> Result<(), tidewater_sse::Error> {
//! let mut source = EventSource::builder("http://localhost:8080/channels/demo")
//!     .header("authorization", "Bearer …")
//!     .last_event_id(stored_id)
//!     .read_timeout(Duration::from_secs(45))
//!     .retry_statuses(NOT_NOW)
//!     .build()?;
//! while let Some(signal) = source.try_next().await? {
//!     match signal {
//!         Signal::Open(_) => println!("connected to {}", source.url()),
//!         Signal::Event(event) => println!("{}: {}", event.event_type, event.data),
//!         Signal::Reconnecting { error, after, .. } => eprintln!("{error}; again in {after:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! It keeps to the processing model of WHATWG HTML §9.2.2 and §9.2.3, and of Fetch ("HTTP-redirect fetch") for redirects:
//!
//! | what comes | what it does |
//! |---|---|
//! | 200, `text/event-stream` | hands out events as they are complete, and reads no more than it is asked for |
//! | the end of the stream, a cut, no connection, what is no HTTP | connects again after the reconnection time, longer at each failure |
//! | `retry:` | is the reconnection time from now on, within 100 ms and an hour |
//! | `id:` | is sent as `Last-Event-ID`, in UTF-8; an empty one is not |
//! | 204 | ends |
//! | 301, 302, 303, 307, 308 | follows, up to 20 times, credentials left behind at another origin; starts at the first URL again when it reconnects |
//! | another status, another content type | ends with an error, but for statuses that were [named](Builder::retry_statuses) |
//!
//! What a browser can't do and this can: [headers](Builder::header), a [method](Builder::method) and a
//! [body](Builder::body), an id [to go on from](Builder::last_event_id), a [timeout](Builder::read_timeout) for silence,
//! [limits](Builder::limits) for what is held in memory, [comments](Signal::Comment), and
//! [connecting anew](EventSource::restart) when the application asks for it. What it can't: cookies, caches, proxies, and
//! compressed streams, which it does not ask for.
//!
//! | feature | adds |
//! |---|---|
//! | | `http://` |
//! | `tls` | `https://`, by rustls with ring; needs a C compiler |
//!
//! # Why hyper's connections
//!
//! Over what Tidewater's gateway is made of without brokers, this crate is one crate more (`iri-string`): 48 with all
//! that they need, 63 with TLS, and nothing that compiles C without it. With `reqwest` 0.13 instead it would be some 40
//! more. (`cargo tree`, normal and build dependencies on Linux: tokio with hyper's connections and hyper-util's
//! connector 31, the same with tokio-rustls 46; tokio with reqwest 71, with its `rustls-no-provider` 82, with its
//! `rustls`, which builds aws-lc, 92.) Its pool and its own redirects are of no use here: each stream has a connection
//! to itself, the rules for redirects are what has to be exact, and a connection that is polled within the stream needs
//! no task, so nothing reads ahead.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backoff;
mod builder;
mod connect;
mod error;
mod plugin;
mod request;
mod response;
mod signal;
mod source;
mod target;
#[cfg(feature = "tls")]
mod tls;

pub use builder::{Builder, NOT_NOW};
pub use error::{Error, ErrorKind};
pub use plugin::{SSE, SseSource};
pub use signal::Signal;
pub use source::{EventSource, Events, Handle};
pub use tidewater_core::sse::{Event, Limits, Utf8Bytes};
