//! The PROXY protocol, version 2: whom a proxy speaks for.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. The header is read to its last byte and no further, so
//! what is behind it is the connection's own beginning. The older version, of text, is not understood: its end has to be
//! looked for.

use std::io;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tidewater_http::Proxies;
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

/// Reads the header that a connection from this peer begins with: who is behind it.
///
/// # Errors
/// The peer is none of these proxies, or says nothing that can be understood.
pub(crate) async fn read(socket: &mut Socket, peer: Peer, trusted: &Proxies) -> io::Result<Peer> {
    if !trusted.trusts(&peer) {
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
