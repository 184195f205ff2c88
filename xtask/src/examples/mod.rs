//! `cargo xtask examples`: lists the examples, runs one with all that it needs, or checks that each of them works.
//!
//! An example is a package under `examples/`. It says what it needs in its own manifest ([`manifest`]), so that adding
//! one is adding a folder.

mod check;
pub(crate) mod events;
mod manifest;

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Result, bail, ensure};
use clap::Args as ClapArgs;

use self::manifest::Example;
use crate::{
    group::{self, Group},
    net,
    services::{self, Name},
    workspace,
};

/// Arguments of `cargo xtask examples`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask examples                       list them
  cargo xtask examples warp-kafka            start what it needs, run it
  cargo xtask examples bridge -- nats://127.0.0.1:4222/orders kafka://127.0.0.1:9092/orders
  cargo xtask examples --check               run every one and see that events arrive
  cargo xtask examples --check transform     that one

An example finds its brokers by KAFKA_BROKERS (127.0.0.1:9092) and NATS_URL (nats://127.0.0.1:4222) and the
address to serve on by LISTEN (127.0.0.1:8080): set here, unless you set them. How an example says what it needs:
examples/README.md.")]
pub(crate) struct Args {
    /// The example to run; without one they are listed.
    name: Option<String>,
    /// Runs the examples (or the one that is named) on a port of their own and asserts that events arrive.
    #[arg(long)]
    check: bool,
    /// Goes to the example, instead of the arguments in its manifest.
    #[arg(last = true, value_name = "ARG")]
    args: Vec<String>,
}

/// Runs `cargo xtask examples`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let mut examples = manifest::read_all()?;
    let Some(name) = args.name else {
        ensure!(args.args.is_empty(), "arguments after -- are for one example: name it");
        return if args.check { check::run(&examples) } else { list(&examples) };
    };
    let Some(at) = examples.iter().position(|example| example.name == name) else {
        let known: Vec<&str> = examples.iter().map(|example| example.name.as_str()).collect();
        bail!(
            "no example {name}: there are {}",
            if known.is_empty() { "none".into() } else { known.join(", ") }
        );
    };
    let example = examples.swap_remove(at);
    if args.check {
        return check::run(&[example]);
    }
    run_one(&example, args.args)
}

fn list(examples: &[Example]) -> Result<ExitCode> {
    if examples.is_empty() {
        println!("no examples in examples/");
    }
    for example in examples {
        println!("{:<18} {:<16} {}", example.name, example.needs_in_words(), example.description);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs an example in the foreground until it ends or Ctrl-C comes.
fn run_one(example: &Example, args: Vec<String>) -> Result<ExitCode> {
    group::catch_interrupts()?;
    let binary = build(&[example])?.remove(0);
    let surroundings = Surroundings::provide(&[example])?;
    let listen = match env::var("LISTEN") {
        Ok(listen) => listen,
        Err(_) => net::loopback(net::next_free_port(8080)?).to_string(),
    };
    let args = if args.is_empty() { &example.args } else { &args };
    let mut command = surroundings.command(&binary, args, &listen);
    if let Some(page) = &example.page {
        eprintln!("{} will be at http://{listen}{page} (Ctrl-C ends it)", example.name);
    }
    let ended = Group::spawn(command.stdin(Stdio::inherit()))?.wait();
    if group::interrupted() {
        return Ok(ExitCode::SUCCESS);
    }
    let status = ended?;
    ensure!(status.success(), "{} failed ({status})", example.name);
    Ok(ExitCode::SUCCESS)
}

/// Builds examples together (what they share is built once) and returns their binaries.
fn build(examples: &[&Example]) -> Result<Vec<PathBuf>> {
    eprintln!(
        "Building {}",
        examples.iter().map(|example| example.name.as_str()).collect::<Vec<_>>().join(", ")
    );
    let mut command = workspace::cargo();
    command.args(["build", "--bins"]);
    for example in examples {
        command.args(["--package", &example.package]);
    }
    // A check that needs a gateway gets it from the same build.
    let gateway = examples.iter().any(|example| !example.check.gateway.is_empty());
    if gateway {
        command.args(["--package", "tidewater-gateway"]);
    }
    ensure!(Group::spawn(command.stdin(Stdio::null()))?.wait()?.success(), "the examples do not build");
    if gateway {
        workspace::aside("tidewater", "examples")?;
    }
    examples.iter().map(|example| workspace::aside(&example.binary, "examples")).collect()
}

/// The brokers that examples need, with topics and streams; dropping it stops those that this run started.
struct Surroundings {
    kafka: String,
    nats: String,
    started: Vec<Name>,
}

impl Surroundings {
    fn provide(examples: &[&Example]) -> Result<Self> {
        let (kafka, nats) = (named("KAFKA_BROKERS"), named("NATS_URL"));
        let ours_kafka = kafka.is_none() && examples.iter().any(|example| example.needs_kafka());
        let ours_nats = nats.is_none() && examples.iter().any(|example| example.needs_nats());
        let mut names = Vec::new();
        names.extend(ours_kafka.then_some(Name::Kafka));
        names.extend(ours_nats.then_some(Name::Nats));
        if names.is_empty() {
            return Ok(Self {
                kafka: kafka.unwrap_or_default(),
                nats: nats.unwrap_or_default(),
                started: names,
            });
        }
        let up = services::up(&names)?;
        let mut surroundings = Self { kafka: String::new(), nats: String::new(), started: up.started };
        let running =
            |service: &Option<services::Service>| service.as_ref().map(|service| net::loopback(service.port));
        let address = running(&up.state.kafka).map(|at| at.to_string());
        surroundings.kafka = kafka.or(address).unwrap_or_default();
        let address = running(&up.state.nats).map(|at| format!("nats://{at}"));
        surroundings.nats = nats.or(address).unwrap_or_default();
        // Topics and streams of brokers that are not ours are not ours to make.
        for example in examples {
            if ours_kafka {
                for topic in &example.topics {
                    services::create_topic(&up.state, &topic.name, topic.partitions)?;
                }
            }
            if ours_nats {
                for stream in &example.streams {
                    let subjects: Vec<&str> = stream.subjects.iter().map(String::as_str).collect();
                    services::create_stream(&up.state, &stream.name, &subjects)?;
                }
            }
        }
        Ok(surroundings)
    }

    /// A command with the environment that examples read.
    fn command(&self, binary: &PathBuf, args: &[String], listen: &str) -> Command {
        let mut command = Command::new(binary);
        command.args(args.iter().map(|arg| self.filled(arg)));
        command.env("KAFKA_BROKERS", &self.kafka).env("NATS_URL", &self.nats).env("LISTEN", listen);
        command.current_dir(workspace::root());
        command
    }

    /// `{kafka}` and `{nats}` become HOST:PORT.
    fn filled(&self, text: &str) -> String {
        let nats = self.nats.strip_prefix("nats://").unwrap_or(&self.nats);
        text.replace("{kafka}", &self.kafka).replace("{nats}", nats)
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        if let Err(error) = services::stop(&self.started) {
            eprintln!("error: {error:#}");
        }
    }
}

fn named(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}
