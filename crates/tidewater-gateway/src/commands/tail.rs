//! `tidewater tail`: events on the terminal.

use std::time::Duration;

use tidewater::PayloadMode;

use crate::{
    failure::Failure,
    tail::{self, Channels, Endpoint, Follow, Upstream},
};

/// Print the events of an SSE endpoint, or of a source, as they come.
///
/// An http:// or https:// URL is read as a browser's EventSource would: after a cut it connects again with the last id,
/// when the server has said (`retry:`), so that nothing is missing and nothing comes twice. Any other URL is a source
/// (`tidewater plugins` lists them), read without a server in between; what is printed is what a browser would get.
///
/// A gap is printed where it is, as the event `tidewater.gap`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidewater tail http://localhost:8080/channels/demo
  tidewater tail 'http://localhost:8080/channels/orders?key=42&event=created' --json
  tidewater tail kafka://localhost:9092/orders --since 5m
  tidewater tail jetstream://localhost:4222/STREAM --since earliest --count 10
  tidewater tail kafka://localhost:9092/orders --payload envelope --json | jq -r .data

Exit codes: 0 after --count events, or when the server says that there are no more (204); 1 where there is no such
endpoint, or none that can be reached; 2 wrong command line.")]
pub(crate) struct Args {
    /// An http:// or https:// URL of an event stream, or the URL of a source.
    #[arg(value_name = "URL")]
    url: String,
    /// Print one JSON object a line: {"type","data","lastEventId"}.
    #[arg(long)]
    json: bool,
    /// Where to start: earliest, latest, a time (2026-01-31T12:00:00Z) or a duration ago (5m). Default: latest.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Go on after the event with this id.
    #[arg(long, value_name = "ID")]
    last_event_id: Option<String>,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Also print `tidewater.cursor` events, which only move the id.
    #[arg(long)]
    cursors: bool,
    /// For a source: how payloads are printed. text, base64, or envelope (JSON with topic, offset, key, headers).
    #[arg(long, value_name = "MODE", default_value = "text", value_parser = |text: &str| text.parse::<PayloadMode>())]
    payload: PayloadMode,
}

/// Runs `tidewater tail`.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(format_args!("no threads can be started: {error}")))?;
    let follow = Follow {
        json: args.json,
        cursors: args.cursors,
        count: args.count,
        last_event_id: args.last_event_id.unwrap_or_default(),
    };
    let done = runtime.block_on(async {
        let upstream = match args.url.split_once(':') {
            Some((scheme, _))
                if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
            {
                Upstream::Endpoint(Endpoint::new(&args.url, args.since.as_deref())?)
            }
            _ => Upstream::Source(Channels::open(&args.url, args.since.as_deref(), args.payload)?),
        };
        tail::follow(upstream, follow).await
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}
