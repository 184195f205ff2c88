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

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};

pub(crate) use self::state::{Service, State};
use crate::{needs::Need, net, workspace};

/// Arguments of `cargo xtask services`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask services up                  start what is not running yet
  eval \"$(cargo xtask services up)\"        the same, and set the variables that the tests read
  cargo xtask services status
  cargo xtask services down                stop both and delete their data

One that a test may break, apart from those that others use:
  cargo xtask services --dir DIR up nats   a nats-server of its own, with its data under DIR
  cargo xtask services --dir DIR kill nats
  cargo xtask services --dir DIR up nats   again, on the same port and with the same data
  cargo xtask services --dir DIR up kafka --listener SECURE=SASL_SSL --config FILE
                                           a Kafka that also listens by TLS with SASL: FILE says the rest,
                                           TIDEWATER_TEST_KAFKA_SECURE is where

Where the brokers come from:
  TIDEWATER_NATS    a nats-server binary; else nats-server on PATH; else built by `go install`;
                    else Debian's package when root
  TIDEWATER_KAFKA   a Kafka distribution's folder (with libs/ or lib/); else the one that
                    kafka-server-start.sh on PATH belongs to; else downloaded by Maven

Data, logs and downloads are under target/services; downloads (cache/) survive `down`.
With docker: `docker compose up` and the variables that compose.yaml names, or `cargo xtask test --docker`.")]
pub(crate) struct Args {
    /// Data, logs and state are in this folder instead of target/services.
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts brokers (those that run already stay; those that were killed come back with their data) and prints the
    /// variables that the tests read.
    Up {
        /// All, if none is named.
        names: Vec<Name>,
        /// Stays until its standard input ends, then stops what it has started and deletes DIR if nothing else is in
        /// it: for a test program, whose end ends its brokers too, however it comes.
        #[arg(long)]
        hold: bool,
        #[command(flatten)]
        kafka: kafka::Extra,
    },
    /// Stops brokers that `up` started and deletes their data.
    Down {
        /// All, if none is named.
        names: Vec<Name>,
    },
    /// Ends brokers as a power cut would (SIGKILL); `up` starts them again on the same port and with the same data.
    Kill {
        /// Which.
        #[arg(required = true)]
        names: Vec<Name>,
    },
    /// Tells what runs where.
    Status,
}

/// A broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Name {
    /// Apache Kafka.
    Kafka,
    /// nats-server with JetStream.
    Nats,
}

impl Name {
    pub(crate) const ALL: [Self; 2] = [Self::Kafka, Self::Nats];

    fn folder(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Nats => "nats",
        }
    }
}

/// How long a broker that runs may take to answer before it is taken for a broken one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where brokers live: a folder for data, logs and state, and the downloads that all such folders share.
struct Place {
    dir: PathBuf,
    cache: PathBuf,
}

impl Place {
    /// The one that everybody uses.
    fn shared() -> Self {
        let dir = workspace::target().join("services");
        Self { cache: dir.join("cache"), dir }
    }

