//! `[server]`: where and how it serves.

use std::{net::SocketAddr, time::Duration};

use super::{
    given::{Given, Wrong},
    reader::Reader,
    setting::{Setting, quoted},
};
use crate::serve::ServerKind;

/// Where and how it serves.
#[derive(Debug)]
pub(crate) struct ServerConfig {
    pub(crate) listen: Listen,
    pub(crate) kind: ServerKind,
    /// How long streams may take to end at a shutdown.
    pub(crate) drain_timeout: Duration,
    /// Whether there is a page at `/`.
    pub(crate) page: bool,
}

impl ServerConfig {
    pub(super) fn read(table: &mut Reader<'_>) -> Self {
        let mut listen = table.get("listen", vec![Listen::default()]);
        if listen.len() != 1 {
            table.refuse("listen", "it listens on one address: write one HOST:PORT");
        }
        Self {
            listen: listen.pop().unwrap_or_default(),
            kind: table.get("server", ServerKind::default()),
            drain_timeout: table.get("drain_timeout", Duration::from_secs(10)),
            page: table.get("page", true),
        }
    }
}

/// Where to listen: an address or a name, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) String);

impl Default for Listen {
    fn default() -> Self {
        Self("127.0.0.1:8080".to_owned())
    }
}

impl Setting for Listen {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| {
            let is_named = text.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains([':', '/', ' ']) && port.parse::<u16>().is_ok()
            });
            if is_named || text.parse::<SocketAddr>().is_ok() {
                return Ok(Self(text.to_owned()));
            }
            Err("it is no address: write an address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"
                .to_owned())
        };
        Ok(given.parsed("an address and a port, such as \"127.0.0.1:8080\"", parse)?)
    }

    fn show(&self) -> String {
        quoted(&self.0)
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
