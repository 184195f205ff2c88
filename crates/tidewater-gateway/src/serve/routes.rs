//! Which path is what: written once for all web servers.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tidewater::http::{Action, Ask, Authorizer, Body, Grant, Head, Refusal, Rejection, Selection};

use super::{
    console, health,
    metrics::{METRICS, metrics},
    script,
    site::{Now, Served, Site},
};

/// Where the channels are.
pub(super) const CHANNELS: &str = "/channels";

/// Who looks at what is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Viewer {
    /// Whoever reaches the gateway: with authorization, they see what they may read, and no more.
    Anybody,
    /// The same where all but the channels and the scripts is elsewhere.
    ChannelsOnly,
    /// Whoever reaches the administration's own listeners.
    Operator,
}

impl Site {
    /// The answer to everything but a channel: small.
    pub(super) async fn plain(&self, viewer: Viewer, path: &str, head: Head<'_>) -> Response<Bytes> {
        let now = self.now();
        // Code that is public, also where the rest is elsewhere.
        if let Some(script) = script::at(path) {
            if !is_read(head.method) {
                return method_not_allowed(head.method, path, "GET, HEAD");
            }
            let mut response = script.response(head.headers);
            now.cors.apply(head.headers, response.headers_mut());
            return response;
        }
        let viewer = match now.authorizer() {
            None if viewer == Viewer::Anybody => Viewer::Operator,
            _ => viewer,
        };
        let file = if now.has_console() { console::file(path, head.headers) } else { None };
        let known = match path {
            CHANNELS | health::LIVE | health::READY => true,
            METRICS => now.has_metrics() && viewer == Viewer::Operator,
            _ => file.is_some(),
        };
        if !known || viewer == Viewer::ChannelsOnly {
            return match viewer {
                Viewer::Operator => not_found(&now, path),
                _ => unknown(&now, path, head).await,
            };
        }
        if !is_read(head.method) {
            return method_not_allowed(head.method, path, "GET, HEAD");
        }
        // What HEAD leaves out is left to the web server.
        if let Some(file) = file {
            return file;
        }
        match path {
            METRICS => metrics(self, &now, head.headers),
            health::LIVE => json_response(StatusCode::OK, &json!({ "status": "live" })),
            health::READY if viewer == Viewer::Operator => health::ready(self.hub(), &self.limits().status()),
            health::READY => health::ready_in_a_word(self.hub()),
            _ => {
                let channels = match viewer {
                    Viewer::Operator => now.channels.iter().map(whole).collect(),
                    _ => listed(&now, head).await,
                };
                let mut response = json_response(StatusCode::OK, &json!({ "channels": channels }));
                now.cors.apply(head.headers, response.headers_mut());
                response
            }
        }
    }
}

/// All that there is to know of a channel.
pub(super) fn whole(served: &Served) -> Value {
    let (channel, status) = (served.channel(), served.channel().status());
    json!({
        "name": channel.name(),
        "source": channel.source().to_string(),
        "publish": served.publishes(),
        "upstream": status.upstream.as_str(),
        "error": status.error.map(|error| error.to_string()),
        "in": { "events": status.events_in, "bytes": status.bytes_in },
        "out": { "events": status.events_out, "bytes": status.bytes_out },
        "lag": status.lag.map(|lag| json!({ "offsets": lag.offsets, "seconds": lag.age.as_secs() })),
        "clients": status.clients,
        "log": { "events": status.log_events, "bytes": status.log_bytes },
    })
}

/// What may be known of a channel by who may read it: nothing of others, nothing of brokers.
pub(super) fn named(served: &Served) -> Value {
    json!({ "name": served.name(), "upstream": served.channel().status().upstream.as_str() })
}

/// What the asker may read, and whether they may publish to it.
async fn listed(now: &Now, head: Head<'_>) -> Vec<Value> {
    let granted = granted(now, head).await.unwrap_or_default();
    let listed = granted.into_iter().map(|(served, grant)| {
        let mut channel = named(served);
        channel["publish"] = json!(served.publishes() && grant.publishes());
        channel
    });
    listed.collect()
}

/// The channels that the asker may read, with what they are granted there.
///
/// # Errors
/// If there is none, why.
pub(super) async fn granted<'a>(now: &'a Now, head: Head<'_>) -> Result<Vec<(&'a Served, Grant)>, Refusal> {
    let mut granted = Vec::new();
    let mut refused = None;
    for served in &now.channels {
        let Some(gate) = served.gate() else { continue };
        let grant = match asked(&gate.authorizer, served.name(), head).await {
            Ok(grant) => grant,
            Err(refusal) => {
                refused.get_or_insert(refusal);
                Grant::new()
            }
        };
        if gate.public || grant.select().is_some() {
            granted.push((served, grant));
        }
    }
    match refused {
        Some(refusal) if granted.is_empty() => Err(refusal),
        _ => Ok(granted),
    }
}

/// What who asks is granted on a channel.
async fn asked(authorizer: &impl Authorizer, channel: &str, head: Head<'_>) -> Result<Grant, Refusal> {
    authorizer.authorize(Ask::new(channel, Action::Read(&Selection::default()), head)).await
}

/// Where there is nothing, told to who may not know what there is: a channel that is not there is refused as one that is.
async fn unknown(now: &Now, path: &str, head: Head<'_>) -> Response<Bytes> {
    let name = path.strip_prefix(CHANNELS).and_then(|rest| rest.strip_prefix('/'));
    if let (Some(name), Some(authorizer)) = (name, now.authorizer())
        && head.method != Method::OPTIONS
    {
        let refusal = match asked(authorizer, name, head).await {
            Ok(grant) if grant.select().is_some() || grant.publishes() => None,
            Ok(_) => Some(Refusal::forbidden(format!(
                "reading is not granted: the channel {name:?}, for who asks"
            ))),
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = refusal {
            let mut response = Rejection::from(refusal).into_response().map(|body| match body {
                Body::Full(bytes) => bytes,
                Body::Events(_) => Bytes::new(),
            });
            now.cors.apply(head.headers, response.headers_mut());
            return response;
        }
    }
    json_response(StatusCode::NOT_FOUND, &json!({ "error": format!("there is nothing at {path}") }))
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

fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
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
