//! `tidewater serve`: channels over HTTP.

use std::{ffi::OsStr, num::NonZeroU64, time::Duration};

use clap::builder::{StringValueParser, TypedValueParser};
use tidewater::{AllowedReplay, LagPolicy, Prewarm};

use crate::{
    failure::Failure,
    serve::{self, ByName, Config, ServerKind},
};

/// Serve channels over HTTP: events to browsers, and a page to watch them.
///
/// A channel reads one source and gives it to any number of clients; `tidewater plugins` lists the schemes of sources.
///
///   GET /channels/NAME   the events, as an EventSource reads them
///   POST /channels/NAME  publishes the body, with ?key= and ?event=, where that is allowed
///   GET /channels        the channels, as JSON
///   GET /health/live     200 while the process runs
///   GET /health/ready    200, with "degraded" where a broker is lost; 503 while it shuts down
///   GET /                the page
///
/// Ctrl-C and SIGTERM drain: every stream ends between two events with a time to come back, then the process ends.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen. Port 0 takes a free one; the first line of standard output says which.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// The web server: hyper, warp, rocket or salvo, as far as they are built in.
    #[arg(long, value_name = "SERVER", default_value_t = ServerKind::default())]
    server: ServerKind,
    /// A channel and its source. Repeat it for more. `memory:` alone is a log of the channel's own name.
    #[arg(long = "channel", value_name = "NAME=SOURCE_URL", default_value = "demo=memory:", value_parser = ChannelParser)]
    channels: Vec<(String, String)>,
    /// Let clients publish to this channel. Those in `memory:` may be published to anyway.
    #[arg(long = "allow-publish", value_name = "NAME")]
    publish: Vec<String>,
    /// What happens to a client of this channel that falls behind: backfill (the default), skip, conflate (the newest of
    /// each key) or disconnect; and, behind commas, what its `?lag=` may choose instead.
    #[arg(long = "lag", value_name = "NAME=POLICY[,POLICY]", value_parser = lag)]
    lag: Vec<(String, Vec<LagPolicy>)>,
    /// How far back clients of this channel may go: all (the default), log (what is in memory), or a time (30m, 24h).
    #[arg(long = "replay", value_name = "NAME=LIMIT", value_parser = replay)]
    replay: Vec<(String, AllowedReplay)>,
    /// How much of the past this channel reads into memory when it starts, for clients that come back: a number of events, a
    /// size (16MiB), a time (5m), several behind commas, or off. What is not said is bounded by the memory that a channel
    /// has. The default is 8192,8MiB.
    #[arg(long = "prewarm", value_name = "NAME=BOUND[,BOUND]", value_parser = prewarm)]
    prewarm: Vec<(String, Option<Prewarm>)>,
    /// How long a message of this channel may wait for others, so that clients get them in one write (5ms). The default is
    /// not at all.
    #[arg(long = "linger", value_name = "NAME=DURATION", value_parser = linger)]
    linger: Vec<(String, Duration)>,
    /// Let pages of this origin read the channels, and publish where that is allowed.
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// The most bytes that a published body may have.
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    max_body: NonZeroU64,
    /// How long streams may take to end when it shuts down: seconds, or with a unit (500ms, 1m).
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    drain_timeout: Duration,
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
  tidewater serve --listen 0.0.0.0:80 --server salvo --cors-origin https://app.example

Whoever can reach the address can read every channel, and publish where that is allowed: put a proxy with
authentication before an address beyond loopback.

With rocket, connections wait in the queue that rocket opens (128 to 1024, by the system), not in one of 4096: rocket
0.5 opens its own.

Exit codes: 0 after a drain, 1 failed, 2 wrong command line, 3 the address can't be listened on.";

/// Runs `tidewater serve`.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let config = Config::new(
        args.listen,
        args.server,
        args.channels,
        &ByName {
            publish: args.publish,
            lag: args.lag,
            replay: args.replay,
            prewarm: args.prewarm,
            linger: args.linger,
        },
        &args.origins,
        usize::try_from(args.max_body.get()).unwrap_or(usize::MAX),
        args.drain_timeout,
    )?;
    serve::run(config)
}

/// Splits `NAME=SOURCE_URL`.
///
/// A parser of its own, because clap would show a URL with its password in an error.
#[derive(Clone)]
struct ChannelParser;

impl TypedValueParser for ChannelParser {
    type Value = (String, String);

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, arg, value)?;
        match text.split_once('=') {
            Some((name, url)) if !name.is_empty() && !url.is_empty() && !name.contains(':') => {
                Ok((name.to_owned(), url.to_owned()))
            }
            _ => Err(clap::Error::raw(
                clap::error::ErrorKind::ValueValidation,
                "--channel wants a name and the URL of a source: --channel orders=kafka://localhost:9092/orders\n",
            )
            .with_cmd(command)),
        }
    }
}

