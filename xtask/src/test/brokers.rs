//! The brokers that the tests of a run share.

use anyhow::{Context, Result};

use super::Args;
use crate::{
    docker::{self, Compose},
    group,
    needs::{Part, Plan},
    services::{self, Name},
};

/// What runs for the tests; dropping it stops what this run started.
pub(super) struct Brokers {
    pub(super) exports: Vec<(&'static str, String)>,
    /// A line for each, with its version.
    pub(super) described: Vec<String>,
    started: Vec<Name>,
    _compose: Option<Compose>,
}

impl Brokers {
    /// Starts what the plan has and nobody has named; what does not start is struck from the plan.
    pub(super) fn provide(args: &Args, plan: &mut Plan) -> Result<Self> {
        let mut brokers =
            Self { exports: Vec::new(), described: Vec::new(), started: Vec::new(), _compose: None };
        let mut named: Vec<(&'static str, String)> = Vec::new();
        let mut missing = Vec::new();
        for name in Name::ALL {
            let (variable, _) = Compose::export(name);
            match std::env::var(variable).ok().filter(|value| !value.is_empty()) {
                Some(value) => named.push((variable, value)),
                None if plan.runs(part(name)) => missing.push(name),
                None => {}
            }
        }
        if args.docker && !missing.is_empty() {
            brokers._compose = Some(Compose::up(docker::required()?, &missing)?);
            named.extend(missing.drain(..).map(Compose::export));
        }
        let up = services::up_each(&missing)?;
        brokers.started = up.started;
        group::check_interrupted()?;
        for (name, error) in &up.failures {
            eprintln!("error: {error:#}");
            for part in [part(*name), own(*name)] {
                plan.lack(part, format!("it does not start: {error:#}"));
            }
        }
        // Addresses that were named win over those of services that happen to run.
        brokers.exports = services::exports(&up.state);
        for (name, value) in named {
            brokers.exports.retain(|(known, _)| *known != name);
            brokers.exports.push((name, value));
        }
        // Tests start nats-server by itself, and Kafka by xtask.
        if plan.runs(Part::OwnNats) && !brokers.exports.iter().any(|(name, _)| *name == "TIDEWATER_NATS") {
            match services::nats_server().context("nats-server") {
                Ok(binary) => brokers.exports.push(("TIDEWATER_NATS", binary.display().to_string())),
                Err(error) => plan.lack(Part::OwnNats, format!("{error:#}")),
            }
        }
        brokers.described = services::described(&up.state, &brokers.exports);
        Ok(brokers)
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if let Err(error) = services::stop(&self.started) {
            eprintln!("error: {error:#}");
        }
    }
}

fn part(name: Name) -> Part {
    match name {
        Name::Kafka => Part::Kafka,
        Name::Nats => Part::Nats,
    }
}

fn own(name: Name) -> Part {
    match name {
        Name::Kafka => Part::OwnKafka,
        Name::Nats => Part::OwnNats,
    }
}
