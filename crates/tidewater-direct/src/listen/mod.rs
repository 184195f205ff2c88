//! Where connections come from.
//!
//! | file | holds |
//! |---|---|
//! | `tcp` | a listening socket with a queue that is long enough |
//! | `socket` | an accepted connection, over TCP or a Unix socket |
//! | `proxy` | the PROXY protocol: whom a proxy speaks for |
//! | `tls` | certificates, and their reload |

mod proxy;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
};

use tidewater_http::Proxies;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use crate::Peer;

pub(crate) use proxy::read as read_proxy_header;
pub(crate) use socket::Socket;
pub use tcp::{BACKLOG, bind};
#[cfg(feature = "tls")]
pub use tls::{InvalidTls, Tls};

/// A listening socket, and what is to be expected on its connections. For [`Direct::serve`](crate::Direct::serve).
pub struct Listener {
    socket: Listening,
    kind: Arc<Kind>,
}

/// What a listener's connections begin with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kind {
    /// A header of the PROXY protocol, from these.
    pub(crate) proxies: Option<Proxies>,
    /// A TLS handshake.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection that has just come.
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) kind: Arc<Kind>,
}

impl Listener {
    /// Its connections are TLS, with HTTP/2 and HTTP/1.1 by ALPN.
    ///
    /// What is written to them is encrypted for each client, so their streams are never taken over: they are served by the
    /// ordinary path. With the PROXY protocol its header comes first, in the clear.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        Arc::make_mut(&mut self.kind).tls = Some(tls);
        self
    }

    /// Its connections come from these proxies, and each begins with a header of the PROXY protocol, version 2, that says
    /// for whom: that is the requests' [`Peer`]. A connection from elsewhere, or without such a header, is closed.
    ///
    /// Whoever may send such a header can claim any address: hence the list.
    #[must_use]
    pub fn proxy_protocol(mut self, from: Proxies) -> Self {
        Arc::make_mut(&mut self.kind).proxies = Some(from);
        self
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        match &self.socket {
            Listening::Tcp(listener) => listener
                .poll_accept(context)
                .map_ok(|(stream, address)| (Socket::Tcp(stream), Peer::Address(address))),
            #[cfg(unix)]
            Listening::Unix(listener) => {
                listener.poll_accept(context).map_ok(|(stream, _)| (Socket::Unix(stream), Peer::Unix))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { socket: Listening::Tcp(listener), kind: Arc::default() }
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self { socket: Listening::Unix(listener), kind: Arc::default() }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Listener");
        match &self.socket {
            Listening::Tcp(listener) => debug.field("socket", listener),
            #[cfg(unix)]
            Listening::Unix(listener) => debug.field("socket", listener),
        };
        debug.field("kind", &self.kind).finish()
    }
}

/// All listeners of a server.
pub(crate) struct Listeners {
    all: Vec<Listener>,
    /// Whose turn it is to be looked at first.
    turn: usize,
}

impl Listeners {
    pub(crate) fn new(all: Vec<Listener>) -> Self {
        Self { all, turn: 0 }
    }

    /// The next connection of any of them; one that is flooded does not keep the others waiting.
    pub(crate) async fn accept(&mut self) -> io::Result<Accepted> {
        std::future::poll_fn(|context| {
            let (before, from) = self.all.split_at(self.turn.min(self.all.len()));
            for listener in from.iter().chain(before) {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    self.turn = (self.turn + 1) % self.all.len();
                    return Poll::Ready(accepted.map(|(socket, peer)| Accepted {
                        socket,
                        peer,
                        kind: listener.kind.clone(),
                    }));
                }
            }
            Poll::Pending
        })
        .await
    }
}
