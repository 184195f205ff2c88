//! Where it listens: opened, and told.
//!
//! | file | holds |
//! |---|---|
//! | `tcp` | addresses |
//! | `unix` | Unix sockets, and their files |
//! | `certificates` | certificates that are renewed while it runs |
//! | `files` | how many files may be open, and so how many connections |

#[cfg(feature = "tls")]
mod certificates;
mod files;
mod tcp;
#[cfg(unix)]
mod unix;

use std::net::SocketAddr;

use tidewater::{
    direct::{Listener, Peer},
    http::Proxies,
};

#[cfg(feature = "tls")]
pub(super) use self::certificates::{keep_fresh, reload};
#[cfg(any(feature = "rocket", feature = "salvo"))]
pub(super) use self::tcp::refused;
pub(super) use self::{
    files::connections,
    tcp::{bind, resolve},
};
use crate::{
    config::{Listen, Listening},
    failure::Failure,
};

/// A listener that is open.
pub(super) struct Open {
    pub(super) listener: Listener,
    /// As people write it: `http://127.0.0.1:8080/`, `unix:/run/tidewater.sock`.
    pub(super) name: String,
    /// Removed when it is dropped.
    #[cfg(unix)]
    pub(super) file: Option<unix::SocketFile>,
}

impl Open {
    /// Opens one. What it needs for TLS is the server's.
    async fn new(
        listen: &Listen,
        server: &Listening,
        proxies: Option<&Proxies>,
        exposed: &dyn Fn(SocketAddr, bool),
    ) -> Result<Self, Failure> {
        match listen {
            Listen::Tcp { address, tls } => {
                let address = resolve(address).await?;
                if !address.ip().is_loopback() {
                    exposed(address, *tls);
                }
                let socket = bind(address)?;
                let address = socket.local_addr().unwrap_or(address);
                let listener = proxied(socket.into(), proxies);
                let (scheme, listener) =
                    if *tls { ("https", server.secure(listener)?) } else { ("http", listener) };
                let name = format!("{scheme}://{address}/");
                Ok(Self {
                    listener,
                    name,
                    #[cfg(unix)]
                    file: None,
                })
            }
            #[cfg(unix)]
            Listen::Unix(path) => {
                let (socket, file) = unix::bind(path).await?;
                let proxies = proxies.filter(|proxies| proxies.trusts(&Peer::Unix));
                let listener = proxied(socket.into(), proxies);
                Ok(Self { listener, name: listen.to_string(), file: Some(file) })
            }
            #[cfg(not(unix))]
            Listen::Unix(_) => Err(Failure::usage("there are no Unix sockets on this system")),
        }
    }

    /// Opens all of them, or none. What can be reached from elsewhere is told first.
    pub(super) async fn all(
        listen: &[Listen],
        server: &Listening,
        proxies: Option<&Proxies>,
        exposed: &dyn Fn(SocketAddr, bool),
    ) -> Result<Vec<Self>, Failure> {
        let mut all = Vec::new();
        for listen in listen {
            all.push(Self::new(listen, server, proxies, exposed).await?);
        }
        Ok(all)
    }
}

fn proxied(listener: Listener, proxies: Option<&Proxies>) -> Listener {
    match proxies {
        Some(proxies) => listener.proxy_protocol(proxies.clone()),
        None => listener,
    }
}
