//! Which peers are proxies that are trusted, and whom they speak for.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
    sync::{Arc, OnceLock},
};

use http::{HeaderMap, HeaderName, header};
use ipnet::{IpNet, Ipv4Net};
use tidewater_core::{Error, ErrorKind, Result};

use super::{
    MOST_HOPS, forwarded,
    list::{self, X_FORWARDED_FOR},
};
use crate::Peer;

/// The proxies whose word about a client's address is taken. The default trusts none. Cloning shares it.
///
/// A client's address begins as its peer's. While that is a trusted proxy's, it is the next hop from the right of the
/// forwarding header; so what stands further to the left than the first hop that is not trusted, which any client can
/// write, is never looked at. A hop that is no address (`unknown`, an obfuscated name, garbage) ends it as well: the client
/// then has the address of the proxy that said so.
///
/// ```
/// use tidewater_http::{Peer, Proxies};
///
/// # fn main() -> tidewater_core::Result<()> {
/// let proxies = Proxies::trust(["10.0.0.0/8", "unix"])?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", http::HeaderValue::from_static("192.0.2.1, 203.0.113.9, 10.0.0.4"));
/// let client = proxies.client(&Peer::Unix, &headers);
/// assert_eq!(client, Some([203, 0, 113, 9].into()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    networks: Vec<IpNet>,
    unix: bool,
    header: ForwardingHeader,
    suspicion: OnceLock<String>,
}

/// The header in which proxies say whom they speak for. One of the two is read, never both: a proxy that writes one
/// passes the other on as a client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`: what most proxies write. The default.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Proxies {
    /// Trusts these: networks (`10.0.0.0/8`, `2001:db8::/32`), single addresses, and `unix` for whatever comes over a Unix
    /// socket. None of them trusts nobody, as the default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is none of these.
    pub fn trust<I>(proxies: I) -> Result<Self>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut inner = Inner::default();
        for proxy in proxies {
            match proxy.as_ref().trim() {
                "unix" => inner.unix = true,
                proxy => inner.networks.push(network(proxy)?),
            }
        }
        Ok(Self(Arc::new(inner)))
    }

    /// The header that they write.
    #[must_use]
    pub fn header(self, header: ForwardingHeader) -> Self {
        let Inner { networks, unix, .. } = &*self.0;
        let (networks, unix) = (networks.clone(), *unix);
        Self(Arc::new(Inner { networks, unix, header, suspicion: OnceLock::new() }))
    }

    /// Whether an address is a trusted proxy's.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether a peer is a trusted proxy.
    pub fn trusts(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Address(address) => self.is_trusted(address.ip()),
            Peer::Unix => self.0.unix,
        }
    }

    /// The address of a request's client. What is mapped into IPv6 is IPv4.
    ///
    /// `None` on a Unix socket, where nobody trusted says an address.
    pub fn client(&self, peer: &Peer, headers: &HeaderMap) -> Option<IpAddr> {
        let address = peer.address().map(|address| address.ip().to_canonical());
        if !self.trusts(peer) {
            self.suspect(address, headers);
            return address;
        }
        match self.0.header {
            ForwardingHeader::XForwardedFor => self.behind(address, list::hops(headers)),
            ForwardingHeader::Forwarded => self.behind(address, forwarded::hops(headers)),
        }
    }

    fn behind(
        &self,
        mut address: Option<IpAddr>,
        hops: impl Iterator<Item = Option<IpAddr>>,
    ) -> Option<IpAddr> {
        for hop in hops.take(MOST_HOPS).map_while(|hop| hop) {
            address = Some(hop);
            if !self.is_trusted(hop) {
                break;
            }
        }
        address
    }

    /// Why addresses are taken for proxies' by now, in words: a private peer has sent a forwarding header while no proxy
    /// is trusted. Limits per address are off from then on, as all clients of that proxy would be one.
    pub fn suspicion(&self) -> Option<&str> {
        self.0.suspicion.get().map(String::as_str)
    }

    /// A peer from outside may write what it likes; one from inside that forwards is most likely a proxy that was
    /// forgotten.
    fn suspect(&self, address: Option<IpAddr>, headers: &HeaderMap) {
        let Inner { networks, unix, suspicion, .. } = &*self.0;
        if !networks.is_empty() || *unix || suspicion.get().is_some() || !address.is_none_or(is_private) {
            return;
        }
        let Some(header) =
            [X_FORWARDED_FOR, header::FORWARDED].into_iter().find(|name| headers.contains_key(name))
        else {
            return;
        };
        let (peer, trust) = match address {
            Some(address) => (address.to_string(), address.to_string()),
            None => ("a peer on a Unix socket".to_owned(), "unix".to_owned()),
        };
        let text = format!(
            "{peer} sends {header} and no proxy is trusted, so limits per address are off: all clients of a proxy would be one. \
             If it is a proxy, trust it ([proxies] trusted = [\"{trust}\"] in the gateway's configuration, Proxies::trust in an application)"
        );
        if suspicion.set(text.clone()).is_ok() {
            tracing::warn!("{text}");
        }
    }
}

fn network(proxy: &str) -> Result<IpNet> {
    let network = match proxy.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => proxy.parse().map_err(|_| {
            let text = format!(
                "{proxy:?} is no proxy to trust: write a network (10.0.0.0/8, 2001:db8::/32), an address, or unix for peers on a Unix socket"
            );
            Error::new(ErrorKind::Config, text)
        })?,
    };
    // Addresses are compared as IPv4 where they are.
    Ok(match network {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(v4), Some(length)) => Ipv4Net::new(v4, length).map_or(network, IpNet::V4),
            _ => network,
        },
        IpNet::V4(_) => network,
    })
}

/// Whether an address is of a machine's or an organisation's own: no client from outside has it.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared(v4),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// RFC 6598: between a provider and its customers; balancers of clouds have such addresses.
fn is_shared(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [100, 64..=127, ..])
}

impl ForwardingHeader {
    /// The header's name.
    pub fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => X_FORWARDED_FOR,
            Self::Forwarded => header::FORWARDED,
        }
    }
}

impl fmt::Display for ForwardingHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().as_str())
    }
}

impl FromStr for ForwardingHeader {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = [Self::XForwardedFor, Self::Forwarded];
        known.into_iter().find(|header| name.eq_ignore_ascii_case(header.name().as_str())).ok_or_else(|| {
            let text = format!(
                "{name:?} is no forwarding header that is read (there are: x-forwarded-for, forwarded)"
            );
            Error::new(ErrorKind::Config, text)
        })
    }
}
