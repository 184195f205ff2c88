//! `[server]`: where and how it serves.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

#[cfg(feature = "tls")]
use tidewater::direct::Tls;
use tidewater::{direct::Listener, http::Proxies};

use super::{
    given::{Given, Wrong},
    listen::Listen,
    reader::Reader,
    setting::{Setting, quoted},
};
use crate::{access::Format, failure::Failure, serve::ServerKind};

/// As the library has it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Less is no time for a client that is far away.
const SECOND: Duration = Duration::from_secs(1);

/// Where and how it serves.
#[derive(Debug)]
pub(crate) struct ServerConfig {
    /// What stays as long as the process runs.
    pub(crate) listening: Arc<Listening>,
    /// How long streams may take to end at a shutdown.
    pub(crate) drain_timeout: Duration,
    /// Whether there is a console at `/`.
    pub(crate) console: bool,
    pub(crate) access_log: AccessLog,
    /// Whether there are metrics at `/metrics`.
    pub(crate) metrics: bool,
}

/// Where it listens, and by what.
#[derive(Debug)]
pub(crate) struct Listening {
    /// One at least.
    pub(crate) listen: Vec<Listen>,
    /// Where all but the channels is then, if anywhere.
    pub(crate) admin_listen: Vec<Listen>,
    pub(crate) kind: ServerKind,
    certificates: Vec<String>,
    keys: Vec<String>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
    proxy_protocol_from: Vec<String>,
    /// Whose connections begin with a header that says for whom they are.
    pub(crate) proxies: Option<Proxies>,
    pub(crate) max_connections: MaxConnections,
    /// How long a request's head may take, or what is between two requests.
    pub(crate) head_timeout: Duration,
    /// How long a connection of HTTP/2 may be without a request.
    pub(crate) idle_timeout: Duration,
    /// How long a client may take nothing of what there is for it.
    pub(crate) write_timeout: Duration,
}

impl ServerConfig {
    pub(super) fn read(table: &mut Reader<'_>) -> Self {
        Self {
            listening: Arc::new(Listening::read(table)),
            drain_timeout: table.get("drain_timeout", Duration::from_secs(10)),
            console: table.get("console", true),
            access_log: table.get("access_log", AccessLog::default()),
            metrics: table.get("metrics", true),
        }
    }
}

impl Listening {
    fn read(table: &mut Reader<'_>) -> Self {
        let listen = table.get("listen", vec![Listen::default()]);
        let admin_listen: Vec<Listen> = table.get("admin_listen", Vec::new());
        let kind = table.get("server", ServerKind::default());
        if listen.is_empty() {
            table.refuse("listen", "it listens nowhere: write one HOST:PORT at least");
        }
        let certificates: Vec<String> = table.get("tls_certificate", Vec::new());
        let keys: Vec<String> = table.get("tls_key", Vec::new());
        let wants_tls = listen.iter().chain(&admin_listen).any(Listen::is_tls);
        let has_pairs = has_pairs(table, wants_tls, &certificates, &keys);
        #[cfg(not(feature = "tls"))]
        let _: bool = has_pairs;
        let proxy_protocol_from: Vec<String> = table.get("proxy_protocol_from", Vec::new());
        let listening = Self {
            #[cfg(feature = "tls")]
            tls: has_pairs
                .then(|| Tls::from_files(certificates.iter().zip(&keys)))
                .and_then(|tls| tls.map_err(|error| table.refuse("tls_certificate", error)).ok()),
            proxies: proxies(table, &proxy_protocol_from),
            max_connections: table.get("max_connections", MaxConnections::default()),
            head_timeout: table.within("head_timeout", HEAD_TIMEOUT, SECOND, Duration::MAX),
            idle_timeout: table.within("idle_timeout", IDLE_TIMEOUT, SECOND, Duration::MAX),
            write_timeout: table.within("write_timeout", WRITE_TIMEOUT, SECOND, Duration::MAX),
            listen,
            admin_listen,
            kind,
            certificates,
            keys,
            proxy_protocol_from,
        };
        if !listening.is_simple() && !kind.counts_connections() {
            table.refuse(
                "server",
                format_args!(
                    "{kind} listens on one address, without TLS: more listeners, https://, unix:, admin_listen, \
                     proxy_protocol_from, max_connections, head_timeout, idle_timeout and write_timeout are for direct and hyper"
                ),
            );
        }
        listening
    }

