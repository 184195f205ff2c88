//! What the end-to-end tests share: gateways, brokers, producers of another make, browsers, and the oracle.
//!
//! ```no_run
//! use tidewater_tests::{Gateway, SseClient, kafka};
//!
//! # async fn run() -> anyhow::Result<()> {
//! let topic = kafka::Topic::create("orders", 4).await?;
//! let gateway = Gateway::new("warp").channel("orders", &topic.url()).start().await?;
//! let mut client = SseClient::connect(gateway.address(), "/channels/orders", None).await?;
//! topic.produce(0, ["hello"]).await?;
//! # Ok(()) }
//! ```
//!
//! Everything here stands outside the product: the gateway is a process, clients are sockets or a real browser, and
//! what is produced comes from programs of another make (kcat for Kafka, a few lines of the NATS protocol written by
//! hand), so that a mistake that both ends of Tidewater share would still be seen. Of the product only the codec and
//! the cursor's text form are used, which have test suites of their own.

pub mod browser;
mod cases;
mod client;
pub mod env;
mod gateway;
pub mod http;
pub mod kafka;
mod kafka_admin;
#[cfg(feature = "kafka")]
mod kafka_cluster;
mod kafka_server;
#[cfg(feature = "kafka")]
mod kafka_transactions;
pub mod nats;
mod nats_client;
mod nats_server;
mod nats_wire;
pub mod npm;
mod oracle;
mod output;
mod pipe;
mod ports;
mod process;
#[cfg(feature = "tls")]
mod proxy;
#[cfg(feature = "kafka")]
pub mod secure_kafka;
#[cfg(feature = "nats")]
pub mod secure_nats;
mod source;
mod wait;

pub use cases::Case;
pub use client::{Event, SseClient};
pub use gateway::{Gateway, GatewayBuilder};
#[cfg(feature = "kafka")]
pub use kafka_cluster::KafkaCluster;
pub use kafka_server::KafkaServer;
#[cfg(feature = "kafka")]
pub use kafka_transactions::Transactions;
pub use nats_server::NatsServer;
pub use nats_wire::Producer as NatsProducer;
pub use oracle::{Holes, Offset, Oracle};
pub use pipe::{Pipe, PipeBuilder};
pub use ports::free_port;
#[cfg(feature = "tls")]
pub use proxy::{Make, Proxy, ProxyBuilder};
pub use source::{Broker, Feed, Record};
pub use wait::{PATIENCE, eventually, heavy, repeat, seed};
