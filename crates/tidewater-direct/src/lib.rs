//! Tidewater channels as event streams at the cost of the kernel: each is a socket and a place in the channel's log.
//!
//! A web framework keeps a task, a state machine and buffers for every stream that will never send another request. Here a
//! connection's first request is read, the channel's endpoint answers it as it does behind every other server, and the
//! socket goes to a thread that writes the log's shared bytes to it. Everything else on the same port is served by the
//! application's own service:
//!
//! ```no_run
//! # use tidewater_hub::Hub;
//! # use tidewater_direct::{Direct, Routes};
//! # async fn run<S>(hub: Hub, orders: tidewater_hub::Channel, app: S) -> std::io::Result<()>
//! # where
//! #     S: tower_service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<tidewater_http::Body>>
//! #         + Clone + Send + Sync + 'static,
//! #     S::Error: std::error::Error + Send + Sync,
//! #     S::Future: Send,
//! # {
//! // `app` is an axum Router, a warp service, or any other tower service.
//! let signal = async { /* such as tokio::signal::ctrl_c() */ };
//! Direct::new(Routes::new().at("/events/orders", orders))
//!     .fallback(app)
//!     .listen(([127, 0, 0, 1], 8080).into(), tidewater_direct::graceful(&hub, signal))
//!     .await
//! # }
//! ```
//!
//! | a connection that begins with | is |
//! |---|---|
//! | one `GET` of HTTP/1.1 for one of the [`Routes`], its head whole and nothing behind it | answered here, and closed by the end of the answer (`Connection: close`; a stream's body has no frames around its bytes: RFC 9112, §6.3) |
//! | anything else: other paths, other methods, HTTP/1.0, HTTP/2, a body, a second request behind the head, a head that can be read in two ways | the fallback's from its first byte on, and stays it; a channel's requests on it are served, too, by the ordinary path |
//!
//! A server has any number of [`Listener`]s: TCP, Unix sockets, behind proxies that tell whom they speak for, and, with the
//! feature `tls`, TLS with HTTP/2 ([`Listener::tls`]). What is encrypted for each client can't be shared, so streams over
//! TLS are the fallback's.
//!
//! A client that goes is noticed at once; one that is gone without a word, by heartbeats and the
//! [write timeout](Direct::write_timeout). A client that can't take all that there is for it waits for its own socket, and
//! no other client waits for it.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod answer;
mod connection;
mod direct;
mod fallback;
pub mod head;
mod io;
mod listen;
mod overflow;
mod routes;
mod shard;

use tidewater_hub::Hub;

pub use admission::Admitted;
pub use direct::Direct;
pub use listen::{BACKLOG, Listener, bind};
#[cfg(feature = "tls")]
pub use listen::{InvalidTls, Tls};
pub use routes::Routes;
pub use tidewater_http::Peer;

/// For [`Direct::serve`]: waits for the signal, ends every stream with a time to come back, then lets the server go.
pub fn graceful<S>(hub: &Hub, signal: S) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send + 'static,
{
    tidewater_http::drained(hub.clone(), signal)
}
