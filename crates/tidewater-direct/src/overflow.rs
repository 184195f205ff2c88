//! Connections that there is no room for.
//!
//! An `EventSource` gives up for good on any status but 200 (I10), and in Firefox on a connection to another origin that is
//! closed before it is answered. So who asks for a stream is told when to come back, by the endpoint's own head (it has the
//! answer to CORS, and a 401 or 404 means it), and anything else gets a 503. That takes room, too: for so many at a time, and
//! not for long. Beyond that, and with TLS, whose handshake is the dearest part, connections are closed.

use std::{sync::Arc, time::Duration};

use http::header;
use tidewater_http::Body;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Peer,
    answer::{self, Framing},
    connection::Serving,
    head::Verdict,
    listen::{Accepted, Kind, Socket},
};

/// How many connections may be told at a time that there is no room.
pub(crate) const TOLD: usize = 256;
/// How long such a connection may take to ask for something.
const ASKING: Duration = Duration::from_secs(5);
/// When to come back: spread, so that they don't come all at once again.
const COME_BACK: std::ops::Range<u64> = 5_000..15_000;

/// What is no stream's.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

impl Serving {
    /// Tells a connection that has just come to come back.
    pub(crate) async fn overflow(self: Arc<Self>, accepted: Accepted, _place: OwnedSemaphorePermit) {
        let Accepted { mut socket, peer, kind } = accepted;
        if let Some(peer) = self.begin(&mut socket, peer, &kind).await {
            self.turn_away(socket, peer, &kind).await;
        }
    }

    /// The same for one that is known already.
    pub(crate) async fn turn_away(&self, socket: Socket, peer: Peer, kind: &Kind) {
        #[cfg(feature = "tls")]
        if kind.tls.is_some() {
            return;
        }
        #[cfg(not(feature = "tls"))]
        let _: &Kind = kind;
        let Some((head, verdict)) = self.read_head(&socket, ASKING).await else { return };
        // A proxy may ask by HTTP/1.0, as nginx does by default: for a stream all the same.
        let verdict = match verdict {
            Verdict::Other => head.asks().map_or(Verdict::Other, Verdict::Stream),
            verdict => verdict,
        };
        let out = match self.route(verdict, peer) {
            None => NO_ROOM.to_vec(),
            Some(answering) => {
                let (mut parts, body) = answering.await.into_parts();
                match body {
                    Body::Events(_) => {
                        // What is told is not compressed.
                        parts.headers.remove(header::CONTENT_ENCODING);
                        let mut out = answer::head(&parts, Framing::Close);
                        let retry = fastrand::u64(COME_BACK);
                        out.extend_from_slice(format!("retry: {retry}\n\n").as_bytes());
                        out
                    }
                    Body::Full(bytes) => {
                        let mut out = answer::head(&parts, Framing::Length(bytes.len()));
                        out.extend_from_slice(&bytes);
                        out
                    }
                }
            }
        };
        if let Err(error) = self.send(socket, &out).await {
            tracing::debug!(%error, "a connection was not told to come back");
        }
    }
}
