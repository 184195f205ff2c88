//! `cargo xtask services`: a real nats-server and a real Apache Kafka on loopback, for tests and examples.
//!
//! ```text
//! $ eval "$(cargo xtask services up)"
//! $ cargo test --workspace --all-features -- --include-ignored
//! $ cargo xtask services down
//! ```
//!
//! The contract with tests is the environment alone: [`exports`] lists it. What was found or installed, with ports and
//! pids, stands in `target/services/state.json`, so that every run of xtask finds what another one started.

mod kafka;
mod kafka_wire;
mod nats;
mod nats_wire;
mod state;

use std::{fs, path::PathBuf, thread};

use anyhow::{Context, Result, anyhow};
use clap::{Args as ClapArgs, Subcommand};

pub(crate) use self::state::{Service, State};
use crate::{needs::Need, net, workspace};

/// Arguments of `cargo xtask services`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask services up               start what is not running yet
  eval \"$(cargo xtask services up)\"     the same, and set the variables that the tests read
  cargo xtask services status
  cargo xtask services down             stop both and delete their data

Where the brokers come from:
  TIDEWATER_NATS    a nats-server binary; else nats-server on PATH; else built by `go install`;
                    else Debian's package when root
  TIDEWATER_KAFKA   a Kafka distribution's folder (with libs/ or lib/); else the one that
                    kafka-server-start.sh on PATH belongs to; else downloaded by Maven

Data, logs and downloads are under target/services; downloads (cache/) survive `down`.
With docker: `docker compose up` and the variables that compose.yaml names.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts both brokers (those that run already stay) and prints the variables that the tests read.
    Up,
    /// Stops the brokers that `up` started and deletes their data.
    Down,
    /// Tells what runs where.
    Status,
}

/// Which brokers somebody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) kafka: bool,
    pub(crate) nats: bool,
}

impl Needs {
    /// Both.
    pub(crate) const ALL: Self = Self { kafka: true, nats: true };
}

/// Runs `cargo xtask services`.
pub(crate) fn run(args: Args) -> Result<()> {
    match args.action {
        Action::Up => {
            let up = up(Needs::ALL)?;
            for (name, value) in exports(&up.state) {
                println!("export {name}={value}");
            }
            Ok(())
        }
        Action::Down => stop(&["nats", "kafka"]),
        Action::Status => status(),
    }
}

/// What [`up`] found or started.
pub(crate) struct Up {
    pub(crate) state: State,
    /// Names of those that were not running before.
    pub(crate) started: Vec<&'static str>,
}

/// Makes the needed brokers run and answer; those that do already are left as they are.
pub(crate) fn up(needs: Needs) -> Result<Up> {
    fs::create_dir_all(dir().join("cache")).with_context(|| format!("cannot create {}", dir().display()))?;
    let _lock = state::lock(&dir())?;
    let mut state = State::load(&dir())?;
    let want_nats = needs.nats && !state.nats.as_ref().is_some_and(nats::answers);
    let want_kafka = needs.kafka && !state.kafka.as_ref().is_some_and(kafka::answers);

    let [nats_port, kafka_port, controller_port] = net::free_ports()?;
    // Side by side: one builds Go, the other downloads.
    let (nats, kafka) = thread::scope(|scope| {
        let nats = want_nats.then(|| scope.spawn(|| nats::start(&dir(), state.nats.as_ref(), nats_port)));
        let kafka =
            want_kafka.then(|| kafka::start(&dir(), state.kafka.as_ref(), kafka_port, controller_port));
        let nats = nats.map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("starting it panicked"))));
        (nats, kafka)
    });

    let mut started = Vec::new();
    let mut failure = None;
    match nats {
        Some(Ok(service)) => {
            state.nats = Some(service);
            started.push("nats");
        }
        Some(Err(error)) => failure = Some(error.context("nats-server")),
        None => {}
    }
    match kafka {
        Some(Ok(service)) => {
            state.kafka = Some(service);
            started.push("kafka");
        }
        Some(Err(error)) => failure = Some(error.context("Kafka")),
        None => {}
    }
    state.save(&dir())?;
    match failure {
        // One without the other is of no use, and its starter would not know that it runs.
        Some(error) => {
            stop_locked(&started)?;
            Err(error)
        }
        None => Ok(Up { state, started }),
    }
}

