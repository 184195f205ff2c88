//! From a broker to the clients of a gateway, and to one bare consumer of the same broker.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};

use super::{
    measured::Measured,
    server::{self, Programs},
    workload::Run,
};
use crate::{
    apt,
    bench::gateway::Gateway,
    process,
    services::{self, Name, State},
};

/// The parts of the workload that are Kafka's; the others are JetStream's.
const KAFKA: &str = "Kafka";
/// The parts that have no gateway in between.
const BARE: &str = "bare consumer";
const KCAT: &str = "kcat";
const CHANNEL: &str = "events";

/// Brokers that run, and the gateway's binary.
pub(super) struct Brokers {
    gateway: PathBuf,
    state: State,
    started: Vec<Name>,
}

impl Brokers {
    /// Starts what doesn't run yet.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub(super) fn up() -> Result<Self> {
        if process::find(KCAT).is_none() {
            ensure!(apt::usable(), "kcat, Kafka's bare consumer, is not on PATH: sudo apt-get install kcat");
            apt::install(&[KCAT])?;
        }
        let gateway = super::super::build(true)?;
        let up = services::up(&Name::ALL)?;
        Ok(Self { gateway, state: up.state, started: up.started })
    }

    /// Stops what was started.
    pub(super) fn down(&self) -> Result<()> {
        services::stop(&self.started)
    }

    /// What runs.
    pub(super) fn versions(&self) -> Vec<String> {
        let kafka = self.state.kafka.as_ref().map(|kafka| format!("Kafka {}", kafka.version));
        let nats = self.state.nats.as_ref().map(|nats| format!("nats-server {}", nats.version));
        kafka.into_iter().chain(nats).collect()
    }

    /// One run, on a topic of its own.
    pub(super) fn measure(&self, programs: &Programs, run: &Run) -> Result<Measured> {
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let topic = format!("bench-fanout-{}-{}", std::process::id(), TOPICS.fetch_add(1, Ordering::Relaxed));
        let (source, to) = if run.part.starts_with(KAFKA) {
            services::create_topic(&self.state, &topic, 1)?;
            let port = self.state.kafka.as_ref().context("no Kafka runs")?.port;
            let url = format!("kafka://127.0.0.1:{port}/{topic}");
            (url.clone(), url)
        } else {
            services::create_stream(&self.state, &topic, &[&format!("{topic}.>")])?;
            let port = self.state.nats.as_ref().context("no NATS runs")?.port;
            (
                format!("jetstream://127.0.0.1:{port}/{topic}"),
                format!("nats://127.0.0.1:{port}/{topic}.events"),
            )
        };
        let mut load = programs.program("load");
        load.args(["--broker", &to, "--clients", &run.load.clients.to_string()]);
        load.args(["--events", &run.load.events.to_string()]);
        load.args(["--rate", &run.load.rate.unwrap_or(1).to_string()]);
        if run.part.ends_with(BARE) {
            return server::read(programs, load.arg("--bare"));
        }
        let channels = [(CHANNEL.to_owned(), source)];
        let gateway = Gateway::start(&self.gateway, "fanout-gateway", &channels, false)?;
        load.args(["--address", &gateway.address(), "--path", &format!("/channels/{CHANNEL}")]);
        load.args(["--pid", &gateway.id().to_string()]);
        server::read(programs, &mut load)
    }
}
