//! A collector of OpenTelemetry: takes traces over HTTP, as protobuf.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{net::TcpListener, runtime};

use crate::support::gateway::PATIENCE;

/// What it does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collects {
    All,
    /// It takes them, and answers more than anybody reads.
    TellsTooMuch,
    /// It takes no request but those behind the first.
    RefusesFirst,
    /// It takes a request and never answers.
    Hangs,
}

/// Runs until the process ends.
pub(crate) struct Collector {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Export>>>,
}

/// A request to it.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A span that has come.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    pub(crate) name: String,
    /// In hexadecimal, as `traceparent` has them.
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) kind: i32,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) is_error: bool,
    pub(crate) events: usize,
    pub(crate) took: Duration,
}

impl Collector {
    pub(crate) fn start(does: Collects) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let all = requests.clone();
        thread::spawn(move || {
            runtime.block_on(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let all = all.clone();
                    let service = service_fn(move |request| answer(does, all.clone(), request));
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            });
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Export> {
        self.requests.lock().unwrap().clone()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Exported> {
        let exports = self.requests();
        let read = |export: &Export| ExportTraceServiceRequest::decode(export.body.clone()).unwrap();
        let resources = exports.iter().flat_map(|export| read(export).resource_spans);
        resources.flat_map(|one| one.scope_spans).flat_map(|one| one.spans).map(Exported::from).collect()
    }

    /// What is said of who sends.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        let first = self.requests().remove(0);
        let first = ExportTraceServiceRequest::decode(first.body).unwrap().resource_spans.remove(0);
        attributes(first.resource.unwrap().attributes)
    }

    /// Waits for a span that suits.
    #[track_caller]
    pub(crate) fn span(&self, suits: impl Fn(&Exported) -> bool) -> Exported {
        let until = Instant::now() + PATIENCE;
        loop {
            let spans = self.spans();
            if let Some(span) = spans.iter().find(|span| suits(span)) {
                return span.clone();
            }
            assert!(Instant::now() < until, "it does not come: {spans:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a span of this name in this trace.
    #[track_caller]
    pub(crate) fn named(&self, trace: &str, name: &str) -> Exported {
        self.span(|span| span.trace == trace && span.name == name)
    }
}

async fn answer(
    does: Collects,
    all: Arc<Mutex<Vec<Export>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let is_first = {
        let mut all = all.lock().unwrap();
        all.push(Export { path: head.uri.path().to_owned(), headers: head.headers, body });
        all.len() == 1
    };
    if does == Collects::Hangs {
        std::future::pending::<()>().await;
    }
    let said = if does == Collects::TellsTooMuch { 1 << 20 } else { 0 };
    let mut answer = Response::new(Full::from(vec![0; said]));
    if does == Collects::RefusesFirst && is_first {
        *answer.status_mut() = http::StatusCode::BAD_REQUEST;
    }
    Ok(answer)
}

impl From<Span> for Exported {
    fn from(span: Span) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let status = span.status.unwrap_or_default();
        Self {
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            kind: span.kind,
            attributes: attributes(span.attributes),
            // STATUS_CODE_ERROR
            is_error: status.code == 2,
            events: span.events.len(),
            took: Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano),
        }
    }
}

fn attributes(all: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    };
    // A number that came as text can't be counted with; ids, and what an error is called, are text by the conventions.
    let is_number = |one: &KeyValue| match one.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => {
            !one.key.ends_with(".id") && one.key != "error.type" && text.parse::<f64>().is_ok()
        }
        _ => false,
    };
    let all = all.into_iter().inspect(|one| assert!(!is_number(one), "{one:?}"));
    all.map(|one| (one.key, text(one.value))).collect()
}
