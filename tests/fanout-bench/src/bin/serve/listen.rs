//! The listening socket.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

const BACKLOG: u32 = 4096;

/// Listens. Accepted connections have `TCP_NODELAY` from the listener, whatever accepts them.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
