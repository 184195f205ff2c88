//! Where a request comes from.

use std::net::SocketAddr;

/// The address of the client's end of a connection: an extension of every request, a proxy's where there is one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);
