//! `[proxies]`: who may say for whom a request is.

use tidewater::http::{ForwardingHeader, Proxies};

use super::{
    given::{Given, Wrong},
    reader::Reader,
    setting::{Setting, quoted},
};

/// Whose word about a client's address is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProxiesConfig {
    trusted: Vec<Proxy>,
    header: ForwardingHeader,
}

impl ProxiesConfig {
    pub(super) fn read(table: &mut Reader<'_>) -> Self {
        Self {
            trusted: table.get("trusted", Vec::new()),
            header: table.get("header", ForwardingHeader::default()),
        }
    }

    /// As the library has it. Each was checked when it was read.
    pub(crate) fn proxies(&self) -> tidewater::Result<Proxies> {
        Ok(Proxies::trust(self.trusted.iter().map(|proxy| &proxy.0))?.header(self.header))
    }
}

/// A network, an address, or `unix`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proxy(String);

impl Setting for Proxy {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| {
            Proxies::trust([text]).map(|_| Self(text.to_owned())).map_err(|_| {
                "it is no proxy to trust: write a network (10.0.0.0/8, 2001:db8::/32), an address, or unix for peers on a \
                 Unix socket"
                    .to_owned()
            })
        };
        Ok(given.parsed("a network, such as \"10.0.0.0/8\"", parse)?)
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

impl Setting for ForwardingHeader {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                "it is no forwarding header that is read (there are: x-forwarded-for, forwarded)".to_owned()
            })
        };
        Ok(given.parsed("the name of a header, such as \"x-forwarded-for\"", parse)?)
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}
