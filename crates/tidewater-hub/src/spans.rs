//! What spans say of numbers, and of what failed.

use tidewater_core::Error;
use tracing::Span;

/// It has failed. Spans leave the machine, and an error's text may hold what another server has said, so that they get its kind
/// alone. The text is the log's.
///
/// The span has the fields `error.type` and `otel.status_code`.
pub(crate) fn failed(span: &Span, error: &Error) {
    span.record("error.type", error.kind().as_str());
    span.record("otel.status_code", "ERROR");
}

/// A count as OpenTelemetry has them: it knows no unsigned numbers, and what makes traces of spans would make text of one.
pub(crate) fn count(of: impl TryInto<i64>) -> i64 {
    of.try_into().unwrap_or(i64::MAX)
}
