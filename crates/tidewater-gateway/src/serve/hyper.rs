//! Plain hyper: the site as a service, one task a connection.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tidewater::http::{Body, Peer};
use tokio::{net::TcpStream, time::timeout};

use super::{
    ServerKind, announce, listen,
    shutdown::{LINGER, Shutdown},
    site::Site,
};
use crate::failure::Failure;

/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn serve(site: Arc<Site>, address: SocketAddr, shutdown: Shutdown) -> Result<(), Failure> {
    let listener = listen::bind(address)?;
    announce(listener.local_addr().unwrap_or(address), ServerKind::Hyper);
    let connections = GracefulShutdown::new();
    let mut drained = pin!(shutdown.drained());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut drained => break,
        };
        match accepted {
            Ok((stream, peer)) => connection(stream, peer.into(), site.clone(), &connections),
            Err(error) => {
                // A client that has gone already, or too many open files: neither ends the server.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if timeout(LINGER, connections.shutdown()).await.is_err() {
        tracing::warn!("connections that did not end are cut");
    }
    Ok(())
}

fn connection(stream: TcpStream, peer: Peer, site: Arc<Site>, connections: &GracefulShutdown) {
    // Each event is one write that should not wait for the next.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not set");
    }
    // hyper keeps the room of what answers for as long as the connection lives.
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        Box::pin(answer(site.clone(), request))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
    });
}

async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    Ok(match site.endpoint(path) {
        Some(endpoint) => endpoint.respond(request).await,
        None => site.plain(request.method(), path, request.headers()).map(Body::Full),
    })
}
