//! Any source into any sink: `cargo xtask examples bridge -- nats://localhost:4222/orders.> kafka://localhost:9092/orders`.
//!
//! Sources and sinks as a library, without a hub and without the web.

mod bridge;

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use tidewater::{
    Cursor, Subscription,
    plugin::{open_sink, open_source, plugins},
};
use tokio::{signal, time};

use bridge::Progress;

/// Copies every message of a source into a sink: at least once, in order, and on again after an outage of either end.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  bridge nats://localhost:4222/orders.> kafka://localhost:9092/orders
  bridge --earliest kafka://localhost:9092/orders jetstream://localhost:4222/ORDERS/orders.copied")]
struct Args {
    /// URL of the source.
    source: String,
    /// URL of the sink.
    sink: String,
    /// Begin with the first message that the source has, not with the next one.
    #[arg(long)]
    earliest: bool,
    /// Go on where another run ended: the id that it printed.
    #[arg(long, value_name = "ID", conflicts_with = "earliest")]
    after: Option<String>,
    /// How many messages may be on their way at a time. More is faster; what order a sink keeps among them is its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args = Args::parse();
    // An unknown scheme's error lists those that are linked in.
    let schemes: Vec<_> = plugins()?.iter().flat_map(|plugin| plugin.schemes).copied().collect();
    let source =
        open_source(&args.source).with_context(|| format!("schemes here: {}", schemes.join(", ")))?;
    let sink = open_sink(&args.sink)?;
    let start = match &args.after {
        Some(id) => Subscription::after(id.parse::<Cursor>().with_context(|| format!("{id:?} is no id"))?),
        None if args.earliest => Subscription::earliest(),
        None => Subscription::latest(),
    };

    eprintln!("{source} -> {sink} (Ctrl-C ends it)");
    let progress = Arc::new(Progress::default());
    let report = tokio::spawn(report(progress.clone()));
    let outcome = tokio::select! {
        outcome = bridge::run(&*source, &*sink, start, args.window.into(), &progress) => outcome,
        _ = signal::ctrl_c() => Ok(()),
    };
    report.abort();
    eprintln!("\n{} messages", progress.messages());
    if !progress.cursor().is_empty() {
        eprintln!("To go on here: --after {}", progress.cursor());
    }
    Ok(outcome?)
}

/// Prints once a second what has gone over.
async fn report(progress: Arc<Progress>) {
    let (mut before, mut ticks) = (0, time::interval(Duration::from_secs(1)));
    loop {
        ticks.tick().await;
        let now = progress.messages();
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{now} messages, {}/s, at {}", now - before, progress.cursor());
        } else if now != before {
            eprintln!("{now} messages, {}/s, at {}", now - before, progress.cursor());
        }
        before = now;
    }
}
