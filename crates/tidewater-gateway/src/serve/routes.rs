//! Which path is what: written once for all web servers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tidewater::http::{Cors, Endpoint};
use tidewater::{Channel, Hub};
use tidewater::{Error, plugin::open_source};

use super::{health, page};
use crate::{
    config::{ChannelConfig, Config},
    failure::Failure,
};

/// Where the channels are.
pub(super) const CHANNELS: &str = "/channels";

/// Everything that the gateway answers.
#[derive(Debug)]
pub(super) struct Site {
    hub: Hub,
    channels: Vec<Served>,
    cors: Cors,
    /// Whether there is one at `/`.
    page: bool,
}

/// One channel that is served.
#[derive(Debug)]
pub(super) struct Served {
    endpoint: Endpoint,
    publish: bool,
}

impl Site {
    /// Opens every channel. A broker that can't be reached is no error: its channel is retried behind it.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let hub = Hub::new();
        let channels =
            config.channels.iter().map(|channel| Served::open(&hub, channel)).collect::<Result<_, _>>()?;
        Ok(Self { hub, channels, cors: config.cors.cors()?, page: config.server.page })
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) fn channels(&self) -> &[Served] {
        &self.channels
    }

    /// The channel that this path is of.
    pub(super) fn endpoint(&self, path: &str) -> Option<&Endpoint> {
        let name = path.strip_prefix(CHANNELS)?.strip_prefix('/')?;
        // As all the frameworks have it.
        let name = name.strip_suffix('/').unwrap_or(name);
        self.channels().iter().find(|served| served.name() == name).map(Served::endpoint)
    }

    /// The answer to everything but a channel: small, and known at once.
    pub(super) fn plain(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        // A method that the web server has no route for: rocket can't say "any".
        if let Some(endpoint) = self.endpoint(path) {
            let publishes = self
                .channels()
                .iter()
                .any(|served| served.publish && served.name() == endpoint.channel().name());
            return method_not_allowed(
                method,
                path,
                if publishes { "GET, HEAD, POST, OPTIONS" } else { "GET, HEAD, OPTIONS" },
            );
        }
        let known = matches!(path, "/" | CHANNELS | health::LIVE | health::READY);
        if !known || (path == "/" && !self.page) {
            return self.not_found(path);
        }
        if ![Method::GET, Method::HEAD].contains(method) {
            return method_not_allowed(method, path, "GET, HEAD");
        }
        // What HEAD leaves out is left to the web server.
        match path {
            "/" => page::page(),
            health::LIVE => json_response(StatusCode::OK, &json!({ "status": "live" })),
            health::READY => health::ready(&self.hub),
            _ => {
                let mut response = json_response(StatusCode::OK, &self.listing());
                self.cors.apply(headers, response.headers_mut());
                response
            }
        }
    }

    fn listing(&self) -> Value {
        let channels: Vec<_> = self
            .channels
            .iter()
            .map(|served| {
                let (channel, status) = (served.channel(), served.channel().status());
                json!({
                    "name": channel.name(),
                    "source": channel.source().to_string(),
                    "publish": served.publish,
                    "upstream": status.upstream.as_str(),
                    "error": status.error.map(|error| error.to_string()),
                    "clients": status.clients,
                    "log": { "events": status.log_events, "bytes": status.log_bytes },
                })
            })
            .collect();
        json!({ "channels": channels })
    }

    fn not_found(&self, path: &str) -> Response<Bytes> {
        let names: Vec<_> = self.channels.iter().map(Served::name).collect();
        let names = names.join(", ");
        let error = match path.strip_prefix(CHANNELS).and_then(|rest| rest.strip_prefix('/')) {
            Some(name) => format!("there is no channel {name:?} (there are: {names})"),
            None => format!("there is nothing at {path} (the channels are at {CHANNELS}/NAME: {names})"),
        };
        json_response(StatusCode::NOT_FOUND, &json!({ "error": error }))
    }
}

impl Served {
    fn open(hub: &Hub, config: &ChannelConfig) -> Result<Self, Failure> {
        let at = |error: Error| error.context(format!("channel {:?}", config.name));
        let mut builder = hub
            .channel(&config.name)
            .replay(config.replay)
            .lag(config.lag.own)
            .lag_choices(config.lag.choices.iter().copied())
            .prewarm(config.prewarm)
            .linger(config.linger)
            .heartbeat(config.heartbeat)
            .retry(config.retry)
            .start(config.start)
            .payload(config.payload)
            .event(config.event.clone())
            .log(config.log)
            .large_ids(config.large_ids)
            .backfill_readers(config.backfill_readers.get())
            .share_upstream(config.share_upstream);
        for source in &config.source {
            builder = builder.source(open_source(source.secret()).map_err(at)?);
        }
        if let Some(sink) = config.open_sink().map_err(at)? {
            builder = builder.sink(sink);
        }
        let channel = builder.open()?;
        let endpoint = Endpoint::new(channel)
            .cors(config.cors.cors()?)
            .publish(config.publish)
            .select_by(config.select.iter().copied())
            .max_body(config.limits.max_body);
        Ok(Self { endpoint, publish: config.publish })
    }

    pub(super) fn publishes(&self) -> bool {
        self.publish
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn name(&self) -> &str {
        self.channel().name()
    }

    fn channel(&self) -> &Channel {
        self.endpoint.channel()
    }
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
