//! A server of plain hyper, with the endpoint in both forms.

use std::{convert::Infallible, io};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tidewater_http::{Body, Endpoint, Limits, Peer, Reply, Resume};
use tidewater_hub::{Channel, Select};
use tidewater_testkit::web::{Mount, Running};
use tokio::net::TcpListener;
use tower::ServiceExt;

/// What every request needs.
#[derive(Clone)]
pub struct Site {
    pub endpoint: Endpoint,
    pub channel: Channel,
    pub limits: Limits,
}

/// Serves until the mount's `stop`, then drains, then waits for the connections.
pub async fn serve<F, B>(
    mount: Mount,
    route: impl Fn(Site, Request<Incoming>) -> F + Clone + Send + 'static,
) -> io::Result<Running>
where
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let Mount { endpoint, channel, limits, stop } = mount;
    let stop = tidewater_http::drained(channel.hub().clone(), stop);
    let site = Site { endpoint, channel, limits };
    let done = tokio::spawn(async move {
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let (socket, peer) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                () = &mut stop => break,
            };
            let (site, route) = (site.clone(), route.clone());
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Peer::Address(peer));
                let answer = route(site.clone(), request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            let connection = graceful.watch(connection);
            tokio::spawn(async move { connection.await.ok() });
        }
        drop(listener);
        graceful.shutdown().await;
    });
    Ok(Running { address, done })
}

/// The routes of the suite.
pub async fn route(site: Site, request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() == "/closed" {
        return site.endpoint.oneshot(request).await.unwrap();
    }
    let (parts, _) = request.into_parts();
    if parts.method != Method::GET {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    match Resume::from_parts(&parts) {
        Err(rejection) => rejection.into_response(),
        Ok(resume) if parts.uri.path() == "/limited" => {
            let Site { channel, limits, .. } = site;
            resume.open_limited(&channel, Select::all(), &limits, None).await.into_response()
        }
        Ok(resume) => match parts.uri.path().strip_prefix("/keys/") {
            Some(key) => {
                Reply::from(site.channel.stream(resume, Select::key(key.to_owned())).await).into_response()
            }
            None => resume.open(&site.channel).await.into_response(),
        },
    }
}

/// An answer without a body.
pub fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
