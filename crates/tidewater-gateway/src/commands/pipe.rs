//! `tidewater pipe`: every message of a source into a sink.

use std::{path::PathBuf, time::Duration};

use crate::{
    config::Url,
    failure::Failure,
    pipe::{self, From, Pipe},
};

/// Move every message of a source into a sink, and go on where it stopped.
///
/// What the sink has is remembered in a checkpoint file, and where the sink can, in the sink itself together with the
/// messages: then each message is there once, however often the pipe is killed. The first line says which it is.
///
/// Messages keep their keys, headers and payloads, and their order in each partition. Whatever is away, source or sink,
/// is waited for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidewater pipe embedded:./data kafka://localhost:9092/orders
      out of one machine: what is in the file, and what comes, into Kafka
  tidewater pipe jetstream://localhost:4222/ORDERS 'kafka://broker:9092/orders?sasl.username=me&sasl.password=${PASSWORD}'
      a secret stays in the environment
  tidewater pipe kafka://localhost:9092/orders jetstream://localhost:4222/ORDERS/orders.new --until-caught-up
      what is there now, then end
  tidewater pipe kafka://old:9092/orders kafka://new:9092/orders --from 2h --checkpoint /var/lib/pipe/orders.json

SIGTERM and Ctrl-C end it when what is under way is done; a second one ends it at once.

Exit codes: 0 when it has caught up, or was asked to end; 1 where it can't go on: everything before that is in the sink;
2 wrong command line, or a checkpoint of another pipe.")]
pub(crate) struct Args {
    /// Where messages come from: the URL of a source (`tidewater plugins` lists them). ${NAME} is an environment variable.
    #[arg(value_name = "SOURCE_URL")]
    source: String,
    /// Where they go to: the URL of a sink.
    #[arg(value_name = "SINK_URL")]
    sink: String,
    /// The file that says how far it has come. Default: a name made of source and sink, in this directory.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Where a pipe begins: earliest, latest, a time (2026-01-31T12:00:00Z), a duration ago (5m), or the id of an event.
    /// Default: earliest. One that has begun goes on where it stopped.
    #[arg(long, value_name = "WHEN")]
    from: Option<String>,
    /// The name by which the sink knows this pipe, of A-Z, a-z, 0-9, - and _. Default: made of source and sink, so that a
    /// pipe whose checkpoint is lost is known all the same.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// End when everything is written that the source holds at the start.
    #[arg(long)]
    until_caught_up: bool,
    /// Keep no position in the sink: faster, needs fewer rights, and after a crash the last messages may be written again.
    #[arg(long)]
    at_least_once: bool,
    /// Go on behind what the source no longer has (removed by retention, a topic made anew) instead of ending.
    #[arg(long)]
    skip_gaps: bool,
    /// Leave out messages that the sink refuses (too large) instead of ending.
    #[arg(long)]
    skip_rejected: bool,
}

/// Runs `tidewater pipe`.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let pipe = Pipe {
        from: args.from.as_deref().map(From::parse).transpose()?,
        source: Url::parse(&args.source).map_err(Failure::usage)?,
        sink: Url::parse(&args.sink).map_err(Failure::usage)?,
        checkpoint: args.checkpoint,
        id: args.id,
        at_least_once: args.at_least_once,
        until_caught_up: args.until_caught_up,
        skip_gaps: args.skip_gaps,
        skip_rejected: args.skip_rejected,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(format_args!("no threads can be started: {error}")))?;
    let done = runtime.block_on(pipe::run(pipe));
    // What still runs (a broker's client that says goodbye) is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}
