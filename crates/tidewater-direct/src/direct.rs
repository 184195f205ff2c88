//! The server: accepts connections, and says what becomes of them.

use std::{error::Error as StdError, fmt, io, net::SocketAddr, pin::pin, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use tidewater_http::Limits;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Listener, Peer, Routes,
    admission::{Admit, Admitted, Connections},
    connection::Serving,
    fallback::{self, Bounds, Fallback, NotFound},
    listen::Listeners,
    overflow::TOLD,
    shard::{Settings, Shards},
};

/// How long connections that carry no direct stream may take to end, once the server is told to.
const LINGER: Duration = Duration::from_secs(2);
/// How long nothing is accepted after an error: too many open files pass by.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// A server of event streams that are written straight to their sockets, beside any hyper or tower service.
///
/// See the [crate](crate) for what it takes over, and what it leaves to the fallback.
#[must_use = "a server does nothing until it serves"]
pub struct Direct {
    routes: Routes,
    fallback: Box<dyn FnOnce(Routes, Bounds) -> Fallback + Send>,
    settings: Settings,
    bounds: Bounds,
    max_connections: usize,
    admit: Option<Admit>,
    take_over: bool,
}

impl Direct {
    /// Streams of an [`Endpoint`](tidewater_http::Endpoint), a [`Channel`](tidewater_hub::Channel), or of
    /// [`Routes`]. Without a fallback all else is 404.
    pub fn new(routes: impl Into<Routes>) -> Self {
        Self {
            routes: routes.into(),
            fallback: Box::new(|routes, bounds| fallback::fallback(routes, |_| NotFound, bounds)),
            settings: Settings {
                shards: thread::available_parallelism().map_or(1, usize::from),
                hold_off: Duration::from_millis(2),
                write_timeout: Duration::from_secs(60),
            },
            bounds: Bounds {
                head_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(75),
                streams: 256,
            },
            max_connections: usize::MAX,
            admit: None,
            take_over: true,
        }
    }

