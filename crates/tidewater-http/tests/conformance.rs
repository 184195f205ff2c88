//! The endpoint on plain hyper, which mounts it as it is.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{convert::Infallible, io};

use async_trait::async_trait;
use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tidewater_http::{Body, Endpoint, Reply, Resume};
use tidewater_hub::{Channel, Select};
use tidewater_testkit::web::{Mount, Running, Server};
use tokio::net::TcpListener;
use tower::ServiceExt;

#[derive(Debug)]
struct Hyper;

#[async_trait]
impl Server for Hyper {
    async fn start(&self, mount: Mount) -> io::Result<Running> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let done = tokio::spawn(async move {
            let graceful = GracefulShutdown::new();
            let mut stop = std::pin::pin!(tidewater_http::drained(mount.channel.hub().clone(), mount.stop));
            loop {
                let (socket, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    () = &mut stop => break,
                };
                let (endpoint, channel) = (mount.endpoint.clone(), mount.channel.clone());
                let service = service_fn(move |request| route(endpoint.clone(), channel.clone(), request));
                let connection =
                    graceful.watch(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
                tokio::spawn(async move { connection.await.ok() });
            }
            drop(listener);
            graceful.shutdown().await;
        });
        Ok(Running { address, done })
    }
}

async fn route(
    endpoint: Endpoint,
    channel: Channel,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/closed" {
        return endpoint.oneshot(request).await;
    }
    let (parts, _) = request.into_parts();
    if parts.method != Method::GET {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let resume = match Resume::from_parts(&parts) {
        Ok(resume) => resume,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    Ok(match parts.uri.path().strip_prefix("/keys/") {
        Some(key) => Reply::from(channel.stream(resume, Select::key(key.to_owned())).await).into_response(),
        None => resume.open(&channel).await.into_response(),
    })
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

tidewater_testkit::web_suite!(Hyper);
