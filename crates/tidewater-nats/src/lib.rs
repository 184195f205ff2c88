//! NATS subjects and JetStream streams as Tidewater sources and sinks.
//!
//! ```no_run
//! // Every message on orders.>, from now on; whoever was away has missed what was sent meanwhile.
//! let live = tidewater_core::plugin::open_source("nats://localhost:4222/orders.>")?;
//! // The stream ORDERS, of it the subjects orders.eu.*; replayable.
//! let kept = tidewater_core::plugin::open_source("jetstream://localhost:4222/ORDERS/orders.eu.*")?;
//! # Ok::<(), tidewater_core::Error>(())
//! ```
//!
//! | URL | source | sink |
//! |---|---|---|
//! | `nats://host:4222,host2/subject` | [`NatsSource`]: at most once, nothing to go back to | [`NatsSink`] |
//! | `jetstream://host:4222/STREAM/subject` | [`JetStreamSource`]: replayable; a subject, if given, is a filter | [`JetStreamSink`] |
//!
//! Parameters say how to be let in: `?creds=FILE`, `?nkey=${SEED}`, `?token=${TOKEN}`, `?user=me&password=${PASSWORD}`,
//! `?tls_ca=FILE`; [`NatsConfig`] has them all, and is the way without a URL. A `${NAME}` is an environment variable, so
//! no secret has to stand in a URL; what could be one is never shown. Subjects are written as they are (`>` and `*`
//! too) or percent-encoded.
//!
//! NATS has no keys: a message's key goes in the header [`KEY_HEADER`], both ways. Header values are text without
//! line breaks, and white space around them is lost on the way: that is NATS' format.
//!
//! It is built on [`async_nats`]. (The crate `nats` is the same project's older, synchronous client; its authors have
//! deprecated it in favour of `async-nats`.)

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod connect;
mod convert;
mod core_source;
mod error;
mod jetstream;
mod link;
mod names;
mod refusal;
mod sink;

use std::sync::Arc;

use tidewater_core::{Capabilities, Plugin, inventory};

pub use self::{
    config::NatsConfig,
    convert::KEY_HEADER,
    core_source::NatsSource,
    jetstream::{JetStreamSink, JetStreamSource},
    sink::NatsSink,
};

/// The kind of the core NATS source, as its tags are made from.
pub const NATS: &str = "nats";

/// The kind of the JetStream source, as its tags are made from.
pub const JETSTREAM: &str = "jetstream";

inventory::submit! {
    Plugin {
        name: NATS,
        schemes: &[NATS],
        about: "NATS subjects: at most once, live only",
        example: "nats://localhost:4222/orders.>",
        capabilities: core_source::CAPABILITIES,
        source: Some(|url| Ok(Arc::new(NatsSource::open(url)?))),
        sink: Some(|url| Ok(Arc::new(NatsSink::open(url)?))),
    }
}

inventory::submit! {
    Plugin {
        name: JETSTREAM,
        schemes: &[JETSTREAM],
        about: "a JetStream stream, or the subjects of it that a filter matches",
        example: "jetstream://localhost:4222/ORDERS/orders.eu.*",
        capabilities: Capabilities { replay: true, from_time: true, partitioned: false, mergeable: true },
        source: Some(|url| Ok(Arc::new(JetStreamSource::open(url)?))),
        sink: Some(|url| Ok(Arc::new(JetStreamSink::open(url)?))),
    }
}