/// Stops the brokers of these names, if they run, and deletes their data.
pub(crate) fn stop(names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    if !dir().exists() {
        eprintln!("nothing to stop");
        return Ok(());
    }
    let _lock = state::lock(&dir())?;
    stop_locked(names)
}

fn stop_locked(names: &[&str]) -> Result<()> {
    let mut state = State::load(&dir())?;
    for name in names {
        let service = match *name {
            "kafka" => state.kafka.take(),
            _ => state.nats.take(),
        };
        let was_running = match &service {
            Some(service) => service.stop()?,
            None => false,
        };
        eprintln!("{name}: {}", if was_running { "stopped" } else { "was not running" });
        let data = dir().join(name);
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("cannot delete {}", data.display()))?;
        }
    }
    state.save(&dir())
}

fn status() -> Result<()> {
    let state = State::load(&dir())?;
    let lines = [
        ("nats", &state.nats, state.nats.as_ref().is_some_and(nats::answers)),
        ("kafka", &state.kafka, state.kafka.as_ref().is_some_and(kafka::answers)),
    ];
    for (name, service, answers) in lines {
        match service {
            Some(service) if answers => println!(
                "{name}: {} answers on 127.0.0.1:{} (pid {}, from {}, log {})",
                service.version,
                service.port,
                service.pid,
                service.from.display(),
                service.log.display()
            ),
            Some(service) if service.is_running() => println!(
                "{name}: runs (pid {}) but does not answer on port {}; see {}",
                service.pid,
                service.port,
                service.log.display()
            ),
            Some(service) => println!("{name}: ended; see {}", service.log.display()),
            None => println!("{name}: not started (cargo xtask services up)"),
        }
    }
    Ok(())
}

/// What the brokers need and where it is.
pub(crate) fn needs() -> Vec<Need> {
    let cache = dir().join("cache");
    let mut needs = vec![nats::need(&cache)];
    needs.extend(kafka::needs(&cache));
    needs
}

/// The environment that tests and examples read.
///
/// The brokers' addresses, and where their programs are for tests that start, kill and restart brokers of their own.
pub(crate) fn exports(state: &State) -> Vec<(&'static str, String)> {
    let mut exports = Vec::new();
    if let Some(kafka) = &state.kafka {
        exports.push(("TIDEWATER_TEST_KAFKA", format!("127.0.0.1:{}", kafka.port)));
        exports.push(("TIDEWATER_KAFKA", kafka.from.display().to_string()));
    }
    if let Some(nats) = &state.nats {
        exports.push(("TIDEWATER_TEST_NATS", format!("nats://127.0.0.1:{}", nats.port)));
        exports.push(("TIDEWATER_NATS", nats.from.display().to_string()));
    }
    exports
}

/// Creates a topic in the Kafka that runs; one that exists is left as it is.
pub(crate) fn create_topic(state: &State, name: &str, partitions: u16) -> Result<()> {
    let kafka = state.kafka.as_ref().context("a topic is wanted, but no Kafka is needed")?;
    kafka_wire::create_topic(kafka.port, name, partitions)
}

/// Creates a JetStream stream in the nats-server that runs; one that exists is left as it is.
pub(crate) fn create_stream(state: &State, name: &str, subjects: &[&str]) -> Result<()> {
    let nats = state.nats.as_ref().context("a stream is wanted, but no NATS is needed")?;
    nats_wire::create_stream(nats.port, name, subjects)
}

/// A line for each broker that a run uses: what it is and where.
pub(crate) fn described(state: &State, exports: &[(&str, String)]) -> Vec<String> {
    let address =
        |name: &str| exports.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let mut lines = Vec::new();
    if let Some(at) = address("TIDEWATER_TEST_KAFKA") {
        let ours = state.kafka.as_ref().filter(|kafka| at.ends_with(&format!(":{}", kafka.port)));
        let version = ours.map_or("(not ours, version unknown)", |kafka| &kafka.version);
        lines.push(format!("Kafka {version} at {at}"));
    }
    if let Some(at) = address("TIDEWATER_TEST_NATS") {
        let ours = state.nats.as_ref().filter(|nats| at.ends_with(&format!(":{}", nats.port)));
        let version = ours.map_or("(not ours, version unknown)", |nats| &nats.version);
        lines.push(format!("nats-server {version} at {at}"));
    }
    lines
}

fn dir() -> PathBuf {
    workspace::target().join("services")
}
