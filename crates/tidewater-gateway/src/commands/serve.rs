//! `tidewater serve`: channels over HTTP.

use crate::{
    config::{self, Flags},
    failure::{Failure, warn_of},
    serve,
    trace::Traces,
};

/// Serve channels over HTTP: events to browsers, and a console to watch them.
///
/// A channel reads one source and gives it to any number of clients; `tidewater plugins` lists the schemes of sources.
///
///   GET /channels/NAME   the events, as an EventSource reads them
///   POST /channels/NAME  publishes the body, with ?key= and ?event=, where that is allowed
///   GET /channels        the channels, as JSON
///   GET /health/live     200 while the process runs
///   GET /health/ready    200, with "degraded" where a broker is lost; 503 while it shuts down
///   GET /metrics         metrics for Prometheus
///   GET /                the console: a page that shows channels and events, and publishes
///
/// Ctrl-C and SIGTERM drain: every stream ends between two events with a time to come back, then the process ends.
/// SIGHUP reads the configuration again, and says in the log what has changed and what needs a restart.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: Flags,
}

const EXAMPLES: &str = "\
Examples:
  tidewater serve
      one channel in memory: open http://127.0.0.1:8080/, or
      curl -N localhost:8080/channels/demo
      curl -d hello localhost:8080/channels/demo
  tidewater serve --channel orders=kafka://localhost:9092/orders
  tidewater serve --channel a=nats://localhost:4222/a.* --channel b=jetstream://localhost:4222/STREAM
  tidewater serve --channel orders=kafka://localhost:9092/orders --allow-publish orders
  tidewater serve --channel prices=kafka://localhost:9092/prices --lag prices=conflate,backfill --replay prices=24h
      slow clients get the newest of each key, unless they ask for ?lag=backfill; nobody goes back more than a day
  tidewater serve --channel 'orders=kafka:///orders?config=client.properties'
  tidewater serve --channel 'notes=nats://nats.example/notes.>?user=web&password=${NATS_PASSWORD}'
      a file of the client's settings; a secret from the environment
  tidewater serve --config tidewater.toml
      all of it from a file; see docs/configuration.md and `tidewater check`
  tidewater serve --listen 0.0.0.0:80 --cors-origin https://app.example

Without [authorization] in the configuration, whoever can reach the address can read every channel, and publish where
that is allowed.

With rocket, connections wait in the queue that rocket opens (128 to 1024, by the system), not in one of 4096: rocket
0.5 opens its own.

Exit codes: 0 after a drain, 1 failed, 2 wrong command line or configuration, 3 the address can't be listened on.";

/// Runs `tidewater serve`.
pub(crate) fn run(args: Args, traces: Traces) -> Result<(), Failure> {
    let loaded = config::load(&args.flags).map_err(|findings| Failure::findings(&findings))?;
    warn_of(&loaded.warnings);
    serve::run(loaded.config, args.flags, traces)
}
