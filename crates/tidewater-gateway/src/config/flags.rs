//! The flags of `serve` and `check`: they win over the file and the environment.

use std::{collections::HashSet, ffi::OsStr, path::PathBuf};

use clap::builder::{StringValueParser, TypedValueParser};

use super::{
    given::{Given, Origin, Table, Value, Wrong},
    reader::Finding,
};

/// What is to be served: a file, and what wins over it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// A file of settings (TOML); docs/configuration.md tells of all. What `TIDEWATER_*` variables say wins over it, and
    /// what stands here wins over both. Without this no file is read.
    #[arg(long, value_name = "FILE", env = "TIDEWATER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen (127.0.0.1:8080), with https:// before it for TLS; or unix:/PATH. Repeat it for more. Port 0 takes
    /// a free one; standard output says which, a line for each.
    #[arg(long, value_name = "[https://]HOST:PORT")]
    listen: Vec<String>,
    /// Where the console, the health checks, the listing and the metrics are, and the channels too; at --listen are the
    /// channels alone then.
    #[arg(long, value_name = "HOST:PORT")]
    admin_listen: Vec<String>,
    /// The certificates for https://, the server's own first, in PEM. Repeat it, with --tls-key, for more names.
    #[arg(long, value_name = "FILE")]
    tls_certificate: Vec<String>,
    /// The key of --tls-certificate, in PEM. Both are read again when they change, and on SIGHUP.
    #[arg(long, value_name = "FILE")]
    tls_key: Vec<String>,
    /// These proxies (10.0.0.0/8, 192.0.2.7, unix) begin each connection with a header of the PROXY protocol, version 2,
    /// which says for whom it is; connections from others are closed.
    #[arg(long, value_name = "NETWORK")]
    proxy_protocol_from: Vec<String>,
    /// How many connections there may be (as many as open files allow).
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<String>,
    /// The web server: direct (the default) or hyper; warp, rocket or salvo in a build with the feature all-servers.
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// A channel and its source. Repeat it for more. `memory:` alone is a log of the channel's own name; without any
    /// channel and any file there is `demo=memory:`.
    #[arg(long = "channel", value_name = "NAME=SOURCE_URL", value_parser = ChannelParser)]
    channels: Vec<(String, Url)>,
    /// Let clients publish to this channel. Those in `memory:` and `embedded:` may be published to anyway.
    #[arg(long = "allow-publish", value_name = "NAME")]
    publish: Vec<String>,
    /// What happens to a client of this channel that falls behind: backfill (the default), skip, conflate (the newest of
    /// each key) or disconnect; and, behind commas, what its `?lag=` may choose instead.
    #[arg(long = "lag", value_name = "NAME=POLICY[,POLICY]", value_parser = |text: &str| of_channel(text, "orders=conflate,backfill"))]
    lag: Vec<(String, String)>,
    /// How far back clients of this channel may go: all (the default), log (what is in memory), or a time (30m, 24h).
    #[arg(long = "replay", value_name = "NAME=LIMIT", value_parser = |text: &str| of_channel(text, "orders=24h"))]
    replay: Vec<(String, String)>,
    /// How much of the past this channel reads into memory when it starts, for clients that come back: a number of events, a
    /// size (16MiB), a time (5m), several behind commas, or off. What is not said is bounded by the memory that a channel
    /// has. The default is 8192,8MiB.
    #[arg(long = "prewarm", value_name = "NAME=BOUND[,BOUND]", value_parser = |text: &str| of_channel(text, "orders=10000,16MiB,5m"))]
    prewarm: Vec<(String, String)>,
    /// How long a message of this channel may wait for others, so that clients get them in one write (5ms). The default is
    /// not at all.
    #[arg(long = "linger", value_name = "NAME=DURATION", value_parser = |text: &str| of_channel(text, "orders=5ms"))]
    linger: Vec<(String, String)>,
    /// Compress streams of this channel for clients that ask for it: with all encodings there are, or with those that are
    /// named (zstd, gzip). Not for a channel that mixes secrets with what others can write. The default is not at all.
    #[arg(long = "compress", value_name = "NAME[=ENCODING,ENCODING]", value_parser = compress)]
    compress: Vec<(String, String)>,
    /// Let pages of this origin read the channels, and publish where that is allowed.
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// How many streams there may be, of all channels (auto: nine tenths of the connections), or off.
    #[arg(long, value_name = "NUMBER")]
    max_streams: Option<String>,
    /// How many streams one address may have (1000), or off.
    #[arg(long, value_name = "NUMBER")]
    streams_per_address: Option<String>,
    /// How often one client may publish (1000/s): so many times a second, minute or hour (10/s, 600/m, 1000/h), or off.
    #[arg(long, value_name = "RATE")]
    publish_rate: Option<String>,
    /// Trust this proxy (10.0.0.0/8, 192.0.2.7, unix): X-Forwarded-For says for whom its requests are. Repeat it for more.
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<String>,
    /// The most bytes that a published body may have (1MiB).
    #[arg(long, value_name = "SIZE")]
    max_body: Option<String>,
    /// Write a line to standard output for each request to a channel, and one for each stream that ends: text, json, or off
    /// (the default). docs/logs.md tells what is in it.
    #[arg(long, value_name = "FORMAT")]
    access_log: Option<String>,
    /// How long streams may take to end when it shuts down: seconds, or with a unit (10s, 500ms, 1m).
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,
}