    /// What answers requests that are no channel's: a tower service, such as axum's `Router` or `warp::service`.
    ///
    /// The routes stand before it on its connections, too: a channel's `POST`, or a stream over HTTP/2, needs no route
    /// of the application's. Where a request comes from is its extension [`Peer`](crate::Peer).
    pub fn fallback<S, B>(self, service: S) -> Self
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>>,
        S: Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn StdError + Send + Sync>> + Send,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.fallback_hyper(move |_| TowerToHyperService::new(service.clone()))
    }

    /// The same for hyper's own services, of which each connection gets one, made for the client: such as
    /// `service_fn`, or salvo's `Service::hyper_handler`.
    pub fn fallback_hyper<S, B>(mut self, make: impl Fn(Peer) -> S + Send + Sync + 'static) -> Self
    where
        S: hyper::service::Service<Request<Incoming>, Response = Response<B>>,
        S: Send + Sync + 'static,
        S::Error: Into<Box<dyn StdError + Send + Sync>> + Send,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.fallback = Box::new(move |routes, bounds| fallback::fallback(routes, make, bounds));
        self
    }

    /// How many threads write; one for each core by default, and one at least.
    pub fn shards(mut self, shards: usize) -> Self {
        self.settings.shards = shards.max(1);
        self
    }

    /// The longest that events wait for more to be written with them, when they come faster than they can be written
    /// one by one; 2 ms by default. A server that keeps up never waits.
    pub fn hold_off(mut self, longest: Duration) -> Self {
        self.settings.hold_off = longest;
        self
    }

    /// Whether streams are written straight to their sockets; they are by default. Without it all goes by the fallback.
    pub fn take_over(mut self, streams: bool) -> Self {
        self.take_over = streams;
        self
    }

    /// How long a client may take nothing of what there is for it; 60 s by default, and 1 s at least.
    ///
    /// A client that is gone without a word is noticed so long after its socket is full; on Linux so long after the next
    /// event or heartbeat of a direct stream, unless its socket has been full before.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.settings.write_timeout = timeout.max(Duration::from_secs(1));
        self
    }

    /// How long a request's head may take to arrive, here and in the fallback; 30 s by default. A connection of HTTP/1.1
    /// may wait so long between two requests.
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.head_timeout = timeout;
        self
    }

    /// How long a connection of HTTP/2 may be without a request that is being answered; 75 s by default.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.idle_timeout = timeout;
        self
    }

    /// How many requests, and so streams, one HTTP/2 connection may have at a time; 256 by default. A browser keeps the next
    /// one back until another has ended.
    pub fn max_streams(mut self, streams: u32) -> Self {
        self.bounds.streams = streams.max(1);
        self
    }

    /// How many connections there may be at a time, streams and all others, of all listeners; as many as the system lets by
    /// default.
    ///
    /// Beyond it, who asks for a stream is answered 200 and the time to come back, so that an `EventSource` does (I10);
    /// other requests get a 503. For that 256 connections more may be open, each for some seconds. Those beyond them, and
    /// all with TLS, are closed unanswered.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Whether a peer's connection is let in, asked before a byte of it is read but for a proxy's header; what is answered
    /// is kept until the connection ends. Those that are not let in fare as those beyond
    /// [`max_connections`](Self::max_connections).
    ///
    /// It is asked for each connection, so it has to be quick.
    pub fn admit(mut self, admit: impl Fn(Peer) -> Option<Admitted> + Send + Sync + 'static) -> Self {
        self.admit = Some(Arc::new(admit));
        self
    }

    /// Lets connections in as these limits have places for them, in all and for each address: by
    /// [`admit`](Self::admit), of which there is one. Streams they limit where an endpoint has them
    /// ([`Endpoint::limits`](tidewater_http::Endpoint::limits)).
    pub fn limits(self, limits: Limits) -> Self {
        self.admit(move |peer| limits.connection(&peer).ok().map(Admitted::new))
    }

    /// Listens on an address ([`bind`](crate::bind)) and serves.
    ///
    /// # Errors
    /// As [`bind`](crate::bind) and [`serve`](Self::serve).
    pub async fn listen(self, address: SocketAddr, stop: impl Future<Output = ()>) -> io::Result<()> {
        self.serve(crate::bind(address)?, stop).await
    }

    /// Serves what comes to one listener: [`serve_all`](Self::serve_all).
    ///
    /// # Errors
    /// As [`serve_all`](Self::serve_all).
    ///
    /// # Cancel safety
    /// As [`serve_all`](Self::serve_all).
    pub async fn serve(
        self,
        listener: impl Into<Listener>,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        self.serve_all([listener.into()], stop).await
    }

    /// Serves until `stop` resolves; then no more connections are accepted, those that have begun have 2 s to end, and
    /// streams that are still open are cut; those that have ended, but are not written out, have 2 s as well. When it
    /// returns, nothing is left of the streams, nor of their threads. [`graceful`](crate::graceful) is the `stop` that
    /// ends streams first.
    ///
    /// # Errors
    /// When the threads can't be started.
    ///
    /// # Cancel safety
    /// Dropping it cuts all connections.
    pub async fn serve_all(
        self,
        listeners: impl IntoIterator<Item = Listener>,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let Self { routes, fallback, settings, bounds, max_connections, admit, take_over } = self;
        let mut listeners = Listeners::new(listeners.into_iter().collect());
        let (shards, mut ended) = Shards::start(settings, &Handle::current())?;
        let (serves, stopped) = watch::channel(());
        let serving = Arc::new(Serving {
            fallback: fallback(routes.clone(), bounds),
            routes,
            shards,
            admit,
            told: Arc::new(Semaphore::new(TOLD)),
            take_over,
            head_timeout: bounds.head_timeout,
            write_timeout: settings.write_timeout,
            stopped,
        });
        let mut room = Connections::new(max_connections);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listeners.accept() => accepted,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                () = &mut stop => break,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A client that has gone already, or too many open files: neither ends the server.
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            accepted.socket.set_nodelay();
            if let Some(held) = room.hold() {
                connections.spawn(serving.clone().serve(accepted, held));
            } else if let Ok(place) = serving.told.clone().try_acquire_owned() {
                connections.spawn(serving.clone().overflow(accepted, place));
            }
        }
        drop((listeners, serves));
        let end = async { while connections.join_next().await.is_some() {} };
        if timeout(LINGER, end).await.is_err() {
            tracing::warn!("connections that did not end are cut");
        }
        connections.shutdown().await;
        // Nobody else has it any more: the shards end.
        drop(serving);
        ended.recv().await;
        Ok(())
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct")
            .field("routes", &self.routes)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
