//! Everything that is no direct stream: a hyper server on the same connection.

use std::{convert::Infallible, error::Error as StdError, io::Cursor, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::Watcher},
};
use tidewater_http::Body;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{
    Peer,
    routes::{Answering, Route, Routes},
};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Serves a connection that has begun with these bytes, until it ends or the watcher ends it.
pub(crate) type Fallback = Arc<dyn Fn(TcpStream, Peer, Vec<u8>, Watcher) -> Serving + Send + Sync>;
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The application's own service, behind the routes: a channel is asked for in any way, on any connection, and whatever
/// is no channel's is the service's.
pub(crate) fn fallback<S, B>(
    routes: Routes,
    make: impl Fn(Peer) -> S + Send + Sync + 'static,
    head_timeout: Duration,
) -> Fallback
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    Arc::new(move |stream, peer, begun, watcher| {
        let service = Routed { routes: routes.clone(), peer, service: Arc::new(make(peer)) };
        Box::pin(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout);
            server.http2().timer(TokioTimer::new());
            let (reader, writer) = stream.into_split();
            let io = TokioIo::new(tokio::io::join(Cursor::new(begun).chain(reader), writer));
            let connection = server.serve_connection_with_upgrades(io, service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended");
            }
        })
    })
}

/// What answers where there is no fallback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotFound;

impl Service<Request<Incoming>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let message = format!("there is nothing at {}\n", request.uri().path());
        let mut response = Response::new(Full::from(message));
        *response.status_mut() = StatusCode::NOT_FOUND;
        let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        std::future::ready(Ok(response))
    }
}

/// The routes, and the application's service for the rest.
struct Routed<S> {
    routes: Routes,
    peer: Peer,
    service: Arc<S>,
}

impl<S> Clone for Routed<S> {
    fn clone(&self) -> Self {
        Self { routes: self.routes.clone(), peer: self.peer, service: self.service.clone() }
    }
}

impl<S, B> Service<Request<Incoming>> for Routed<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = Response<Either<Body, B>>;
    type Error = S::Error;
    // hyper keeps the room of what answers for as long as the connection lives.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(self.peer);
        let answer: Answering = match self.routes.route(&head) {
            Some(Route::Handler(answer)) => answer,
            Some(Route::Endpoint(endpoint)) => {
                Box::pin(async move { endpoint.respond(Request::from_parts(head, body)).await })
            }
            None => {
                let answer = self.service.call(Request::from_parts(head, body));
                return Box::pin(async move { Ok(answer.await?.map(Either::Right)) });
            }
        };
        Box::pin(async move { Ok(answer.await.map(Either::Left)) })
    }
}
