//! Addresses.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

use tokio::net::TcpListener;

use crate::failure::Failure;

/// The address that this text names: numbers, or a name to look up.
pub(in crate::serve) async fn resolve(text: &str) -> Result<SocketAddr, Failure> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wanted = text.to_owned();
    let found = tokio::task::spawn_blocking(move || wanted.to_socket_addrs().map(|mut all| all.next())).await;
    let why = match found {
        Ok(Ok(Some(address))) => return Ok(address),
        Ok(Ok(None)) => "it has no address".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(Failure::usage(format_args!(
        "{text} can't be listened on: {why}. Write an address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"
    )))
}

/// Listens with a queue that is long enough for a burst of reconnecting pages.
pub(in crate::serve) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    tidewater::direct::bind(address).map_err(|error| refused(address, &error))
}

/// Why an address can't be listened on, and what to do.
pub(in crate::serve) fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let port = address.port();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens on port {port} (`ss -ltnp sport = :{port}` shows which): stop it, or take another \
             port with --listen {}:PORT (0 takes a free one)",
            bracketed(address)
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {port} needs a privilege that this process has not got: take one from 1024 on, such as --listen {}:8080",
            bracketed(address)
        ),
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: 127.0.0.1 is for this machine alone, 0.0.0.0 is every address it has".into()
        }
        _ => "choose another with --listen HOST:PORT".into(),
    };
    Failure::listen(format_args!("{address} can't be listened on: {error}. {advice}"))
}

fn bracketed(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() }
}
