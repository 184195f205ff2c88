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
        // One byte more than the limit, for the endpoint to see that it is passed.
        let limit = (self.0.body_limit() as u64).saturating_add(1);
        let body = match request.method() {
            Method::Post => data.open(limit.bytes()).into_bytes().await,
            _ => Ok(rocket::data::Capped::from(Vec::new())),
        };
        let Ok(body) = body else { return Outcome::Error(Status::BadRequest) };
        let request = http::Request::from_parts(parts(request), Full::new(Bytes::from(body.into_inner())));
        Outcome::Success(body::response(self.0.respond(request).await))
    }
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
