//! Tidewater channels as event streams in [axum].
//!
//! The closed form is a route that answers every method of a channel's endpoint:
//!
//! ```no_run
//! # use std::net::SocketAddr;
//! # use tidewater_hub::Channel;
//! use axum::Router;
//!
//! # async fn run(channel: Channel) -> std::io::Result<()> {
//! let app: Router = Router::new().route("/events", tidewater_axum::sse(channel.clone()));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let signal = async { /* such as tokio::signal::ctrl_c() */ };
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
//!     .with_graceful_shutdown(tidewater_axum::graceful(channel.hub(), signal))
//!     .await
//! # }
//! ```
//!
//! In the open form a handler with extractors of the application's own makes the stream:
//!
//! ```
//! use axum::{Router, extract::{Path, State}, response::Response, routing::get};
//! use tidewater_axum::{Resume, reply};
//! use tidewater_hub::{Channel, Select};
//!
//! async fn events(Path(user): Path<String>, State(channel): State<Channel>, resume: Resume) -> Response {
//!     reply(channel.stream(resume, Select::key(user)).await)
//! }
//!
//! # fn app(channel: Channel) -> Router {
//! Router::new().route("/users/{user}/events", get(events)).with_state(channel)
//! # }
//! ```
//!
//! Its methods and CORS are the application's, by axum's own router and layers. A `get` of axum's answers `HEAD`, too.
//!
//! Where a request comes from is axum's `ConnectInfo<SocketAddr>`, which `into_make_service_with_connect_info` puts in;
//! a layer may say it instead (`Extension(Peer::Unix)`). Without either, limits per address are off.

use std::{error::Error, fmt, net::SocketAddr};

use axum::{
    body::Body,
    extract::{ConnectInfo, FromRequestParts, Request},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any},
};
use http::request::Parts;
use tidewater_http::{Endpoint, Peer, Rejection, Reply};
use tidewater_hub::Hub;

/// Serves a channel, or an [`Endpoint`] with CORS and publishing: every method, for `Router::route`.
///
/// It matches any method, so that a wrong one is a 405 that names the right ones.
pub fn sse<S>(endpoint: impl Into<Endpoint>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let endpoint = endpoint.into();
    any(async move |request: Request| answer(&endpoint, request).await)
}

/// The answer of an [`Endpoint`], for a handler that finds it by the request: where channels come and go while the server
/// runs, [`sse`] can't name them.
///
/// # Cancel safety
/// As [`Endpoint::respond`].
pub async fn answer(endpoint: &Endpoint, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    put_peer(&mut parts).await;
    respond(endpoint.respond(Request::from_parts(parts, body)).await)
}

/// What the request asks for, extracted by a handler: to hand to `channel.stream`, or to open.
///
/// What can't be read (400) and an `Accept` that excludes event streams (406) are answered before the handler runs, by
/// [`Rejected`]. An id is never refused.
///
/// ```
/// # use axum::{extract::State, response::Response};
/// # use tidewater_axum::{Resume, reply};
/// # use tidewater_hub::Channel;
/// async fn events(State(channel): State<Channel>, Resume(resume): Resume) -> Response {
///     reply(resume.open(&channel).await)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Resume(pub tidewater_http::Resume);

impl From<Resume> for tidewater_hub::Resume {
    fn from(resume: Resume) -> Self {
        resume.0.into()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Resume {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejected> {
        put_peer(parts).await;
        tidewater_http::Resume::from_parts(parts).map(Self).map_err(Rejected)
    }
}

/// A request that [`Resume`] refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected(pub Rejection);

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        reply(self.0)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Rejected {}

/// The answer of an open form: of a stream, or of what `open` of a [`Resume`] gives.
pub fn reply(reply: impl Into<Reply>) -> Response {
    respond(reply.into().into_response())
}

/// For axum's `with_graceful_shutdown`: waits for the signal, ends every stream with a time to come back, then lets the
/// server go.
///
/// axum alone would wait for open streams for ever. It still does for a client that takes no bytes, the last ones
/// included: bound what `axum::serve` gives by a timeout of your own.
pub fn graceful<S>(hub: &Hub, signal: S) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send + 'static,
{
    tidewater_http::drained(hub.clone(), signal)
}

/// Where the request comes from: what a layer has said in its extensions, else what axum knows.
async fn put_peer(parts: &mut Parts) {
    if parts.extensions.get::<Peer>().is_some() {
        return;
    }
    if let Ok(ConnectInfo(address)) = ConnectInfo::<SocketAddr>::from_request_parts(parts, &()).await {
        parts.extensions.insert(Peer::from(address));
    }
}

/// Each slice goes to hyper as it is.
fn respond(response: http::Response<tidewater_http::Body>) -> Response {
    response.map(Body::new)
}
