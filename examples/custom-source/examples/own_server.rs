//! A channel through a web server that Tidewater has no crate for. Here it is plain hyper:
//! `cargo run -p custom-source --example own_server`.

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tidewater::{
    Channel, Hub, Select,
    http::{Body, Endpoint, Rejection, Reply, Resume},
};
use tokio::net::TcpListener;

/// The closed form: an [`Endpoint`] answers every method. It is a `tower::Service` as well.
async fn closed(endpoint: &Endpoint, request: Request<Incoming>) -> Response<Body> {
    endpoint.respond(request).await
}

/// The open form: a handler of the application's own makes the stream.
async fn open(channel: &Channel, user: String, request: Request<Incoming>) -> Result<Reply, Rejection> {
    let (parts, _body) = request.into_parts();
    let resume = Resume::from_parts(&parts)?;
    Ok(resume.open_selected(channel, Select::key(user)).await)
}

async fn route(channel: Channel, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match path.strip_prefix("/users/") {
        Some(user) => match open(&channel, user.to_owned(), request).await {
            Ok(reply) => reply.into_response(),
            Err(rejection) => rejection.into_response(),
        },
        None if path == "/events" => closed(&Endpoint::new(channel), request).await,
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let hub = Hub::new();
    let channel = hub.channel("demo").source("memory:demo").open()?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    // Whatever the server: the hub is drained first, then the server may go. A server that waits for open connections
    // would wait for streams for ever.
    let shutdown = tidewater::http::drained(hub, async {
        tokio::signal::ctrl_c().await.ok();
    });
    let serve = async {
        loop {
            let (connection, _) = listener.accept().await?;
            let channel = channel.clone();
            let service = service_fn(move |request| route(channel.clone(), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
        }
    };
    tokio::select! {
        outcome = serve => outcome,
        () = shutdown => Ok(()),
    }
}
