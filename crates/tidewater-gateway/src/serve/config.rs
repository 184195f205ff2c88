//! What to serve, checked.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use tidewater::SourceUrl;
use tidewater::http::Cors;

use super::ServerKind;
use crate::failure::Failure;

/// What to serve. What can be known to be wrong without opening anything is refused on the way in.
#[derive(Debug)]
pub(crate) struct Config {
    pub(super) listen: String,
    pub(super) server: ServerKind,
    pub(super) channels: Vec<ChannelConfig>,
    pub(super) cors: Cors,
    pub(super) max_body: usize,
    pub(super) drain_timeout: Duration,
}

/// One channel.
#[derive(Debug)]
pub(crate) struct ChannelConfig {
    pub(super) name: String,
    /// With its secrets: never shown.
    pub(super) url: String,
    pub(super) publish: bool,
}

impl Config {
    pub(crate) fn new(
        listen: String,
        server: ServerKind,
        channels: Vec<(String, String)>,
        publish: &[String],
        origins: &[String],
        max_body: usize,
        drain_timeout: Duration,
    ) -> Result<Self, Failure> {
        let mut names = HashSet::new();
        if let Some((twice, _)) = channels.iter().find(|(name, _)| !names.insert(name)) {
            return Err(Failure::usage(format_args!(
                "the channel {twice:?} is given twice: each --channel needs a name of its own"
            )));
        }
        if let Some(unknown) = publish.iter().find(|name| !names.contains(name)) {
            let known: Vec<_> = channels.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Failure::usage(format_args!(
                "--allow-publish {unknown}: there is no channel of that name (there are: {})",
                known.join(", ")
            )));
        }
        let cors =
            Cors::origins(origins).map_err(|error| Failure::usage(format_args!("--cors-origin: {error}")))?;
        let channels = channels
            .into_iter()
            .map(|(name, url)| ChannelConfig::new(name, url, publish))
            .collect::<Result<_, _>>()?;
        Ok(Self { listen, server, channels, cors, max_body, drain_timeout })
    }

    /// What anybody can do who reaches this address.
    pub(super) fn exposure(&self, address: SocketAddr) -> String {
        let names = |of: &dyn Fn(&&ChannelConfig) -> bool| {
            let names: Vec<_> =
                self.channels.iter().filter(of).map(|channel| channel.name.as_str()).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        format!(
            "warning: {address} is beyond loopback, and there is no authentication. Anyone who can reach it can\n  \
             read:  {}\n  write: {}\nListen on 127.0.0.1, or let a firewall or a proxy say who may reach it.",
            names(&|_| true),
            names(&|channel| channel.publish),
        )
    }
}

impl ChannelConfig {
    fn new(name: String, url: String, publish: &[String]) -> Result<Self, Failure> {
        let parsed: SourceUrl =
            url.parse().map_err(|error| Failure::usage(format_args!("--channel {name}: {error}")))?;
        let is_memory = parsed.scheme() == MEMORY;
        let url = if is_memory { named_memory(&name, &url) } else { url };
        let publish = is_memory || publish.contains(&name);
        Ok(Self { name, url, publish })
    }
}

const MEMORY: &str = "memory";

/// A memory log without a name has the channel's.
fn named_memory(name: &str, url: &str) -> String {
    match url.split_once(':') {
        Some((scheme, rest)) if rest.is_empty() || rest.starts_with('?') => format!("{scheme}:{name}{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(channels: &[(&str, &str)], publish: &[&str]) -> Result<Config, Failure> {
        let owned = |text: &&str| (*text).to_owned();
        let channels = channels.iter().map(|(name, url)| (owned(name), owned(url))).collect();
        let publish: Vec<_> = publish.iter().map(owned).collect();
        Config::new(String::new(), ServerKind::Hyper, channels, &publish, &[], 1, Duration::ZERO)
    }

    #[test]
    fn a_bare_memory_log_has_the_channels_name() {
        for (url, named) in [
            ("memory:", "memory:demo"),
            ("memory:?events=5", "memory:demo?events=5"),
            ("memory:other", "memory:other"),
        ] {
            assert_eq!(config(&[("demo", url)], &[]).unwrap().channels[0].url, named);
        }
    }

    #[test]
    fn publishing_is_for_memory_and_for_those_allowed() {
        let channels = [("a", "memory:"), ("b", "nats://h/s"), ("c", "nats://h/s")];
        let config = config(&channels, &["c"]).unwrap();
        assert_eq!(
            config.channels.iter().map(|channel| channel.publish).collect::<Vec<_>>(),
            [true, false, true]
        );
        let text = config.exposure(([0, 0, 0, 0], 80).into());
        assert!(text.contains("read:  a, b, c\n") && text.contains("write: a, c\n"), "{text}");
    }

    #[test]
    fn contradictions_are_refused() {
        let text = |result: Result<Config, Failure>| result.unwrap_err().to_string();
        assert!(text(config(&[("a", "memory:"), ("a", "memory:x")], &[])).contains("\"a\" is given twice"));
        assert!(text(config(&[("a", "memory:")], &["b"])).contains("there are: a"));
        assert!(text(config(&[("a", "orders")], &[])).contains("no scheme"));
    }
}
