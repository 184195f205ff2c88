//! One accepted connection: its first request's head decides whose it is.

use std::{io, sync::Arc, time::Duration};

use http::Response;
use tidewater_http::Body;
use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    Peer,
    admission::{Admit, Held},
    answer::{self, Framing},
    fallback::{Fallback, Io},
    head::{Head, Verdict},
    io::{Begun, Patient},
    listen::{self, Accepted, Kind, Socket},
    routes::{Answering, Route, Routes},
    shard::{Arrival, Shards},
};

/// What every connection is served with.
pub(crate) struct Serving {
    pub(crate) routes: Routes,
    pub(crate) fallback: Fallback,
    pub(crate) shards: Shards,
    pub(crate) admit: Option<Admit>,
    /// Room for connections that are told that there is none.
    pub(crate) told: Arc<Semaphore>,
    /// Whether streams are written straight to their sockets.
    pub(crate) take_over: bool,
    pub(crate) head_timeout: Duration,
    pub(crate) write_timeout: Duration,
    /// Closes when the server is told to end.
    pub(crate) stopped: watch::Receiver<()>,
}

/// How much room there is for a head at first. A browser's fits, with its cookies.
const ROOM: usize = 2 << 10;
/// How long a proxy's header and a TLS handshake may take, each.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl Serving {
    /// Serves it to its end, or until a shard has it.
    pub(crate) async fn serve(self: Arc<Self>, accepted: Accepted, mut held: Held) {
        let Accepted { mut socket, peer, kind } = accepted;
        let Some(peer) = self.begin(&mut socket, peer, &kind).await else { return };
        if let Some(admit) = &self.admit {
            match admit(peer) {
                Some(admitted) => held = held.keep(admitted),
                None => {
                    let Ok(_place) = self.told.try_acquire() else { return };
                    return Box::pin(self.turn_away(socket, peer, &kind)).await;
                }
            }
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &kind.tls {
            // All that TLS needs is large, and none of it is in the room of those that have none.
            return Box::pin(self.secure(socket, peer, tls.clone())).await;
        }
        drop(kind);
        if let Some((socket, answering)) = self.first_request(socket, peer).await
            && let Err(error) = self.answer(socket, answering.await, held).await
        {
            tracing::debug!(%error, "an answer was not sent");
        }
    }

    /// Who is there: a proxy says for whom it speaks.
    pub(crate) async fn begin(&self, socket: &mut Socket, peer: Peer, kind: &Kind) -> Option<Peer> {
        let Some(proxies) = &kind.proxies else { return Some(peer) };
        let header = Box::pin(listen::read_proxy_header(socket, peer, proxies));
        match timeout(HANDSHAKE_TIMEOUT, header).await {
            Ok(Ok(behind)) => return Some(behind),
            // Whoever only looks whether the port is open, every few seconds.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::debug!(%peer, "a connection ended before a proxy's header")
            }
            Ok(Err(error)) => {
                tracing::warn!(%peer, %error, "a connection without a proxy's header is closed")
            }
            Err(_) => tracing::warn!(%peer, "a proxy's header took too long"),
        }
        None
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, socket: Socket, peer: Peer, tls: crate::Tls) {
        let socket = Patient::new(socket, self.write_timeout);
        let mut stopped = self.stopped.clone();
        let handshake = tokio::select! {
            handshake = timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)) => handshake,
            _ = stopped.changed() => return,
        };
        match handshake {
            Ok(Ok(stream)) => (self.fallback)(Io::Tls(Box::new(stream)), peer, self.stopped.clone()).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    /// Who answers the first request, if that is one of a stream. All else is served here to its end.
    async fn first_request(&self, socket: Socket, peer: Peer) -> Option<(Socket, Answering)> {
        let (head, verdict) = self.read_head(&socket, self.head_timeout).await?;
        match self.route(verdict, peer).filter(|_| self.take_over) {
            Some(answering) => Some((socket, answering)),
            None => {
                let io = Begun::new(head.into_bytes(), Patient::new(socket, self.write_timeout));
                (self.fallback)(Io::Plain(io), peer, self.stopped.clone()).await;
                None
            }
        }
    }

    pub(crate) fn route(&self, verdict: Verdict, peer: Peer) -> Option<Answering> {
        let Verdict::Stream(mut parts) = verdict else { return None };
        parts.extensions.insert(peer);
        Some(match self.routes.route(&parts)? {
            Route::Handler(answer) => answer,
            Route::Endpoint(endpoint) => {
                Box::pin(
                    async move { endpoint.respond(http::Request::from_parts(*parts, Body::empty())).await },
                )
            }
        })
    }

    async fn answer(&self, socket: Socket, response: Response<Body>, held: Held) -> io::Result<()> {
        let (parts, body) = response.into_parts();
        match body {
            Body::Events(events) => {
                let head = answer::head(&parts, Framing::Close).into();
                let socket = socket.try_into()?;
                self.shards.add(Arrival { socket, head, stream: events.into(), held })
            }
            Body::Full(bytes) => {
                let mut out = answer::head(&parts, Framing::Length(bytes.len()));
                out.extend_from_slice(&bytes);
                self.send(socket, &out).await
            }
        }
    }

    /// Sends the last bytes of a connection.
    pub(crate) async fn send(&self, mut socket: Socket, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            socket.write_all(bytes).await?;
            socket.shutdown().await
        };
        timeout(self.head_timeout, sent).await?
    }

    /// Reads until it is clear what the connection begins with. `None`, and nothing more is to be done, if that never is.
    pub(crate) async fn read_head(&self, socket: &Socket, longest: Duration) -> Option<(Head, Verdict)> {
        let mut head = Head::default();
        match timeout(longest, self.read(socket, &mut head)).await {
            Ok(Ok(Some(verdict))) => return Some((head, verdict)),
            Ok(Ok(None)) => tracing::debug!("a connection ended that had not begun"),
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended within a request's head"),
            Err(_) => tracing::debug!("a request's head took too long"),
        }
        None
    }

    /// `None` if it has not begun when the server is told to end.
    async fn read(&self, socket: &Socket, head: &mut Head) -> io::Result<Option<Verdict>> {
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                biased;
                ready = socket.readable() => ready?,
                _ = stopped.changed(), if head.buffer().is_empty() => return Ok(None),
            }
            head.buffer().reserve(ROOM);
            match socket.try_read_buf(head.buffer()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => match head.judge() {
                    Verdict::Partial => {}
                    verdict => return Ok(Some(verdict)),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
