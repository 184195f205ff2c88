//! The listening socket.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted. With tokio's own 128 a burst of reconnecting pages gets in at 130 a
/// second; the system's own limit (`net.core.somaxconn`) applies as well.
pub const BACKLOG: u32 = 4096;

/// Listens with a queue that is long enough for a burst of reconnecting pages ([`BACKLOG`]).
///
/// The address may be taken again right after another process has let go of it, and each event is one write that does
/// not wait for the next (`TCP_NODELAY`).
///
/// # Errors
/// What the system says: the port is taken, not allowed, or the address is not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a restart need not wait for the old connections' last minute. (On Windows it means something else.)
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // On Linux a connection has it from its listener.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
