//! The framework-neutral endpoint: a request head in, a response head and body out.
//!
//! ```no_run
//! use tidewater_http::{Cors, Endpoint};
//! use tidewater_hub::Hub;
//!
//! # async fn run() -> tidewater_core::Result<()> {
//! let channel = Hub::new().channel("orders").source("memory:orders").open()?;
//! // A `tower::Service`: plain hyper mounts it as it is.
//! let endpoint = Endpoint::new(channel).cors(Cors::origins(["https://app.example"])?);
//! # Ok(()) }
//! ```
//!
//! | request | answer |
//! |---|---|
//! | `GET` | `200`, `text/event-stream`; starts after `Last-Event-ID`, `?last_event_id=` or at `?since=`, with the selection of `?topic= ?key= ?tag= ?event=`; `?lag=` says what to do if it falls behind |
//! | `GET` with `Accept: application/json` | the channel's current cursor; opens nothing |
//! | `HEAD` | the same without the body: the cursor is in `Tidewater-Cursor` |
//! | `POST` | publishes the body, with `?key=` and `?event=`: `202`, the position and the id |
//! | `OPTIONS` | `Allow`, or the answer to a CORS preflight |
//!
//! Everything that the adapters of the web frameworks share is here, so that each of them only translates types.
//! A handler with extractors of its own takes a [`Resume`] from the request's head and makes the stream itself (the
//! *open form*): with [`Resume::open`], or with `channel.stream(resume, select)`, which is a [`Reply`] too.
//!
//! With an [`Authorizer`] ([`Endpoint::authorize`]) a request gets what it is granted, and 401 or 403 where that is nothing.
//!
//! An [`Observer`] ([`Endpoint::observe`]) is told of each answer, and of each stream when it has ended.
//!
//! Requests are spans of `tracing` at the level DEBUG; a [`Propagator`] ([`Endpoint::propagate`]) ties them to traces that go on
//! elsewhere.
//!
//! An `EventSource` gives up for good on any status but 200. So nothing about the channel's state, and nothing about
//! an id, is ever told by a status on the way to a stream; 400 is for other values of the query that can't be read, and
//! on a client's first connection for a parameter whose name is misspelled, or that the endpoint does not offer.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod address;
mod auth;
mod body;
mod cors;
mod encoding;
mod endpoint;
mod limits;
mod names;
mod observe;
mod peer;
mod publish;
mod query;
mod rejection;
mod reply;
mod resume;
mod select_by;
mod since;
mod tally;
mod trace;

use std::time::Duration;

use tidewater_hub::Hub;

pub use address::{ForwardingHeader, Proxies};
#[cfg(feature = "jwt")]
pub use auth::jwt;
pub use auth::{Action, Ask, Authorizer, Claims, Grant, Head, Refusal, Rule, Rules, Selection};
#[cfg(feature = "authorize-url")]
pub use auth::{AuthorizeUrl, AuthorizeUrlSettings};
pub use body::{Body, EventBody};
pub use cors::Cors;
pub use endpoint::Endpoint;
pub use limits::{Full, Limits, LimitsConfig, LimitsStatus, Permit, Rate, RoomStatus, Which};
pub use observe::{Answered, Exchange, Observer};
pub use peer::Peer;
pub use rejection::Rejection;
pub use reply::Reply;
pub use resume::{LAST_EVENT_ID, Resume, TIDEWATER_CURSOR};
pub use select_by::{SelectBy, UnknownSelectBy};
pub use tally::{Refused, SinkTime, Tally, TallyStatus};
pub use tidewater_hub::OnEnd;
pub use trace::Propagator;

/// How long the adapters' graceful shutdown gives streams to end.
///
/// Long enough for a browser's write to go through, well under the 30 s that orchestrators wait before they kill.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Waits for a signal, then drains the hub: when it resolves, no stream is left that a server would wait for.
///
/// What the adapters' graceful shutdown is made of. Until it resolves the server has to go on accepting, so that
/// clients that come are told when to come back.
///
/// # Cancel safety
/// Dropping it before the signal does nothing; after it, the hub stays draining.
pub async fn drained(hub: Hub, signal: impl Future<Output = ()>) {
    signal.await;
    hub.drain(DRAIN_DEADLINE).await;
}
