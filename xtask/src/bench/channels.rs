//! `cargo xtask bench channels`: threads, sockets and memory of a gateway with many channels on one broker.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use clap::{Args as ClapArgs, ValueEnum};

use super::{
    build,
    gateway::{Channel, Gateway},
    heading,
    usage::Usage,
};
use crate::services::{self, Name, State};

/// Arguments of `cargo xtask bench channels`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How many channels.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Messages of 1 KiB in the burst, over all topics together.
    #[arg(long, default_value_t = 1000)]
    burst: usize,
    /// How long an idle gateway is looked at, in seconds.
    #[arg(long, default_value_t = 15)]
    idle: u64,
    /// One kind of broker only.
    #[arg(long)]
    only: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Kafka,
    Jetstream,
    Nats,
}

/// Which topics the channels are on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// One channel.
    One,
    /// Each on a topic of its own.
    Each,
    /// All on the same topic.
    Same,
}

/// What was measured of one gateway.
struct Measured {
    what: String,
    live_after: Duration,
    idle: Usage,
    /// Share of one core while nothing happened.
    idle_cpu: f64,
    burst: Usage,
}

/// Measures, and answers the report.
pub(super) fn run(args: &Args, release: bool) -> Result<String> {
    ensure!(
        cfg!(target_os = "linux"),
        "threads, sockets and memory are read from /proc, which only Linux has"
    );
    ensure!(args.count > 0 && args.burst >= args.count, "at least one channel, and a message for each");
    let binary = build(release)?;
    let wanted = |kind| args.only.is_none_or(|only| only == kind);
    let mut names = Vec::new();
    names.extend(wanted(Kind::Kafka).then_some(Name::Kafka));
    names.extend((wanted(Kind::Jetstream) || wanted(Kind::Nats)).then_some(Name::Nats));
    let up = services::up(&names)?;
    let measured = measure_all(args, &binary, &up.state);
    services::stop(&up.started)?;
    let mut versions = Vec::new();
    versions.extend(
        up.state.kafka.filter(|_| names.contains(&Name::Kafka)).map(|k| format!("Kafka {}", k.version)),
    );
    versions.extend(
        up.state
            .nats
            .filter(|_| names.contains(&Name::Nats))
            .map(|nats| format!("nats-server {}", nats.version)),
    );
    Ok(report(args, release, &versions, &measured?))
}

fn measure_all(args: &Args, binary: &Path, state: &State) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let memory = vec![("c0".to_owned(), "memory:".to_owned())];
    measured.push(measure(args, binary, "one channel of `memory:`".into(), &memory, None)?);
    for kind in [Kind::Kafka, Kind::Jetstream, Kind::Nats] {
        if args.only.is_some_and(|only| only != kind) {
            continue;
        }
        let topics = topics(kind, args.count, state)?;
        for on in [On::One, On::Each, On::Same] {
            let used = if on == On::Each { &topics[..] } else { &topics[..1] };
            let count = if on == On::One { 1 } else { args.count };
            let channels: Vec<Channel> = used
                .iter()
                .cycle()
                .take(count)
                .enumerate()
                .map(|(n, url)| (format!("c{n}"), url.clone()))
                .collect();
            let fed: Vec<Channel> =
                used.iter().enumerate().map(|(n, url)| (format!("c{n}"), url.clone())).collect();
            let (kind, topic) = match kind {
                Kind::Kafka => ("Kafka", "topic"),
                Kind::Jetstream => ("JetStream", "subject of one stream"),
                Kind::Nats => ("NATS", "subject"),
            };
            let what = match on {
                On::One => format!("{kind}: one channel"),
                On::Each => format!("{kind}: {count}, each its own {topic}"),
                On::Same => format!("{kind}: {count} on the same {topic}"),
            };
            measured.push(measure(args, binary, what, &channels, Some(&fed))?);
        }
    }
    Ok(measured)
}

