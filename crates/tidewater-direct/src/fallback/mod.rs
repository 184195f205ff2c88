//! Everything that is no direct stream: a hyper server on the same connection.
//!
//! | file | holds |
//! |---|---|
//! | `routed` | the routes, and the application's service behind them |
//! | `activity` | how many requests of a connection are being answered, and when there have been none for too long |

mod activity;
mod routed;

use std::{error::Error as StdError, pin::Pin, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use self::activity::Activity;
pub(crate) use self::routed::NotFound;
use self::routed::Routed;
use crate::{
    Peer, Routes,
    head::{MAX_HEAD, MAX_HEADERS},
    io::{Begun, Patient},
};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Serves a connection until it ends, or its server is told to end (the receiver's sender is gone).
pub(crate) type Fallback = Arc<dyn Fn(Io, Peer, watch::Receiver<()>) -> Serving + Send + Sync>;
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection as it is, or with TLS around it.
pub(crate) enum Io {
    Plain(Begun<Patient>),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Patient>>),
}

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long a head may take to arrive.
    pub(crate) head_timeout: Duration,
    /// How long there may be no request.
    pub(crate) idle_timeout: Duration,
    /// How many requests of one HTTP/2 connection may be open.
    pub(crate) streams: u32,
}

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(20);
/// How much of an answer waits for an HTTP/2 client's window.
const SEND_BUFFER: usize = 64 << 10;
/// How much of requests' bodies an HTTP/2 client may send unasked: on one stream, and on all.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// How long a connection that was idle may take to say farewell.
const LINGER: Duration = Duration::from_secs(2);

/// The application's own service, behind the routes: a channel is asked for in any way, on any connection, and whatever
/// is no channel's is the service's.
pub(crate) fn fallback<S, B>(
    routes: Routes,
    make: impl Fn(Peer) -> S + Send + Sync + 'static,
    bounds: Bounds,
) -> Fallback
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    Arc::new(move |io, peer, stopped| {
        let activity = Activity::default();
        let service = Routed::new(routes.clone(), peer, make(peer), activity.clone());
        match io {
            Io::Plain(io) => Box::pin(serve(io, service, activity, stopped, bounds)),
            #[cfg(feature = "tls")]
            Io::Tls(mut io) => Box::pin(async move {
                let mut ended = stopped.clone();
                let begun = tokio::select! {
                    begun = timeout(bounds.head_timeout, begin(&mut io)) => begun,
                    // Nothing has been asked: a browser opens connections before it needs them.
                    _ = ended.changed() => return,
                };
                match begun {
                    Ok(Ok(begun)) => serve(Begun::new(begun, io), service, activity, stopped, bounds).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS connection ended that had not begun"),
                    Err(_) => tracing::debug!("a TLS connection took too long to begin"),
                }
            }),
        }
    })
}

async fn serve<S, B>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Routed<S>,
    activity: Activity,
    mut stopped: watch::Receiver<()>,
    bounds: Bounds,
) where
    S: Service<http::Request<Incoming>, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(MAX_HEADERS)
        // A head that does not fit is answered 431.
        .max_buf_size(MAX_HEAD);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let mut connection = pin!(server.serve_connection_with_upgrades(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // The server cuts what does not end soon.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = activity.idle(bounds.idle_timeout) => {
            connection.as_mut().graceful_shutdown();
            timeout(LINGER, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Reads until it is clear whether it is HTTP/2: hyper would wait for that without end.
#[cfg(feature = "tls")]
async fn begin(io: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    use crate::head::PREFACE;
    use tokio::io::AsyncReadExt as _;

    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        if io.read_buf(&mut begun).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(begun)
}