    fn lock(&self) -> Result<File> {
        for dir in [&self.dir, &self.cache] {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        state::lock(&self.dir.join("lock"))
    }

    /// Deletes the folder if nothing runs in it and nobody else has put something there.
    fn remove_if_unused(&self) -> Result<()> {
        let _lock = self.lock()?;
        let state = State::load(&self.dir)?;
        if state.kafka.is_none() && state.nats.is_none() {
            for file in ["state.json", "lock"] {
                fs::remove_file(self.dir.join(file)).with_context(|| format!("cannot delete {file}"))?;
            }
            // An error says that there is something else.
            fs::remove_dir(&self.dir).ok();
        }
        Ok(())
    }
}

/// Runs `cargo xtask services`.
pub(crate) fn run(args: Args) -> Result<()> {
    let mut place = Place::shared();
    if let Some(dir) = &args.dir {
        place.dir = std::path::absolute(dir).with_context(|| dir.display().to_string())?;
    }
    let or_all = |names: Vec<Name>| if names.is_empty() { Name::ALL.to_vec() } else { names };
    match args.action {
        Action::Up { names, hold, kafka } => {
            let up = up_in(&place, &or_all(names), &kafka)?;
            for (name, value) in exports(&up.state) {
                println!("export {name}={value}");
            }
            for (name, port) in up.state.kafka.iter().flat_map(|kafka| &kafka.listeners) {
                println!("export TIDEWATER_TEST_KAFKA_{name}=127.0.0.1:{port}");
            }
            if hold {
                println!("# until standard input ends");
                // Whatever ends it, an error too.
                drop(io::copy(&mut io::stdin(), &mut io::sink()));
                stop_in(&place, &up.started)?;
                if args.dir.is_some() {
                    place.remove_if_unused()?;
                }
            }
            Ok(())
        }
        Action::Down { names } => stop_in(&place, &or_all(names)),
        Action::Kill { names } => kill_in(&place, &names),
        Action::Status => status(&place),
    }
}

/// What [`up`] found or started.
pub(crate) struct Up {
    pub(crate) state: State,
    /// Names of those that were not running before.
    pub(crate) started: Vec<Name>,
    /// Those that do not start, and why.
    pub(crate) failures: Vec<(Name, anyhow::Error)>,
}

/// Makes the named brokers run and answer, in the shared place; those that do already are left as they are.
pub(crate) fn up(names: &[Name]) -> Result<Up> {
    up_in(&Place::shared(), names, &kafka::Extra::default())
}

/// The same, but one that does not start leaves the other as it is, and is told.
pub(crate) fn up_each(names: &[Name]) -> Result<Up> {
    let place = Place::shared();
    let _lock = place.lock()?;
    start_each(&place, names, &kafka::Extra::default())
}

fn up_in(place: &Place, names: &[Name], extra: &kafka::Extra) -> Result<Up> {
    let _lock = place.lock()?;
    let mut up = start_each(place, names, extra)?;
    match up.failures.pop() {
        // One without the other is of no use, and its starter would not know that it runs.
        Some((_, error)) => {
            stop_locked(place, &up.started)?;
            Err(error)
        }
        None => Ok(up),
    }
}

fn start_each(place: &Place, names: &[Name], extra: &kafka::Extra) -> Result<Up> {
    let mut state = State::load(&place.dir)?;
    // One that was there before keeps its own.
    ensure!(
        extra.is_empty() || (names.contains(&Name::Kafka) && state.kafka.is_none()),
        "--listener and --config are for a Kafka that is made anew: name it, and stop the one that is there (down kafka)"
    );
    let want_nats = names.contains(&Name::Nats) && !state.nats.as_ref().is_some_and(nats::answers);
    let want_kafka = names.contains(&Name::Kafka) && !state.kafka.as_ref().is_some_and(kafka::answers);

    let ports = net::some_free_ports(&place.dir, 3 + extra.ports())?;
    let (nats_port, kafka_ports) = ports.split_first().context("no ports")?;
    // Side by side: one builds Go, the other downloads.
    let (nats, kafka) = thread::scope(|scope| {
        let nats = want_nats.then(|| scope.spawn(|| nats::start(place, state.nats.as_ref(), *nats_port)));
        let kafka = want_kafka.then(|| kafka::start(place, state.kafka.as_ref(), kafka_ports, extra));
        let nats = nats.map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("starting it panicked"))));
        (nats, kafka)
    });

    let mut started = Vec::new();
    let mut failures = Vec::new();
    match nats {
        Some(Ok(service)) => {
            state.nats = Some(service);
            started.push(Name::Nats);
        }
        Some(Err(error)) => failures.push((Name::Nats, error.context("nats-server"))),
        None => {}
    }
    match kafka {
        Some(Ok(service)) => {
            state.kafka = Some(service);
            started.push(Name::Kafka);
        }
        Some(Err(error)) => failures.push((Name::Kafka, error.context("Kafka"))),
        None => {}
    }
    state.save(&place.dir)?;
    Ok(Up { state, started, failures })
}

/// Stops brokers in the shared place, if they run, and deletes their data.
pub(crate) fn stop(names: &[Name]) -> Result<()> {
    stop_in(&Place::shared(), names)
}

fn stop_in(place: &Place, names: &[Name]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let _lock = place.lock()?;
    stop_locked(place, names)
}

fn stop_locked(place: &Place, names: &[Name]) -> Result<()> {
    let mut state = State::load(&place.dir)?;
    for name in names {
        let was_running = match state.of(*name).take() {
            Some(service) => service.stop()?,
            None => false,
        };
        eprintln!("{}: {}", name.folder(), if was_running { "stopped" } else { "was not running" });
        let data = place.dir.join(name.folder());
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("cannot delete {}", data.display()))?;
        }
    }
    state.save(&place.dir)
}

fn kill_in(place: &Place, names: &[Name]) -> Result<()> {
    let _lock = place.lock()?;
    let mut state = State::load(&place.dir)?;
    for name in names {
        let was_running = match state.of(*name) {
            Some(service) => service.kill()?,
            None => false,
        };
        eprintln!("{}: {}", name.folder(), if was_running { "killed" } else { "was not running" });
    }
    Ok(())
}

fn status(place: &Place) -> Result<()> {
    let state = State::load(&place.dir)?;
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

/// What the brokers need and where it is. `obtains`: packages can be installed without asking anybody.
pub(crate) fn needs(obtains: bool) -> Vec<Need> {
    let cache = Place::shared().cache;
    let mut needs = Vec::from(nats::needs(&cache, obtains));
    needs.extend(kafka::needs(&cache, obtains));
    needs
}

/// Packages that bring what the brokers need and is not here.
pub(crate) fn lacking_packages() -> Vec<&'static str> {
    kafka::lacking_packages(&Place::shared().cache)
}

/// The nats-server that tests start themselves: found, or made.
pub(crate) fn nats_server() -> Result<PathBuf> {
    let place = Place::shared();
    let _lock = place.lock()?;
    nats::provide(&place.cache)
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
