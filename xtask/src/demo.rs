//! `cargo xtask demo`: the gateway with a live feed, on a machine that has Rust and nothing else.
//!
//! No broker, no feature, no C: the gateway is built with `--no-default-features` and serves the embedded `memory:`
//! channel. The feed is this machine's load and memory, published as anybody would publish it: by `POST`.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args as ClapArgs;
use sysinfo::System;

use crate::{
    group::{self, Group},
    net, workspace,
};

/// Arguments of `cargo xtask demo`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask demo                  then open the page, or
  curl -N localhost:8080/channels/demo
  curl -d 'hello' localhost:8080/channels/demo     publish something of your own

Ctrl-C ends it.")]
pub(crate) struct Args {
    /// The port to serve on; if it is taken, the next free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

/// How often the feed publishes.
const EVERY: Duration = Duration::from_secs(1);

/// Runs `cargo xtask demo`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    group::catch_interrupts()?;
    let gateway = build()?;
    let port = net::next_free_port(args.port)?;
    if port != args.port {
        eprintln!("Port {} is taken: using {port}", args.port);
    }
    let base = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(gateway);
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--channel", "demo=memory:"]);
    let mut server = Group::spawn(command.stdin(Stdio::null()))?;
    let agent = agent();
    let limit = Duration::from_secs(20);
    let ready = || agent.get(format!("{base}/health/ready")).call().map(drop).map_err(Into::into);
    let outcome = net::wait_for("the gateway", limit, || server.is_running(), ready).and_then(|()| {
        println!("\n  The page     {base}/");
        println!("  The events   curl -N {base}/channels/demo");
        println!("  Your own     curl -d 'hello' {base}/channels/demo");
        println!("\nPublishing this machine's load and memory every second; Ctrl-C ends it.");
        feed(&agent, &base, &mut server)
    });
    // Ctrl-C is how a demo ends, and no failure.
    if group::interrupted() {
        return Ok(ExitCode::SUCCESS);
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Builds the leanest gateway and puts its binary aside: other builds put one with other features in the same place.
fn build() -> Result<PathBuf> {
    eprintln!("Building the gateway (two minutes from nothing, else seconds)");
    let start = Instant::now();
    let mut command = workspace::cargo();
    command.args(["build", "--package", "tidewater-gateway", "--no-default-features", "--bin", "tidewater"]);
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "the gateway does not build: see above");
    eprintln!("Built in {} s", start.elapsed().as_secs());
    workspace::aside("tidewater", "demo")
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into()
}

/// Publishes until the gateway ends or Ctrl-C comes.
fn feed(agent: &ureq::Agent, base: &str, server: &mut Group) -> Result<()> {
    let mut system = System::new().context("this machine's load cannot be measured")?;
    let mut next = Instant::now();
    while !group::interrupted() {
        if !server.is_running() {
            bail!("the gateway has ended: see its last lines above");
        }
        if Instant::now() < next {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        next += EVERY;
        let url = format!("{base}/channels/demo?event=load");
        let sent = agent.post(&url).header("content-type", "application/json").send(measure(&mut system));
        // One that got lost is no reason to end: the next comes in a second.
        if let Err(error) = sent
            && !group::interrupted()
        {
            eprintln!("could not publish to {url}: {error}");
        }
    }
    Ok(())
}

/// This machine's load and memory as JSON.
fn measure(system: &mut System) -> String {
    const MIB: u64 = 1 << 20;
    system.refresh_memory();
    system.refresh_cpu_usage();
    // Null where the system has none (Windows).
    let load = System::load_average().ok().map(|load| [load.one, load.five, load.fifteen]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    serde_json::json!({
        "at": now.as_secs(),
        "load": load,
        "cpu_percent": (f64::from(system.global_cpu_usage()) * 10.0).round() / 10.0,
        "memory_used_mib": system.used_memory() / MIB,
        "memory_total_mib": system.total_memory() / MIB,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measure_is_real() {
        let text = measure(&mut System::new().unwrap());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value["memory_total_mib"].as_u64().unwrap() > 0);
        assert!(value["memory_used_mib"].as_u64().unwrap() <= value["memory_total_mib"].as_u64().unwrap());
        assert_eq!(value["load"].as_array().unwrap().len(), 3);
    }
}
