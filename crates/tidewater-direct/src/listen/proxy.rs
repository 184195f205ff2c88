//! The PROXY protocol, version 2: whom a proxy speaks for.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. The header is read to its last byte and no further, so
//! what is behind it is the connection's own beginning. The older version, of text, is not understood: its end has to be
//! looked for.

use std::{error::Error as StdError, fmt, io, net::IpAddr};

use ipnet::IpNet;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::AsyncReadExt as _;

use super::Socket;
use crate::Peer;

/// What each header begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part whose length is always the same; the length of the rest is at its end.
const FIXED: usize = 16;
/// The longest rest. Addresses take 216 bytes at most; what proxies say besides (certificates' names, ids of clouds) some
/// hundreds. It is skipped.
const MAX_REST: usize = 4 << 10;

/// Which proxies may say for whom they speak: networks, and who connects over a Unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

impl TrustedProxies {
    /// Networks (`10.0.0.0/8`, `fd00::/8`), addresses (`192.0.2.7`), and `unix` for Unix sockets.
    ///
    /// # Errors
    /// One that is none of these.
    pub fn new(proxies: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, InvalidProxy> {
        let mut trusted = Self::default();
        for proxy in proxies {
            let text = proxy.as_ref().trim();
            if text == "unix" {
                trusted.unix = true;
            } else if let Ok(network) = text.parse() {
                trusted.networks.push(network);
            } else if let Ok(address) = text.parse::<IpAddr>() {
                trusted.networks.push(address.into());
            } else {
                return Err(InvalidProxy(text.to_owned()));
            }
        }
        Ok(trusted)
    }

    /// Whether this peer is one of them. An IPv4 address that an IPv6 socket shows as `::ffff:a.b.c.d` is the address that
    /// it is.
    pub fn contains(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => self.unix,
            Peer::Address(address) => {
                let address = address.ip().to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
        }
    }
}

/// What is no network, no address and not `unix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProxy(String);

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network: write a network such as 10.0.0.0/8 or fd00::/8, an address, or unix",
            self.0
        )
    }
}

impl StdError for InvalidProxy {}

/// Reads the header that a connection from this peer begins with: who is behind it.
///
/// # Errors
/// The peer is none of these proxies, or says nothing that can be understood.
pub(crate) async fn read(socket: &mut Socket, peer: Peer, trusted: &TrustedProxies) -> io::Result<Peer> {
    if !trusted.contains(peer) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is no trusted proxy"));
    }
    let mut fixed = [0; FIXED];
    socket.read_exact(&mut fixed).await?;
    let mut header = fixed.to_vec();
    header.resize(FIXED + rest(fixed)?, 0);
    socket.read_exact(&mut header[FIXED..]).await?;
    parse(&header, peer)
}

/// How long the rest is.
fn rest(fixed: [u8; FIXED]) -> io::Result<usize> {
    let [.., high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    match fixed.starts_with(SIGNATURE) && length <= MAX_REST {
        true => Ok(length),
        false => Err(invalid()),
    }
}

/// A whole header. What a proxy says of itself (`LOCAL`: it asks whether the server lives), and what is no address, is the
/// proxy's own.
fn parse(header: &[u8], peer: Peer) -> io::Result<Peer> {
    let config = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (read, length) = ProxyHeader::parse(header, config).map_err(|_| invalid())?;
    match read.proxied_address() {
        _ if length != header.len() => Err(invalid()),
        None => Ok(peer),
        Some(address) if address.protocol == Protocol::Stream => Ok(Peer::Address(address.source)),
        Some(_) => Err(invalid()),
    }
}

fn invalid() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "it does not begin with a header of the PROXY protocol, version 2",
    )
}