impl Flags {
    /// What they say, and what they say twice.
    pub(super) fn read(&self) -> (Table, Vec<Finding>) {
        let (mut table, mut findings) = (Table::default(), Vec::new());
        for (flag, path, value) in [
            ("--server", ["server", "server"], &self.server),
            ("--max-connections", ["server", "max_connections"], &self.max_connections),
            ("--drain-timeout", ["server", "drain_timeout"], &self.drain_timeout),
            ("--access-log", ["server", "access_log"], &self.access_log),
            ("--max-body", ["limits", "max_body"], &self.max_body),
            ("--max-streams", ["limits", "streams"], &self.max_streams),
            ("--streams-per-address", ["limits", "streams_per_address"], &self.streams_per_address),
            ("--publish-rate", ["limits", "publish"], &self.publish_rate),
        ] {
            if let Some(text) = value {
                // Its value is no secret, and tells which of many commands it was.
                table.set(&path, Given::text(Origin::Flag(format!("{flag} {text}")), text));
            }
        }
        for (flag, path, values) in [
            ("--listen", ["server", "listen"], &self.listen),
            ("--admin-listen", ["server", "admin_listen"], &self.admin_listen),
            ("--tls-certificate", ["server", "tls_certificate"], &self.tls_certificate),
            ("--tls-key", ["server", "tls_key"], &self.tls_key),
            ("--proxy-protocol-from", ["server", "proxy_protocol_from"], &self.proxy_protocol_from),
            ("--cors-origin", ["cors", "origins"], &self.origins),
            ("--trusted-proxy", ["proxies", "trusted"], &self.trusted_proxy),
        ] {
            match values.as_slice() {
                [] => {}
                [one] => table.set(&path, Given::text(Origin::Flag(format!("{flag} {one}")), one)),
                all => {
                    let one = |text: &String| Given::text(Origin::Flag(format!("{flag} {text}")), text);
                    let value = Value::List(all.iter().map(one).collect());
                    table.set(&path, Given { at: Origin::Flag(flag.to_owned()), value });
                }
            }
        }
        let urls = self.channels.iter().map(|(name, url)| (name, &url.0)).collect();
        for (flag, key, all) in [
            ("--channel", "source", urls),
            ("--lag", "lag", pairs(&self.lag)),
            ("--replay", "replay", pairs(&self.replay)),
            ("--prewarm", "prewarm", pairs(&self.prewarm)),
            ("--linger", "linger", pairs(&self.linger)),
            ("--compress", "compress", pairs(&self.compress)),
        ] {
            let mut said = HashSet::new();
            for (name, text) in all {
                let at = Origin::Flag(format!("{flag} {name}"));
                if !said.insert(name) {
                    let what = match flag {
                        "--channel" => {
                            format!("the channel {name:?} is given twice: each needs a name of its own")
                        }
                        _ => format!("{flag} is given twice for the channel {name:?}"),
                    };
                    findings.push(Finding::new("", Wrong { at: at.clone(), what }));
                }
                table.set(&["channels", name, key], Given::text(at, text));
            }
        }
        for name in &self.publish {
            let at = Origin::Flag(format!("--allow-publish {name}"));
            table.set(&["channels", name, "publish"], Given { at, value: Value::Boolean(true) });
        }
        (table, findings)
    }
}

fn pairs(all: &[(String, String)]) -> Vec<(&String, &String)> {
    all.iter().map(|(name, text)| (name, text)).collect()
}

/// With its secrets: never shown.
#[derive(Clone)]
struct Url(String);

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Url(..)")
    }
}

/// Splits `NAME=SOURCE_URL`.
///
/// A parser of its own, because clap would show a URL with its password in an error.
#[derive(Clone)]
struct ChannelParser;

impl TypedValueParser for ChannelParser {
    type Value = (String, Url);

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, arg, value)?;
        match text.split_once('=') {
            Some((name, url)) if !name.is_empty() && !url.is_empty() && !name.contains(':') => {
                Ok((name.to_owned(), Url(url.to_owned())))
            }
            _ => Err(clap::Error::raw(
                clap::error::ErrorKind::ValueValidation,
                "--channel wants a name and the URL of a source: --channel orders=kafka://localhost:9092/orders\n",
            )
            .with_cmd(command)),
        }
    }
}

/// Splits `NAME=ENCODING,ENCODING`. A name alone has all there are.
fn compress(text: &str) -> Result<(String, String), String> {
    let (name, encodings) = text.split_once('=').unwrap_or((text, "all"));
    Ok((name.to_owned(), encodings.to_owned()))
}

/// Splits `NAME=VALUE`.
fn of_channel(text: &str, example: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("it wants the name of a channel first: {example}"))?;
    Ok((name.to_owned(), value.to_owned()))
}
