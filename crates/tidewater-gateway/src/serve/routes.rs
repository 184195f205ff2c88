//! Which path is what: written once for all web servers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    health, page,
    site::{Now, Served, Site},
};

/// Where the channels are.
pub(super) const CHANNELS: &str = "/channels";

impl Site {
    /// The answer to everything but a channel: small, and known at once.
    pub(super) fn plain(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        let now = self.now();
        let known = matches!(path, "/" | CHANNELS | health::LIVE | health::READY);
        if !known || (path == "/" && !now.has_page()) {
            return not_found(&now, path);
        }
        if ![Method::GET, Method::HEAD].contains(method) {
            return method_not_allowed(method, path, "GET, HEAD");
        }
        // What HEAD leaves out is left to the web server.
        match path {
            "/" => page::page(),
            health::LIVE => json_response(StatusCode::OK, &json!({ "status": "live" })),
            health::READY => health::ready(self.hub(), &self.limits().status()),
            _ => {
                let mut response = json_response(StatusCode::OK, &listing(&now));
                now.cors.apply(headers, response.headers_mut());
                response
            }
        }
    }

    /// The answer to everything but a channel where the rest is not served: it tells nothing.
    pub(super) fn nothing_at(path: &str) -> Response<Bytes> {
        json_response(StatusCode::NOT_FOUND, &json!({ "error": format!("there is nothing at {path}") }))
    }
}

fn listing(now: &Now) -> Value {
    let channels: Vec<_> = now
        .channels
        .iter()
        .map(|served| {
            let (channel, status) = (served.channel(), served.channel().status());
            json!({
                "name": channel.name(),
                "source": channel.source().to_string(),
                "publish": served.publishes(),
                "upstream": status.upstream.as_str(),
                "error": status.error.map(|error| error.to_string()),
                "clients": status.clients,
                "log": { "events": status.log_events, "bytes": status.log_bytes },
            })
        })
        .collect();
    json!({ "channels": channels })
}

fn not_found(now: &Now, path: &str) -> Response<Bytes> {
    let names: Vec<_> = now.channels.iter().map(Served::name).collect();
    let names = names.join(", ");
    let error = match path.strip_prefix(CHANNELS).and_then(|rest| rest.strip_prefix('/')) {
        Some(name) => format!("there is no channel {name:?} (there are: {names})"),
        None => format!("there is nothing at {path} (the channels are at {CHANNELS}/NAME: {names})"),
    };
    json_response(StatusCode::NOT_FOUND, &json!({ "error": error }))
}

/// An answer of JSON that nobody keeps.
pub(super) fn json_response(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn method_not_allowed(method: &Method, path: &str, allowed: &'static str) -> Response<Bytes> {
    let error = format!("{method} is no method of {path} (there are: {allowed})");
    let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": error }));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