    /// The keys in which another differs.
    pub(crate) fn changes(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        [
            ("listen", self.listen != other.listen),
            ("admin_listen", self.admin_listen != other.admin_listen),
            ("server", self.kind != other.kind),
            ("tls_certificate", self.certificates != other.certificates),
            ("tls_key", self.keys != other.keys),
            ("proxy_protocol_from", self.proxy_protocol_from != other.proxy_protocol_from),
            ("max_connections", self.max_connections != other.max_connections),
            ("head_timeout", self.head_timeout != other.head_timeout),
            ("idle_timeout", self.idle_timeout != other.idle_timeout),
            ("write_timeout", self.write_timeout != other.write_timeout),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
    }

    /// The same listener with TLS.
    pub(crate) fn secure(&self, listener: Listener) -> Result<Listener, Failure> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Ok(listener.tls(tls.clone()));
        }
        // The configuration has been refused for it; never is it served in the clear.
        drop(listener);
        Err(Failure::usage("https:// needs a certificate and its key"))
    }

    /// Whether any web server can do it.
    fn is_simple(&self) -> bool {
        matches!(self.listen.as_slice(), [] | [Listen::Tcp { tls: false, .. }])
            && self.admin_listen.is_empty()
            && self.proxies.is_none()
            && self.max_connections == MaxConnections::default()
            && (self.head_timeout, self.idle_timeout, self.write_timeout)
                == (HEAD_TIMEOUT, IDLE_TIMEOUT, WRITE_TIMEOUT)
    }
}

/// Whether there are certificates and keys that are wanted.
fn has_pairs(table: &Reader<'_>, wanted: bool, certificates: &[String], keys: &[String]) -> bool {
    let (some, others) = (certificates.len(), keys.len());
    let (key, what) = if some != others {
        let key = if some < others { "tls_key" } else { "tls_certificate" };
        (
            key,
            format!(
                "certificates have {some} files, and keys {others}: each certificate needs its key, in the same order"
            ),
        )
    } else if !wanted && some > 0 {
        (
            "tls_certificate",
            "no listener uses it: write listen = \"https://0.0.0.0:8443\", or the like".to_owned(),
        )
    } else if wanted && some == 0 {
        // What can't be read has been told of.
        if table.has("tls_certificate") {
            return false;
        }
        (
            "listen",
            "https:// needs a certificate and its key: tls_certificate and tls_key name their files"
                .to_owned(),
        )
    } else {
        return wanted;
    };
    table.refuse(key, what);
    false
}

fn proxies(table: &Reader<'_>, from: &[String]) -> Option<Proxies> {
    if from.is_empty() {
        return None;
    }
    Proxies::trust(from).map_err(|error| table.refuse("proxy_protocol_from", error)).ok()
}

/// How requests are written to standard output; `None`: not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccessLog(pub(crate) Option<Format>);

impl Setting for AccessLog {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("\"text\", \"json\" or \"off\"", |text| match text {
            "off" => Ok(Self(None)),
            "text" => Ok(Self(Some(Format::Text))),
            "json" => Ok(Self(Some(Format::Json))),
            _ => Err("there is no such access log (there are: off, text, json)".to_owned()),
        })?)
    }

    fn show(&self) -> String {
        quoted(match self.0 {
            None => "off",
            Some(Format::Text) => "text",
            Some(Format::Json) => "json",
        })
    }
}

/// How many connections there may be; `None`: as many as open files allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaxConnections(pub(crate) Option<NonZeroUsize>);

impl Setting for MaxConnections {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        match given.expanded("a number, or \"auto\"") {
            Ok(text) if text == "auto" => Ok(Self(None)),
            _ => NonZeroUsize::read(given).map(|most| Self(Some(most))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| quoted("auto"), |most| most.to_string())
    }
}

impl Setting for ServerKind {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("the name of a web server, such as \"direct\"", str::parse)?)
    }

    fn show(&self) -> String {
        quoted(self.name())
    }
}
