//! Spans of requests, and how the traces that they belong to go on elsewhere.
//!
//! They are spans of `tracing`, at the level DEBUG, and cost a comparison where nobody wants them. What makes a trace of them (a layer
//! such as `tracing-opentelemetry`'s) and how it is told to others is the application's: see [`Propagator`].
//!
//! | span | is |
//! |---|---|
//! | `request` | a request to an [`Endpoint`](crate::Endpoint), until its answer's head is there; a stream goes on behind it |
//! | `authorize` | what an authorizer takes for its verdict |
//! | `publish` | what the sink takes for a message |
//!
//! Their fields are named as OpenTelemetry's conventions have them, where those have a name. None of them holds anything of a query,
//! a cookie, a token or a payload.

use std::fmt;

use http::{Method, Response, request::Parts};
use tidewater_core::{Headers, Message};
use tidewater_hub::Published;
use tracing::{
    Instrument as _, Span, debug_span,
    field::{Empty, display},
};

use crate::{Body, Grant, Refusal};

/// Ties the spans of an endpoint to traces that go on elsewhere: see [`Endpoint::propagate`](crate::Endpoint::propagate).
///
/// With OpenTelemetry, `extract` is `span.set_parent(propagator.extract(headers))`, and `inject` puts `span.context()` in.
///
/// ```
/// use tidewater_http::Propagator;
///
/// #[derive(Debug)]
/// struct Fixed;
///
/// impl Propagator for Fixed {
///     fn extract(&self, request: &http::request::Parts, span: &tracing::Span) {
///         let parent = request.headers.get("traceparent");
///         println!("{:?} is a child of {parent:?}", span.metadata().map(|span| span.name()));
///     }
///
///     fn inject(&self, _span: &tracing::Span) -> Vec<(String, String)> {
///         let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
///         vec![("traceparent".to_owned(), context.to_owned())]
///     }
/// }
/// ```
///
/// It is called for spans that somebody wants, and must not wait.
pub trait Propagator: fmt::Debug + Send + Sync + 'static {
    /// The span of a request has been made, and was not entered yet: whose child it is stands in the request's headers, which may hold
    /// anything.
    fn extract(&self, request: &Parts, span: &Span);

    /// The headers that go with a message which is published in this span. A message that has one of that name keeps its own.
    fn inject(&self, span: &Span) -> Vec<(String, String)>;
}

/// The span of a request.
pub(crate) fn request(channel: &str, request: &Parts, propagator: Option<&dyn Propagator>) -> Span {
    let span = debug_span!(
        "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = known(&request.method),
        http.route = Empty,
        http.response.status_code = Empty,
        "error.type" = Empty,
        tidewater.channel = channel,
        tidewater.sent_away = Empty,
    );
    if let Some(propagator) = propagator.filter(|_| !span.is_disabled()) {
        propagator.extract(request, &span);
    }
    span
}

/// Its answer's head is there.
pub(crate) fn answered(span: &Span, response: &Response<Body>) {
    if span.is_disabled() {
        return;
    }
    let status = response.status();
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if let Body::Events(events) = response.body()
        && let Err(why) = events.begins()
    {
        span.record("tidewater.sent_away", why.as_str());
    }
    if status.is_server_error() {
        span.record("error.type", status.as_str());
        span.record("otel.status_code", "ERROR");
    }
}

/// An authorizer's verdict, in a span of its own.
pub(crate) async fn authorized(
    channel: &str,
    verdict: impl Future<Output = Result<Grant, Refusal>>,
) -> Result<Grant, Refusal> {
    let span = debug_span!(
        "authorize",
        otel.status_code = Empty,
        tidewater.channel = channel,
        tidewater.refused = Empty
    );
    let verdict = verdict.instrument(span.clone()).await;
    if let Some(refusal) = verdict.as_ref().err().filter(|_| !span.is_disabled()) {
        span.record("tidewater.refused", i64::from(refusal.status().as_u16()));
        // A verdict is none; that there is none is.
        if refusal.is_unavailable() {
            span.record("otel.status_code", "ERROR");
        }
    }
    verdict
}

/// The span of a message that is published, whose context goes with it.
pub(crate) fn publish(channel: &str, message: &mut Message, propagator: Option<&dyn Propagator>) -> Span {
    let span = debug_span!(
        "publish",
        otel.kind = "producer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.operation.name = "publish",
        "messaging.operation.type" = "send",
        messaging.destination.name = Empty,
        messaging.destination.partition.id = Empty,
        tidewater.channel = channel,
    );
    if let Some(propagator) = propagator.filter(|_| !span.is_disabled()) {
        message.headers = with(&message.headers, propagator.inject(&span));
    }
    span
}

/// What became of it.
pub(crate) fn published(span: &Span, published: &tidewater_core::Result<Published>) {
    if span.is_disabled() {
        return;
    }
    match published {
        Ok(Published { receipt, .. }) => {
            span.record("messaging.destination.name", receipt.topic.as_str());
            if let Some(place) = &receipt.place {
                span.record("messaging.destination.partition.id", display(place.partition));
            }
        }
        // Spans leave the machine, and an error's text may hold what a broker has said.
        Err(error) => {
            span.record("error.type", error.kind().as_str());
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Headers, and those of others that they haven't got.
fn with(own: &Headers, more: Vec<(String, String)>) -> Headers {
    let more = more.into_iter().filter(|(name, _)| own.get(name).is_none());
    let more = more.map(|(name, value)| (name.into(), value.into()));
    own.iter().map(|header| (header.name.clone(), header.value.clone())).chain(more).collect()
}

/// Who invents methods makes no new names: the conventions have one for all of them.
fn known(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
    ];
    if known.contains(method) { method.as_str() } else { "_OTHER" }
}
