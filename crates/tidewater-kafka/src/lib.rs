//! Apache Kafka as a Tidewater source and sink.
//!
//! ```no_run
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use futures_util::StreamExt as _;
//! use tidewater_core::{Source as _, Subscription};
//! use tidewater_kafka::KafkaConfig;
//!
//! let source = KafkaConfig::new("localhost:9092", ["orders"])?.with_property("client.id", "web")?.source();
//! let mut subscribed = source.subscribe(Subscription::latest()).await?;
//! println!("from {}", subscribed.start);
//! while let Some(delivery) = subscribed.deliveries.next().await {
//!     println!("{:?}", delivery?);
//! }
//! # Ok::<(), tidewater_core::Error>(()) }).unwrap();
//! ```
//!
//! As a plugin it answers to `kafka://a:9092,b:9092/topic1,topic2?property=value`. Properties are librdkafka's own
//! ([the list](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)); those that would break
//! what this crate promises are refused by name, with the reason.
//!
//! # What it does, and why
//!
//! - **No group is joined, nothing is committed.** librdkafka wants a `group.id` before it assigns partitions (the
//!   default is `tidewater`), so only the topic rights Read and Describe are needed. A look-up of the group's
//!   coordinator that is refused is logged once.
//! - **Every partition of every topic is assigned by hand**, from a number: *latest* and *at a time* are resolved
//!   first. New partitions are found within 10 seconds and read from offset 0.
//! - **Nothing is skipped silently**: a position that the broker no longer has ends that partition
//!   (`auto.offset.reset=error`); the bounds tell what is missing, a [`Gap`](tidewater_core::Gap) says so, and it
//!   is read on from the first offset kept. Aborted transactions, transaction markers and compaction are not gaps:
//!   at the end of a partition they become [`Progress`](tidewater_core::Delivery::Progress). `isolation.level` is
//!   `read_committed`, so the end of a partition is its last stable offset.
//! - **A topic that is removed and made again** has another topic id. It is asked for at every start, every 10
//!   seconds, at each error, and when librdkafka itself notices: librdkafka would read on at the old offset without
//!   a word, so no message is delivered between its noticing and our own look. Should one have slipped through all
//!   the same, it is recognized when the new incarnation is read from 0, and not sent again.
//! - **Memory is bounded**: per subscription `queued.max.messages.kbytes` (8 MiB here), one response from each broker
//!   (`fetch.max.bytes`, 1 MiB here, which unfolds if it is compressed), and up to three batches of 1 MiB on their way
//!   into the stream.
//! - **Writers that write each message once** ([`Sink::exactly_once`](tidewater_core::Sink::exactly_once)) write each batch in a
//!   transaction, together with its position, which is a record in a compacted topic
//!   ([`KafkaConfig::with_positions`]).
//! - **Threads**: each subscription has a client of its own (librdkafka runs three threads for it and one per broker)
//!   and one thread that reads it. All sources of one cluster with equal properties share one client for questions,
//!   and up to four clients that wait for 30 seconds for the next subscription. Nothing here ever blocks a thread of
//!   the runtime.
//! - **Secrets**: no value of a property is in `Display`, `Debug` or an error if it may be one, and librdkafka's own
//!   words have it blotted out.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod cluster;
mod config;
mod error;
mod events;
mod positions;
mod producer;
mod properties;
mod reader;
mod settings;
mod sink;
mod source;
mod token;
mod topic;
mod topic_ids;
mod transaction;
mod writer;

use std::sync::Arc;

use tidewater_core::{Capabilities, Plugin, Result, SourceUrl};

pub use config::KafkaConfig;
pub use sink::KafkaSink;
pub use source::KafkaSource;
pub use token::{Token, TokenProvider};

/// The kind of source, as its tags are made from.
pub const KIND: &str = "kafka";

const CAPABILITIES: Capabilities =
    Capabilities { replay: true, from_time: true, partitioned: true, mergeable: true };

tidewater_core::inventory::submit! {
    Plugin {
        name: KIND,
        schemes: &[KIND],
        about: "topics of Apache Kafka 2.8 or newer",
        example: "kafka://localhost:9092/orders,payments?client.id=web",
        capabilities: CAPABILITIES,
        source: Some(|url| Ok(Arc::new(from_url(url)?.source()))),
        sink: Some(|url| Ok(Arc::new(from_url(url)?.sink()?))),
    }
}

fn from_url(url: &SourceUrl) -> Result<KafkaConfig> {
    let config = KafkaConfig::from_url(url)?;
    config.check()?;
    Ok(config)
}