/// The URLs of so many topics, which are made.
fn topics(kind: Kind, count: usize, state: &State) -> Result<Vec<String>> {
    let prefix = format!("bench-{}", std::process::id());
    let names: Vec<String> = (0..count).map(|n| format!("{prefix}.{n}")).collect();
    let (Some(port), scheme) = (match kind {
        Kind::Kafka => (state.kafka.as_ref().map(|kafka| kafka.port), "kafka"),
        Kind::Jetstream => (state.nats.as_ref().map(|nats| nats.port), "jetstream"),
        Kind::Nats => (state.nats.as_ref().map(|nats| nats.port), "nats"),
    }) else {
        bail!("the broker does not run")
    };
    match kind {
        Kind::Kafka => {
            eprintln!("Making {count} topics");
            names.iter().try_for_each(|name| services::create_topic(state, name, 1))?;
        }
        Kind::Jetstream => services::create_stream(state, &prefix, &[&format!("{prefix}.>")])?,
        Kind::Nats => {}
    }
    let path = |name: &str| match kind {
        Kind::Jetstream => format!("{prefix}/{name}"),
        // What the stream above does not take.
        Kind::Nats => format!("core-{name}"),
        Kind::Kafka => name.to_owned(),
    };
    Ok(names.iter().map(|name| format!("{scheme}://127.0.0.1:{port}/{}", path(name))).collect())
}

/// Publishing takes clients of its own: another gateway has those of the `fed` topics. Without, this one publishes.
fn measure(
    args: &Args,
    binary: &Path,
    what: String,
    channels: &[Channel],
    fed: Option<&[Channel]>,
) -> Result<Measured> {
    eprintln!("{what}");
    let mut gateway = Gateway::start(binary, "measured", channels, fed.is_none())?;
    let began = (Instant::now(), gateway.usage()?);
    let mut idle = began.1;
    while began.0.elapsed() < Duration::from_secs(args.idle) {
        thread::sleep(Duration::from_millis(500));
        idle = idle.most(gateway.usage()?);
    }
    let busy = idle.busy.saturating_sub(began.1.busy);
    let idle_cpu = busy.as_secs_f64() / began.0.elapsed().as_secs_f64();

    let each = args.burst / fed.unwrap_or(channels).len();
    match fed {
        Some(fed) => publish(&Gateway::start(binary, "feeding", fed, true)?, fed, each)?,
        None => publish(&gateway, channels, each)?,
    }
    gateway.wait_for_events(each as u64)?;
    let burst = gateway.usage()?;
    Ok(Measured { what, live_after: gateway.live_after, idle, idle_cpu, burst })
}

fn publish(gateway: &Gateway, fed: &[Channel], each: usize) -> Result<()> {
    const THREADS: usize = 4;
    let body = "x".repeat(1024);
    let one = |first: usize| -> Result<()> {
        for n in (first..each * fed.len()).step_by(THREADS) {
            gateway.publish(&fed[n % fed.len()].0, &n.to_string(), body.as_bytes())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || one(first))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("publishing panicked")))
    })
}

fn report(args: &Args, release: bool, versions: &[String], measured: &[Measured]) -> String {
    let mut report = heading("channels", release, versions);
    report += &format!(
        "\n{} channels, no clients; idle for {} s, then a burst of {} messages of 1 KiB in all. Threads and sockets are \
         the most seen while idle; processor time is a share of one core while idle.\n\n\
         | | live after | threads | sockets | memory idle | processor | memory after the burst |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        args.count, args.idle, args.burst
    );
    let mib = |kib: u64| format!("{:.0} MiB", kib as f64 / 1024.0);
    for Measured { what, live_after, idle, idle_cpu, burst } in measured {
        report += &format!(
            "| {what} | {:.1} s | {} | {} | {} | {:.1} % | {} |\n",
            live_after.as_secs_f64(),
            idle.threads,
            idle.sockets,
            mib(idle.resident),
            idle_cpu * 100.0,
            mib(burst.resident),
        );
    }
    report
}
