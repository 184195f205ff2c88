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
        let parent = self.0.extract(&Parent::of(&request.headers));
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

/// What is well formed of a request's headers: two parents are none, and so is one that is not written as the specification has it,
/// which the propagator would take. A `tracestate` may stand in several fields.
struct Parent {
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Parent {
    fn of(headers: &HeaderMap) -> Self {
        let mut parents = headers.get_all("traceparent").iter();
        let parent = parents.next().and_then(|value| value.to_str().ok()).map(str::trim);
        let parent = parent.filter(|parent| parents.next().is_none() && is_well_formed(parent));
        Self { traceparent: parent.map(str::to_owned), tracestate: state(headers) }
    }
}

/// `VERSION-TRACE-PARENT-FLAGS` in lower-case hexadecimal; versions to come may go on behind that (W3C Trace Context, §3.2).
fn is_well_formed(parent: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<_> = parent.splitn(5, '-').collect();
    let lengths = parts.iter().map(|part| part.len()).take(4);
    parent.len() <= MOST
        && lengths.eq([2, 32, 16, 2])
        && parts.iter().take(4).all(|part| is_hex(part))
        && (parts.len() == 4 || parts[0] != "00")
}

/// All fields of it as one, in their order (§3.3.1.1); nothing if that is longer than it may be, or not text.
fn state(headers: &HeaderMap) -> Option<String> {
    let mut all = String::new();
    for value in headers.get_all("tracestate") {
        let value = value.to_str().ok()?.trim();
        if !all.is_empty() && !value.is_empty() {
            all.push(',');
        }
        if all.len() + value.len() > MOST {
            return None;
        }
        all.push_str(value);
    }
    Some(all).filter(|all| !all.is_empty())
}

impl Extractor for Parent {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent.as_deref(),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
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

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(name: &'static str, values: &[&str]) -> Parent {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        Parent::of(&headers)
    }

    #[test]
    fn two_parents_are_none_and_neither_is_what_is_not_well_formed() {
        let long = format!("01{}-{}", &GIVEN[2..], "a".repeat(MOST));
        let later = format!("01{}-more", &GIVEN[2..]);
        for good in [GIVEN, &later] {
            assert_eq!(of("traceparent", &[good]).get("traceparent"), Some(good));
        }
        assert_eq!(of("traceparent", &[GIVEN, GIVEN]).get("traceparent"), None);
        for wrong in [
            "",
            "00-x",
            "00-1-1-1",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-+7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            &long,
        ] {
            let parent = of("traceparent", &[wrong]);
            assert_eq!(parent.get("traceparent"), None, "{wrong}");
            assert!(!TraceContextPropagator::new().extract(&parent).span().span_context().is_valid());
        }
    }

    #[test]
    fn a_tracestate_in_several_fields_is_one() {
        let state = |values: &[&str]| of("tracestate", values).get("tracestate").map(str::to_owned);
        assert_eq!(state(&["a=1", "", " b=2,c=3 "]).as_deref(), Some("a=1,b=2,c=3"));
        let half = "a".repeat(MOST / 2);
        assert_eq!((state(&[]), state(&[""]), state(&[&half, &half])), (None, None, None));
        assert_eq!(state(&[&half]), Some(half));
    }
}
