//! `tidewater check`: whether a configuration is right.

use std::{sync::Arc, time::Duration};

use tidewater::{Bounds, Combined, Source, Subscription, plugin::open_source};
use tokio::time::timeout;

use crate::{
    config::{self, ChannelConfig, Config, Flags},
    failure::{Failure, warn_of},
    output::Output,
};

/// Check a configuration: the file, the `TIDEWATER_*` variables and the flags, as `serve` would read them.
///
/// Everything that is wrong is told at once, a line each: FILE:LINE:COLUMN: key: what is wrong, what to do. Nothing is
/// started, and no broker is asked, unless --connect is given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Print the configuration as it is in force: every setting, and where it comes from. Secrets are left out.
    #[arg(long)]
    show: bool,
    /// Subscribe to the source of each channel for a moment, and name its topics.
    #[arg(long)]
    connect: bool,
}

const EXAMPLES: &str = "\
Examples:
  tidewater check --config tidewater.toml
  tidewater check --config tidewater.toml --show
  TIDEWATER_SERVER__LISTEN=0.0.0.0:80 tidewater check --config tidewater.toml --connect

Exit codes: 0 it is right, 1 a broker does not answer, 2 something is wrong.";

/// How long a broker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `tidewater check`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = config::load(&args.flags).map_err(|findings| Failure::findings(&findings))?;
    warn_of(&loaded.warnings);
    let mut output = Output::new();
    if args.show {
        output.bytes(config::show(&loaded.shown).as_bytes())?;
    }
    if args.connect {
        return connect(&loaded.config, &mut output);
    }
    if !args.show {
        let names: Vec<_> = loaded.config.channels.iter().map(|channel| channel.name.as_str()).collect();
        let of = args
            .flags
            .config
            .as_ref()
            .map_or("flags and environment".to_owned(), |file| file.display().to_string());
        output.line(format_args!("{of}: right (channels: {})", names.join(", ")))?;
    }
    output.flush()
}

/// Asks every channel's broker, and tells of all of them.
fn connect(config: &Config, output: &mut Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(format_args!("no threads can be started: {error}")))?;
    let mut failed = Vec::new();
    for channel in &config.channels {
        match runtime.block_on(bounds(channel)) {
            Ok(bounds) => {
                let topics = bounds.topics.iter().map(|topic| {
                    let partitions = topic.partitions.len();
                    format!(
                        "{} ({partitions} {})",
                        topic.name,
                        if partitions == 1 { "partition" } else { "partitions" }
                    )
                });
                output.line(format_args!("{}: {}", channel.name, topics.collect::<Vec<_>>().join(", ")))?;
            }
            Err(why) => failed.push(format!("{}: {why}", channel.name)),
        }
    }
    output.flush()?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    if failed.is_empty() { Ok(()) } else { Err(Failure::runtime(failed.join("\n"))) }
}

async fn bounds(channel: &ChannelConfig) -> Result<Bounds, String> {
    let mut sources = Vec::new();
    for url in &channel.source {
        let source = open_source(url.secret()).map_err(|error| error.to_string())?;
        sources.push((url.to_string(), source));
    }
    held(sources).await
}

/// What these sources hold as one, as the channel will find it: no topic may be in two of them. Each is subscribed to for a
/// moment, by itself, so that the one that does not answer is named; and one that keeps nothing knows its bounds without its
/// broker.
async fn held(sources: Vec<(String, Arc<dyn Source>)>) -> Result<Bounds, String> {
    for (name, source) in &sources {
        answer(name, source.subscribe(Subscription::latest())).await?;
    }
    let all =
        Combined::new(sources.into_iter().map(|(_, source)| source)).map_err(|error| error.to_string())?;
    answer(&all.to_string(), all.bounds()).await
}

async fn answer<T>(name: &str, asked: impl Future<Output = tidewater::Result<T>>) -> Result<T, String> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{name} does not answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use tidewater::memory::MemoryLog;

    use super::*;

    #[tokio::test]
    async fn a_topic_that_two_sources_have_is_told() {
        let source =
            |name: &str| (name.to_owned(), Arc::new(MemoryLog::new(name).source()) as Arc<dyn Source>);
        let bounds = held(vec![source("a"), source("b")]).await.unwrap();
        assert_eq!(bounds.topics.len(), 2);
        let error = held(vec![source("a"), source("b"), source("a")]).await.unwrap_err();
        assert!(error.contains("more than one of the sources") && error.contains("\"a\""), "{error}");
    }
}
