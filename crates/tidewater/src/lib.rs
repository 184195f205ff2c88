//! Tidewater brings broker topics to browsers: Kafka topics, NATS subjects and JetStream streams as
//! `text/event-stream`, through axum, warp, rocket and salvo, with exact resume.
//!
//! A Kafka topic in a warp application, each user with the messages of their own key (features `kafka` and `warp`):
//!
#![cfg_attr(all(feature = "kafka", feature = "warp"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "kafka", feature = "warp")), doc = "```ignore")]
//! use tidewater::{Hub, Select};
//! use warp::Filter;
//!
//! #[tokio::main]
//! async fn main() -> tidewater::Result<()> {
//!     let hub = Hub::new();
//!     let orders = hub.channel("orders").source("kafka://localhost:9092/orders").open()?;
//!     let events = warp::path!("users" / String / "events")
//!         .and(tidewater::warp::resume())
//!         .then(move |user: String, resume| {
//!             let orders = orders.clone();
//!             async move { tidewater::warp::reply(orders.stream(resume, Select::key(user)).await) }
//!         })
//!         .recover(tidewater::warp::recover);
//!     let stop = tidewater::warp::graceful(&hub, async { drop(tokio::signal::ctrl_c().await) });
//!     warp::serve(events).bind(([127, 0, 0, 1], 8080)).await.graceful(stop).run().await;
//!     Ok(())
//! }
//! ```
//!
//! On the page: `new EventSource("/users/7/events")`. Whenever it reconnects, to this node or to another one, it gets
//! exactly what it has not seen, or one `tidewater.gap` event that says what is missing and why.
//!
//! | feature | adds |
//! |---|---|
//! | | the `memory:` source and sink, and [`http::Endpoint`], a `tower::Service`, which plain hyper mounts as it is |
//! | `kafka` | `kafka://` |
//! | `nats` | `nats://` and `jetstream://` |
//! | `embedded` | `embedded:`, a durable log in a folder, for one process: `tidewater::embedded` |
//! | `direct` | `tidewater::direct`: a server of its own, whose streams cost what the kernel costs, beside any hyper or tower service |
//! | `direct-tls` | `direct` with TLS and HTTP/2 |
//! | `axum` | `tidewater::axum` |
//! | `warp` | `tidewater::warp` |
//! | `rocket` | `tidewater::rocket` |
//! | `salvo` | `tidewater::salvo` |
//! | `sse` | `tidewater::client`, an `EventSource` for Rust, and `sse+http://` as a source |
//! | `sse-tls` | `sse` over TLS too: `https://` and `sse+https://` |
//! | `jwt` | [`http::Endpoint::authorize`] by JSON Web Tokens: `tidewater::http::jwt` |
//! | `jwks` | `jwt`, with keys that an issuer answers at a URL |
//! | `authorize-url` | `tidewater::http::AuthorizeUrl`: an application is asked who may do what |
//! | `gzip` | streams in gzip, for clients that ask for it, on channels that allow it |
//! | `zstd` | the same in zstd |
//! | `json` | events from and to JSON, by serde |
//! | `codec` | `sse::Decoder` as one of `tokio_util`, for `FramedRead` |
//! | `full` | all of them |
//!
//! This crate holds nothing of its own: it names what the features choose, and links it.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), deny(unused_crate_dependencies))]

pub use tidewater_core::{
    Bounds, Capabilities, Combined, Cursor, CursorError, Deliveries, Delivery, Epoch, EpochTag, Error,
    ErrorKind, EventFrom, ExactlyOnce, Gap, GapReason, Header, Headers, MAX_OPAQUE_BYTES, MAX_WRITER_ID,
    Message, NewEpoch, Next, OpaqueId, Outgoing, PayloadMode, Place, Plugin, Position, Receipt, Result,
    Retry, ShareKey, Sink, Source, SourceUrl, Start, Subscribed, Subscription, TopicBounds, TopicCursor,
    TopicName, TopicTag, Transfer, check_writer_id, cursor, inventory, memory, payload, plugin, sse,
};
pub use tidewater_hub::{
    AllowedReplay, Begins, Channel, ChannelBuilder, Encoding, Ended, Ending, EventStream, Gaps, Hub,
    IntoSink, IntoSource, Lag, LagPolicy, LogBounds, MapFailure, OnEnd, Pattern, Prewarm, Published, Resume,
    Select, Status, UnknownLagPolicy, UpstreamState,
};

#[cfg(feature = "axum")]
pub use tidewater_axum as axum;
pub use tidewater_core as core;
#[cfg(feature = "direct")]
pub use tidewater_direct as direct;
#[cfg(feature = "embedded")]
pub use tidewater_embedded as embedded;
pub use tidewater_http as http;
pub use tidewater_hub as hub;
#[cfg(feature = "kafka")]
pub use tidewater_kafka as kafka;
#[cfg(feature = "nats")]
pub use tidewater_nats as nats;
#[cfg(feature = "rocket")]
pub use tidewater_rocket as rocket;
#[cfg(feature = "salvo")]
pub use tidewater_salvo as salvo;
#[cfg(feature = "sse")]
pub use tidewater_sse as client;
#[cfg(feature = "warp")]
pub use tidewater_warp as warp;

// A crate that nothing refers to is never linked, and its plugins would not be there.
#[cfg(feature = "embedded")]
extern crate tidewater_embedded as _;
#[cfg(feature = "kafka")]
extern crate tidewater_kafka as _;
#[cfg(feature = "nats")]
extern crate tidewater_nats as _;
#[cfg(feature = "sse")]
extern crate tidewater_sse as _;

// What the error for an unknown scheme says when a feature would know it.
inventory::submit! {
    plugin::SchemeHint { scheme: "kafka", advice: "enable the feature \"kafka\" of the crate tidewater" }
}
inventory::submit! {
    plugin::SchemeHint { scheme: "nats", advice: "enable the feature \"nats\" of the crate tidewater" }
}
inventory::submit! {
    plugin::SchemeHint { scheme: "embedded", advice: "enable the feature \"embedded\" of the crate tidewater" }
}
inventory::submit! {
    plugin::SchemeHint { scheme: "sse+http", advice: "enable the feature \"sse\" of the crate tidewater" }
}
inventory::submit! {
    plugin::SchemeHint { scheme: "sse+https", advice: "enable the feature \"sse-tls\" of the crate tidewater" }
}
inventory::submit! {
    plugin::SchemeHint { scheme: "jetstream", advice: "enable the feature \"nats\" of the crate tidewater" }
}
