//! A span for each stream that has ended, in the trace of the request that opened it.
//!
//! Streams last for hours. A span that lasted as long would be seen when it is over, if at all: collectors forget traces after minutes.
//! So the request's span ends with its answer's head, and this one, which takes no time, says what became of the stream.

use opentelemetry::{Context, trace::TraceContextExt as _};
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
        // All that is kept of it: the span itself would not end as long as somebody has it.
        let request = Span::current().context().span().span_context().clone();
        if !request.is_sampled() {
            return None;
        }
        let channel = exchange.channel.to_owned();
        Some(Box::new(move |ended| {
            let span = debug_span!(
                parent: None,
                "stream ended",
                tidewater.channel = channel,
                tidewater.ended = ended.why.as_str(),
                tidewater.lasted_s = ended.lasted.as_secs_f64(),
                tidewater.events = ended.events,
                tidewater.bytes = ended.bytes,
            );
            // It fails for spans that nobody wants.
            span.set_parent(Context::new().with_remote_span_context(request)).ok();
        }))
    }
}
