//! What to serve, checked.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use tidewater::http::Cors;
use tidewater::{AllowedReplay, LagPolicy, Prewarm, SourceUrl};

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
    /// Its own policy, and those that clients may choose; none: the library's default.
    pub(super) lag: Vec<LagPolicy>,
    pub(super) replay: AllowedReplay,
    /// `None`: the library's default.
    pub(super) prewarm: Option<Option<Prewarm>>,
    pub(super) linger: Duration,
}

/// What is said of channels by their names.
#[derive(Debug, Default)]
pub(crate) struct ByName {
    pub(crate) publish: Vec<String>,
    pub(crate) lag: Vec<(String, Vec<LagPolicy>)>,
    pub(crate) replay: Vec<(String, AllowedReplay)>,
    pub(crate) prewarm: Vec<(String, Option<Prewarm>)>,
    pub(crate) linger: Vec<(String, Duration)>,
}

impl Config {
    pub(crate) fn new(
        listen: String,
        server: ServerKind,
        channels: Vec<(String, String)>,
        by_name: &ByName,
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
        by_name.check(&channels)?;
        let cors =
            Cors::origins(origins).map_err(|error| Failure::usage(format_args!("--cors-origin: {error}")))?;
        let channels = channels
            .into_iter()
            .map(|(name, url)| ChannelConfig::new(name, url, by_name))
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
    fn new(name: String, url: String, by_name: &ByName) -> Result<Self, Failure> {
        let parsed: SourceUrl =
            url.parse().map_err(|error| Failure::usage(format_args!("--channel {name}: {error}")))?;
        let is_memory = parsed.scheme() == MEMORY;
        let url = if is_memory { named_memory(&name, &url) } else { url };
        let publish = is_memory || by_name.publish.contains(&name);
        let lag = find(&by_name.lag, &name).cloned().unwrap_or_default();
        let replay = find(&by_name.replay, &name).copied().unwrap_or_default();
        let prewarm = find(&by_name.prewarm, &name).copied();
        let linger = find(&by_name.linger, &name).copied().unwrap_or_default();
        Ok(Self { name, url, publish, lag, replay, prewarm, linger })
    }
}

impl ByName {
    /// Each name is a channel's, and nothing is said twice.
    fn check(&self, channels: &[(String, String)]) -> Result<(), Failure> {
        let once = [
            ("--lag", names(&self.lag)),
            ("--replay", names(&self.replay)),
            ("--prewarm", names(&self.prewarm)),
            ("--linger", names(&self.linger)),
        ];
        for (option, names) in &once {
            let mut said = HashSet::new();
            if let Some(twice) = names.iter().find(|name| !said.insert(**name)) {
                return Err(Failure::usage(format_args!(
                    "{option} is given twice for the channel {twice:?}"
                )));
            }
        }
        let publish = ("--allow-publish", self.publish.iter().collect());
        for (option, names) in std::iter::once(publish).chain(once) {
            let is_known = |name: &String| channels.iter().any(|(known, _)| known == name);
            if let Some(unknown) = names.into_iter().find(|name| !is_known(name)) {
                let known: Vec<_> = channels.iter().map(|(name, _)| name.as_str()).collect();
                return Err(Failure::usage(format_args!(
                    "{option} {unknown}: there is no channel of that name (there are: {})",
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }
}

fn names<T>(all: &[(String, T)]) -> Vec<&String> {
    all.iter().map(|(name, _)| name).collect()
}

fn find<'a, T>(all: &'a [(String, T)], name: &str) -> Option<&'a T> {
    all.iter().find(|(own, _)| own == name).map(|(_, said)| said)
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
        let publish = publish.iter().map(owned).collect();
        with(channels, &ByName { publish, ..ByName::default() })
    }

    fn with(channels: Vec<(String, String)>, by_name: &ByName) -> Result<Config, Failure> {
        Config::new(String::new(), ServerKind::Hyper, channels, by_name, &[], 1, Duration::ZERO)
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
    fn what_is_said_of_a_channel_is_said_once_and_of_one_that_is_there() {
        let channels = || ["a", "b"].map(|name| (name.to_owned(), "memory:".to_owned())).into();
        let lag = |names: &[&str]| {
            let policies = || vec![LagPolicy::Skip, LagPolicy::Conflate];
            ByName {
                lag: names.iter().map(|name| ((*name).to_owned(), policies())).collect(),
                replay: vec![("b".to_owned(), AllowedReplay::Log)],
                ..ByName::default()
            }
        };
        let config = with(channels(), &lag(&["a"])).unwrap();
        let said: Vec<_> = config.channels.iter().map(|own| (own.lag.len(), own.replay)).collect();
        assert_eq!(said, [(2, AllowedReplay::Everything), (0, AllowedReplay::Log)]);
        let refused = |names: &[&str]| with(channels(), &lag(names)).unwrap_err().to_string();
        assert!(refused(&["a", "a"]).contains("--lag is given twice for the channel \"a\""));
        assert!(refused(&["c"]).contains("--lag c: there is no channel of that name (there are: a, b)"));
    }

    #[test]
    fn contradictions_are_refused() {
        let text = |result: Result<Config, Failure>| result.unwrap_err().to_string();
        assert!(text(config(&[("a", "memory:"), ("a", "memory:x")], &[])).contains("\"a\" is given twice"));
        assert!(text(config(&[("a", "memory:")], &["b"])).contains("there are: a"));
        assert!(text(config(&[("a", "orders")], &[])).contains("no scheme"));
    }
}