/// Splits `NAME=POLICY,POLICY`.
fn lag(text: &str) -> Result<(String, Vec<LagPolicy>), String> {
    let (name, policies) = of_channel(text, "orders=conflate,backfill")?;
    let parse = |policy: &str| policy.trim().parse().map_err(|error| format!("{policy:?}: {error}"));
    Ok((name, policies.split(',').map(parse).collect::<Result<_, _>>()?))
}

/// Splits `NAME=LIMIT`.
fn replay(text: &str) -> Result<(String, AllowedReplay), String> {
    let (name, limit) = of_channel(text, "orders=24h")?;
    let limit = match limit {
        "all" => AllowedReplay::Everything,
        "log" => AllowedReplay::Log,
        age => AllowedReplay::Age(
            humantime::parse_duration(age)
                .map_err(|_| format!("{age:?} is no limit: write all, log, or a time such as 30m or 24h"))?,
        ),
    };
    Ok((name, limit))
}

/// Splits `NAME=BOUND,BOUND`.
fn prewarm(text: &str) -> Result<(String, Option<Prewarm>), String> {
    let (name, bounds) = of_channel(text, "orders=10000,16MiB,5m")?;
    if bounds == "off" {
        return Ok((name, None));
    }
    // What is not said is bounded by the log alone.
    let mut window = Prewarm { events: usize::MAX, bytes: usize::MAX, age: None };
    for bound in bounds.split(',').map(str::trim) {
        if let Ok(events) = bound.parse() {
            window.events = events;
        } else if let Some(bytes) = size(bound) {
            window.bytes = bytes;
        } else {
            window.age = Some(humantime::parse_duration(bound).map_err(|_| {
                format!("{bound:?} is no bound: write a number of events, a size such as 16MiB, a time such as 5m, or off")
            })?);
        }
    }
    Ok((name, Some(window)))
}

/// Splits `NAME=DURATION`.
fn linger(text: &str) -> Result<(String, Duration), String> {
    let (name, linger) = of_channel(text, "orders=5ms")?;
    Ok((name, duration(linger)?))
}

/// A number of bytes with its unit.
fn size(text: &str) -> Option<usize> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    number.trim().parse::<usize>().ok()?.checked_mul(1 << shift)
}

fn of_channel<'a>(text: &'a str, example: &str) -> Result<(String, &'a str), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("it wants the name of a channel first: {example}"))?;
    Ok((name.to_owned(), value))
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| humantime::parse_duration(text).ok()).ok_or_else(|| {
        "it is not a duration: write seconds, or a number with a unit such as 500ms, 10s, 1m".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_limits_are_read() {
        use LagPolicy::{Backfill, Conflate};
        assert_eq!(lag("a=conflate"), Ok(("a".into(), vec![Conflate])));
        assert_eq!(lag("a=conflate,backfill"), Ok(("a".into(), vec![Conflate, Backfill])));
        assert!(lag("a=slow").unwrap_err().contains("backfill, disconnect, skip, conflate"));
        assert!(lag("conflate").unwrap_err().contains("orders=conflate"));
        assert_eq!(replay("a=all"), Ok(("a".into(), AllowedReplay::Everything)));
        assert_eq!(replay("a=log"), Ok(("a".into(), AllowedReplay::Log)));
        assert_eq!(replay("a=1h 30m"), Ok(("a".into(), AllowedReplay::Age(Duration::from_secs(5400)))));
        assert!(replay("a=soon").unwrap_err().contains("24h"));
    }

    #[test]
    fn windows_and_waits_are_read() {
        let window = |text: &str| prewarm(&format!("a={text}")).map(|(_, window)| window);
        let most = Prewarm { events: usize::MAX, bytes: usize::MAX, age: None };
        assert_eq!(window("off"), Ok(None));
        assert_eq!(window("500"), Ok(Some(Prewarm { events: 500, ..most })));
        let all = Prewarm { events: 500, bytes: 2 << 20, age: Some(Duration::from_secs(300)) };
        assert_eq!(window("500, 2MiB, 5m"), Ok(Some(all)));
        for wrong in ["", "many", "2MB", "-1", "99999999999999999999GiB"] {
            assert!(window(wrong).unwrap_err().contains("16MiB"), "{wrong}");
        }
        assert!(prewarm("500").unwrap_err().contains("orders="));
        assert_eq!(linger("a=5ms"), Ok(("a".into(), Duration::from_millis(5))));
        assert!(linger("a=soon").unwrap_err().contains("500ms"));
    }
}
