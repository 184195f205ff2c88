//! Tidewater channels as event streams in [warp].
//!
//! The closed form is a filter that answers every method of a channel's endpoint:
//!
//! ```no_run
//! # use tidewater_hub::Channel;
//! use warp::Filter;
//!
//! # async fn run(channel: Channel) {
//! let events = warp::path("events").and(tidewater_warp::sse(channel.clone()));
//! let signal = async { /* such as tokio::signal::ctrl_c() */ };
//! warp::serve(events)
//!     .bind(([127, 0, 0, 1], 8080)).await
//!     .graceful(tidewater_warp::graceful(channel.hub(), signal))
//!     .run().await;
//! # }
//! ```
//!
//! In the open form a handler with filters of the application's own makes the stream:
//!
//! ```
//! # use tidewater_hub::{Channel, Select};
//! use warp::Filter;
//!
//! # fn routes(channel: Channel) -> impl Filter<Extract = impl warp::Reply> {
//! warp::path!("users" / String / "events")
//!     .and(tidewater_warp::resume())
//!     .then(move |user: String, resume| {
//!         let channel = channel.clone();
//!         async move { tidewater_warp::reply(channel.stream(resume, Select::key(user)).await) }
//!     })
//!     .recover(tidewater_warp::recover)
//! # }
//! ```
//!
//! Its methods and CORS are the application's, by warp's own filters.

use std::{convert::Infallible, net::SocketAddr};

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, header, request::Parts};
use http_body::Frame;
use http_body_util::StreamBody;
use tidewater_http::{Body, Endpoint, Peer, Rejection, Reply, Resume};
use tidewater_hub::Hub;
use warp::{Filter, filters::path::FullPath, host::Authority, reply::Response};

/// Serves a channel, or an [`Endpoint`] with CORS and publishing: every method, at the end of the path.
///
/// It matches any method there, so that a wrong one is a 405 that names the right ones.
pub fn sse(
    endpoint: impl Into<Endpoint>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone {
    let endpoint = endpoint.into();
    warp::path::end().and(answers(move |_: &str| Some(endpoint.clone())))
}

/// Serves the endpoint that `find` gives for the request's whole path, as [`sse`] serves one: for channels that come and
/// go while the server runs. Where it gives none the request is rejected as not found.
pub fn sse_by<F>(find: F) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone
where
    F: Fn(&str) -> Option<Endpoint> + Clone + Send + Sync + 'static,
{
    answers(find)
}

fn answers<F>(find: F) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone
where
    F: Fn(&str) -> Option<Endpoint> + Clone + Send + Sync + 'static,
{
    let found = head().and_then(move |parts: Parts| {
        let endpoint = find(parts.uri.path()).ok_or_else(warp::reject::not_found);
        std::future::ready(endpoint.map(|endpoint| (parts, endpoint)))
    });
    found.and(warp::body::stream()).then(|(parts, endpoint): (Parts, Endpoint), body| {
        // warp keeps the room of what answers for as long as the connection lives.
        Box::pin(async move {
            let body = StreamBody::new(TryStreamExt::map_ok(body, Frame::data));
            respond(endpoint.respond(Request::from_parts(parts, body)).await)
        })
    })
}

/// Extracts what the request asks for: a [`Resume`], to hand to `channel.stream` or to open.
///
/// Rejects with [`Rejected`] what can't be read (400) and an `Accept` that excludes event streams (406). warp answers
/// a rejection that nobody knows with 500, so put [`recover`] behind it. An id is never rejected.
pub fn resume() -> impl Filter<Extract = (Resume,), Error = warp::Rejection> + Clone {
    head().and_then(|parts: Parts| async move {
        Resume::from_parts(&parts).map_err(|rejection| warp::reject::custom(Rejected(rejection)))
    })
}

/// The answer of an open form: of a stream, or of what [`Resume::open`] gives.
pub fn reply(reply: impl Into<Reply>) -> Response {
    respond(reply.into().into_response())
}

/// Answers a [`Rejected`], and passes every other rejection on: for [`Filter::recover`].
///
/// # Errors
/// The rejection, if it is another one.
pub async fn recover(rejection: warp::Rejection) -> Result<Response, warp::Rejection> {
    match rejection.find::<Rejected>() {
        Some(Rejected(known)) => Ok(reply(known.clone())),
        None => Err(rejection),
    }
}

/// For warp's `graceful`: waits for the signal, ends every stream with a time to come back, then lets the server go.
///
/// warp alone would wait for open streams for ever. It still does for a client that takes no bytes, the last ones
/// included: bound the server's `run()` by a timeout of your own.
pub fn graceful<S>(hub: &Hub, signal: S) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send + 'static,
{
    tidewater_http::drained(hub.clone(), signal)
}

/// A request that [`resume`] refuses.
#[derive(Debug)]
pub struct Rejected(pub Rejection);

impl warp::reject::Reject for Rejected {}

/// The request's head. Where it comes from is what a server before warp has said in its extensions, else what warp knows.
fn head() -> impl Filter<Extract = (Parts,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let host = warp::host::optional().or(warp::any().map(|| None)).unify();
    let peer = warp::ext::optional()
        .and(warp::addr::remote())
        .map(|said: Option<Peer>, known: Option<SocketAddr>| said.or(known.map(Peer::from)));
    let headers = warp::header::headers_cloned();
    warp::method().and(warp::path::full()).and(query).and(host).and(headers).and(peer).map(parts)
}

fn parts(
    method: Method,
    path: FullPath,
    query: String,
    host: Option<Authority>,
    mut headers: HeaderMap,
    peer: Option<Peer>,
) -> Parts {
    if let (header::Entry::Vacant(none), Some(host)) = (headers.entry(header::HOST), host)
        && let Ok(host) = HeaderValue::try_from(host.as_str())
    {
        none.insert(host);
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    // Both came out of a URI.
    if let Ok(uri) = format!("{}?{query}", path.as_str()).parse() {
        *request.uri_mut() = uri;
    }
    request.into_parts().0
}

fn respond(response: http::Response<Body>) -> Response {
    let (parts, body) = response.into_parts();
    let body = match body {
        Body::Full(bytes) => bytes.into(),
        // The one way to a body of one's own: each slice goes to hyper as it is.
        Body::Events(events) => warp::Reply::into_response(warp::reply::stream(events)).into_body(),
    };
    Response::from_parts(parts, body)
}
