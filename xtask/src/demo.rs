//! `cargo xtask demo`: the gateway with a live feed, on a machine that has Rust and nothing else.
//!
//! No broker, no feature, no C: the gateway is built with `--no-default-features` and serves two `memory:`
//! channels: `demo` with this machine's load and memory, and `tides` with the water of some harbours, whose day takes a
//! minute. They are published as anybody would publish them: by `POST`.

use std::{
    f64::consts::TAU,
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

/// How often the feed publishes: the water of one harbour, and each fifth time the load.
const EVERY: Duration = Duration::from_millis(200);
const LOAD_EACH: u64 = 5;

/// Harbours: the keys of their events, half the way from low to high water in metres, and when it is high, as a part of a tide.
const HARBOURS: [(&str, f64, f64); 4] =
    [("bergen", 0.6, 0.0), ("calais", 3.1, 0.3), ("hull", 2.8, 0.55), ("saint-malo", 5.4, 0.8)];
/// A day in a minute: two tides.
const TIDE: Duration = Duration::from_secs(30);

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
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--channel", "demo=memory:", "--channel", "tides=memory:"]);
    let mut server = Group::spawn(command.stdin(Stdio::null()))?;
    let agent = agent();
    let limit = Duration::from_secs(20);
    let ready = || agent.get(format!("{base}/health/ready")).call().map(drop).map_err(Into::into);
    let outcome = net::wait_for("the gateway", limit, || server.is_running(), ready).and_then(|()| {
        println!("\n  The console  {base}/");
        println!("  The events   curl -N {base}/channels/demo");
        println!("  Of one key   curl -N '{base}/channels/tides?key=hull'");
        println!("  Your own     curl -d 'hello' {base}/channels/demo");
        println!("\nPublishing this machine's load every second, and the tides of a day in a minute; Ctrl-C ends it.");
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
    let (start, mut next) = (Instant::now(), Instant::now());
    for step in 0.. {
        if !wait(&mut next, server)? {
            break;
        }
        let mut events = vec![tide(step, start.elapsed())];
        if step % LOAD_EACH == 0 {
            events.push(("demo?event=load".to_owned(), measure(&mut system)));
        }
        for (to, body) in events {
            let url = format!("{base}/channels/{to}");
            let sent = agent.post(&url).header("content-type", "application/json").send(body);
            // One that got lost is no reason to end: the next comes in a moment.
            if let Err(error) = sent
                && !group::interrupted()
            {
                eprintln!("could not publish to {url}: {error}");
            }
        }
    }
    Ok(())
}

/// Waits until it is time for the next event; answers whether there is to be one.
fn wait(next: &mut Instant, server: &mut Group) -> Result<bool> {
    while !group::interrupted() {
        if !server.is_running() {
            bail!("the gateway has ended: see its last lines above");
        }
        if Instant::now() >= *next {
            *next += EVERY;
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

/// Where the water of a harbour is published, and how it stands so long after the beginning.
fn tide(step: u64, passed: Duration) -> (String, String) {
    let (name, half, high) = HARBOURS[step as usize % HARBOURS.len()];
    let phase = TAU * (passed.as_secs_f64() / TIDE.as_secs_f64() - high);
    let level = serde_json::json!({
        "harbour": name,
        "level_m": ((half + half * phase.cos()) * 100.0).round() / 100.0,
        "rising": phase.sin() < 0.0,
    });
    (format!("tides?event=level&key={name}"), level.to_string())
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
    fn it_is_high_water_in_its_time() {
        let at = |step, seconds| -> (String, serde_json::Value) {
            let (to, body) = tide(step, Duration::from_secs_f64(seconds));
            (to, serde_json::from_str(&body).unwrap())
        };
        let (to, bergen) = at(0, 30.0);
        assert_eq!(to, "tides?event=level&key=bergen");
        assert_eq!(bergen["level_m"], 1.2);
        assert_eq!(at(4, 45.0).1["level_m"], 0.0);
        assert_eq!(at(4, 50.0).1["rising"], true);
        assert_eq!(at(1, 9.0).1["level_m"], 6.2);
    }

    #[test]
    fn the_measure_is_real() {
        let text = measure(&mut System::new().unwrap());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value["memory_total_mib"].as_u64().unwrap() > 0);
        assert!(value["memory_used_mib"].as_u64().unwrap() <= value["memory_total_mib"].as_u64().unwrap());
        assert_eq!(value["load"].as_array().unwrap().len(), 3);
    }
}
