//! A span for each stream that has ended, in the trace of the request that opened it.
//!
//! Streams last for hours. A span that lasted as long would be seen when it is over, if at all: collectors forget traces after minutes.
//! So the request's span ends with its answer's head, and this one, which takes no time, says what became of the stream.

use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt as _, TraceState},
};
use tidewater::{
    OnEnd,
    http::{Answered, Exchange, Observer},
};
use tracing::{Span, debug_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Is told within the request's span.
#[derive(Debug)]
pub(super) struct Ends;

impl Observer for Ends {
    fn answered(&self, exchange: &Exchange<'_>, answered: &Answered) -> Option<OnEnd> {
        answered.stream?.ok()?;
        let request = ids_of(Span::current().context().span().span_context())?;
        let channel = exchange.channel.to_owned();
        Some(Box::new(move |ended| {
            let span = debug_span!(
                parent: None,
                "stream ended",
                tidewater.channel = channel,
                tidewater.ended = ended.why.as_str(),
                tidewater.lasted_s = ended.lasted.as_secs_f64(),
                tidewater.events = count(ended.events),
                tidewater.bytes = count(ended.bytes),
            );
            // It fails for spans that nobody wants.
            span.set_parent(Context::new().with_remote_span_context(request)).ok();
        }))
    }
}

/// All that is kept of a request that is sampled, for as long as its stream lasts: its ids. The span itself would not end, and its
/// `tracestate` is a stranger's.
fn ids_of(request: &SpanContext) -> Option<SpanContext> {
    let ids = || {
        SpanContext::new(
            request.trace_id(),
            request.span_id(),
            request.trace_flags(),
            request.is_remote(),
            TraceState::NONE,
        )
    };
    request.is_sampled().then(ids)
}

/// OpenTelemetry knows no unsigned numbers: one would become text.
fn count(of: u64) -> i64 {
    of.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId};

    use super::*;

    #[test]
    fn a_stream_keeps_the_ids_of_its_request_alone() {
        let state = TraceState::from_key_value([("vendor", "v".repeat(200))]).unwrap();
        let of = |flags| SpanContext::new(TraceId::from(7), SpanId::from(9), flags, false, state.clone());
        let kept = ids_of(&of(TraceFlags::SAMPLED)).unwrap();
        assert_eq!((kept.trace_id(), kept.span_id()), (TraceId::from(7), SpanId::from(9)));
        assert!(kept.is_sampled() && kept.trace_state().header().is_empty(), "{kept:?}");
        assert_eq!(ids_of(&of(TraceFlags::NOT_SAMPLED)), None);
    }
}
