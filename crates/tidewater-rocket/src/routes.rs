//! The closed form: routes that answer every method of a channel's endpoint.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header, request::Parts};
use http_body_util::Full;
use rocket::{
    Data, Request, Route,
    data::ToByteUnit,
    http::{Method, Status},
    route::{Handler, Outcome},
};
use tidewater_http::{Endpoint, Peer};

use crate::body;

/// Routes for a channel, or for an [`Endpoint`] with CORS and publishing: mount them where the channel should be.
///
/// ```no_run
/// # fn build(channel: tidewater_hub::Channel) -> rocket::Rocket<rocket::Build> {
/// rocket::build().mount("/events", tidewater_rocket::routes(channel))
/// # }
/// ```
pub fn routes(endpoint: impl Into<Endpoint>) -> Vec<Route> {
    let mount = Mount(endpoint.into());
    let methods = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Options,
        // These are 405 with the methods there are; without a route rocket would say 404.
        Method::Put,
        Method::Patch,
        Method::Delete,
    ];
    methods.into_iter().map(|method| Route::new(method, "/", mount.clone())).collect()
}

#[derive(Clone)]
struct Mount(Endpoint);

#[rocket::async_trait]
impl Handler for Mount {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        answer(&self.0, request, data).await
    }
}

/// The answer of an [`Endpoint`], for a handler that finds it by the request: where channels come and go while the server
/// runs, [`routes`] can't name them.
///
/// # Cancel safety
/// As [`Endpoint::respond`].
pub async fn answer<'r>(endpoint: &Endpoint, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
    let body = match request.method() {
        Method::Post => read(request, data, endpoint.body_limit() as u64).await,
        _ => Some(Vec::new()),
    };
    let Some(body) = body else { return Outcome::Error(Status::BadRequest) };
    let request = http::Request::from_parts(parts(request), Full::new(Bytes::from(body)));
    Outcome::Success(body::response(endpoint.respond(request).await))
}

/// How much of every body rocket looks at before anything else.
const PEEKED: usize = "_method=delete".len();

/// The body, and a byte more than the limit, for the endpoint to see that it is passed; nothing of one that says so itself,
/// for that may never come. `None` for one that can't be read.
async fn read(request: &Request<'_>, data: Data<'_>, limit: u64) -> Option<Vec<u8>> {
    let length = request.headers().get_one("content-length").and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return Some(Vec::new());
    }
    let complete = data.peek_complete();
    let body = data.open(limit.saturating_add(1).bytes()).into_bytes().await.ok()?.into_inner();
    // Where looking at it failed rocket forgets the error: there is less then than it wanted to see, and no end.
    (complete || body.len() >= PEEKED).then_some(body)
}

/// A request's head in the types of the `http` crate.
pub(crate) fn parts(request: &Request<'_>) -> Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = request.method().as_str().parse().unwrap_or_default();
    parts.uri = request.uri().to_string().parse().unwrap_or_default();
    for header in request.headers().iter() {
        let name = HeaderName::from_bytes(header.name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value.as_bytes())) {
            parts.headers.append(name, value);
        }
    }
    if let Some(address) = request.remote() {
        parts.extensions.insert(Peer::Address(address));
    }
    // HTTP/2 has it in the URI, which rocket doesn't keep.
    if let (header::Entry::Vacant(none), Some(host)) = (parts.headers.entry(header::HOST), request.host())
        && let Ok(host) = HeaderValue::try_from(host.to_string())
    {
        none.insert(host);
    }
    parts
}
