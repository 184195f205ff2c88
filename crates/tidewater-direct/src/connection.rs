//! One accepted connection: its first request's head decides whose it is.

use std::{io, sync::Arc, time::Duration};

use http::Response;
use hyper_util::server::graceful::Watcher;
use tidewater_http::Body;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch, time::timeout};

use crate::{
    Peer,
    answer::{self, Framing},
    fallback::Fallback,
    head::{Head, Verdict},
    routes::{Route, Routes},
    shard::Shards,
};

/// What every connection is served with.
pub(crate) struct Serving {
    pub(crate) routes: Routes,
    pub(crate) fallback: Fallback,
    pub(crate) shards: Shards,
    pub(crate) head_timeout: Duration,
    /// Closes when the server is told to end.
    pub(crate) stopped: watch::Receiver<()>,
}

/// How much room there is for a head at first. A browser's fits, with its cookies.
const ROOM: usize = 2 << 10;

impl Serving {
    /// Serves it to its end, or until a shard has it.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream, peer: Peer, watcher: Watcher) {
        let mut head = Head::default();
        let mut verdict = match timeout(self.head_timeout, self.read(&stream, &mut head)).await {
            Ok(Ok(Some(verdict))) => verdict,
            Ok(Ok(None)) => return tracing::debug!("a connection ended that had not begun"),
            Ok(Err(error)) => return tracing::debug!(%error, "a connection ended within a request's head"),
            Err(_) => return tracing::debug!("a request's head took too long"),
        };
        let route = match &mut verdict {
            Verdict::Stream(parts) => {
                parts.extensions.insert(peer);
                self.routes.route(parts)
            }
            Verdict::Partial | Verdict::Other => None,
        };
        let answering =
            match (route, verdict) {
                (Some(Route::Handler(answer)), _) => answer,
                (Some(Route::Endpoint(endpoint)), Verdict::Stream(parts)) => Box::pin(async move {
                    endpoint.respond(http::Request::from_parts(*parts, Body::empty())).await
                }),
                _ => return (self.fallback)(stream, peer, head.into_bytes(), watcher).await,
            };
        // Its room would be kept until the answer is there.
        drop(head);
        if let Err(error) = self.answer(stream, answering.await).await {
            tracing::debug!(%error, "an answer was not sent");
        }
    }

    async fn answer(&self, mut stream: TcpStream, response: Response<Body>) -> io::Result<()> {
        let (parts, body) = response.into_parts();
        match body {
            Body::Events(events) => {
                let head = answer::head(&parts, Framing::Close);
                self.shards.add(stream.into_std()?, head.into(), events.into())
            }
            Body::Full(bytes) => {
                let mut out = answer::head(&parts, Framing::Length(bytes.len()));
                out.extend_from_slice(&bytes);
                let sent = async {
                    stream.write_all(&out).await?;
                    stream.shutdown().await
                };
                timeout(self.head_timeout, sent).await?
            }
        }
    }

    /// Reads until it is clear what the connection begins with. `None` if it has not begun when the server is told to end.
    async fn read(&self, stream: &TcpStream, head: &mut Head) -> io::Result<Option<Verdict>> {
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                biased;
                ready = stream.readable() => ready?,
                _ = stopped.changed(), if head.buffer().is_empty() => return Ok(None),
            }
            head.buffer().reserve(ROOM);
            match stream.try_read_buf(head.buffer()) {
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
