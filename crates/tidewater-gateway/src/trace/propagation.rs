//! W3C Trace Context: whose child a request is, and what goes with a message that it publishes.

use http::{HeaderMap, request::Parts};
use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tidewater::http::Propagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Where channels are, as a route.
const ROUTE: &str = "/channels/{channel}";
/// The most bytes of a header that is looked at: what everybody has to pass on of a `tracestate` (W3C Trace Context, §3.3.1.5).
const MOST: usize = 512;

/// `traceparent` and `tracestate`.
#[derive(Debug, Default)]
pub(super) struct TraceContext(TraceContextPropagator);

impl Propagator for TraceContext {
    fn extract(&self, request: &Parts, span: &Span) {
        let method = match request.method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "OPTIONS" | "PUT" | "DELETE" | "PATCH") => known,
            _ => "HTTP",
        };
        span.record("otel.name", format!("{method} {ROUTE}"));
        span.record("http.route", ROUTE);
        let parent = self.0.extract(&Once(&request.headers));
        if parent.span().span_context().is_valid() {
            // It fails for spans that nobody wants.
            span.set_parent(parent).ok();
        }
    }

    fn inject(&self, span: &Span) -> Vec<(String, String)> {
        let mut headers = Put(Vec::new());
        self.0.inject_context(&span.context(), &mut headers);
        headers.0
    }
}

/// Headers that stand there once, and are no longer than they may be: two parents are none.
struct Once<'a>(&'a HeaderMap);

impl Extractor for Once<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.0.get_all(key).iter();
        let value = values.next().filter(|value| value.len() <= MOST)?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// What says something.
struct Put(Vec<(String, String)>);

impl Injector for Put {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.push((key.to_owned(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parents_are_none_and_what_is_too_long_is_nothing() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("traceparent", value.parse().unwrap());
            }
            Once(&headers).get("traceparent").map(str::to_owned)
        };
        assert_eq!(of(&["a"]).as_deref(), Some("a"));
        assert_eq!((of(&[]), of(&["a", "a"]), of(&["a".repeat(MOST + 1).as_str()])), (None, None, None));
    }
}
