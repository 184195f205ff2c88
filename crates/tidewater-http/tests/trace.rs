//! Spans of requests: when they end, and how traces come in and go out.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use http_body_util::Full;
use tidewater_core::{Error, ErrorKind, Message, Receipt, Sink, memory::MemoryLog};
use tidewater_http::{Body, Endpoint, Propagator};
use tidewater_hub::Hub;
use tracing::{Span, Subscriber, level_filters::LevelFilter, span};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// What happens, in its order.
#[derive(Clone, Debug, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl Book {
    fn put(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Book {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        self.put(format!("{} begins", attributes.metadata().name()));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, all: Context<'_, S>) {
        self.put(format!("{} tells {values:?}", all.span(id).unwrap().name()));
    }

    fn on_close(&self, id: span::Id, all: Context<'_, S>) {
        self.put(format!("{} ends", all.span(&id).unwrap().name()));
    }
}

impl Propagator for Book {
    fn extract(&self, request: &Parts, span: &Span) {
        self.put(format!(
            "{} from {:?}",
            span.metadata().unwrap().name(),
            request.headers.get("traceparent")
        ));
    }

    fn inject(&self, span: &Span) -> Vec<(String, String)> {
        self.put(format!("{} goes on", span.metadata().unwrap().name()));
        vec![("traceparent".into(), "ours".into()), ("tidewater-event".into(), "ours".into())]
    }
}

/// Keeps the headers of what it is given.
#[derive(Clone, Debug, Default)]
struct Sent(Arc<Mutex<Vec<String>>>);

/// A broker that refuses what it is given, and says it again.
#[derive(Debug)]
struct Echoes(ErrorKind);

impl std::fmt::Display for Echoes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("echoes")
    }
}

#[async_trait]
impl Sink for Echoes {
    async fn send(&self, message: Message) -> tidewater_core::Result<Receipt> {
        Err(Error::new(self.0, format!("it does not take {:?}", message.payload)))
    }

    async fn flush(&self) -> tidewater_core::Result<()> {
        Ok(())
    }
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sent")
    }
}

#[async_trait]
impl Sink for Sent {
    async fn send(&self, message: Message) -> tidewater_core::Result<Receipt> {
        let headers = message.headers.iter().map(|header| format!("{header:?}")).collect::<Vec<_>>();
        self.0.lock().unwrap().push(headers.join(", "));
        Ok(Receipt { topic: message.topic, place: None })
    }

    async fn flush(&self) -> tidewater_core::Result<()> {
        Ok(())
    }
}

fn endpoint(book: &Book, sent: &Sent) -> Endpoint {
    let channel = Hub::new().channel("site").source(MemoryLog::new("site").source());
    let channel = channel.sink(Arc::new(sent.clone())).open().unwrap();
    Endpoint::new(channel).publish(true).propagate(Arc::new(book.clone()))
}

async fn post(endpoint: &Endpoint) {
    let request = Request::post("/?event=theirs").header("traceparent", "given");
    let answer = endpoint.respond(request.body(Full::new(Bytes::from_static(b"x"))).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_trace_comes_in_before_its_span_is_entered_and_goes_out_with_the_message() {
    let (book, sent) = (Book::default(), Sent::default());
    let _on = tracing::subscriber::set_default(
        tracing_subscriber::registry().with(LevelFilter::DEBUG).with(book.clone()),
    );
    let endpoint = endpoint(&book, &sent);
    book.lines();
    post(&endpoint).await;
    let of_request = |line: &String| !line.starts_with("subscribe") && !line.contains(" tells ");
    let lines: Vec<_> = book.lines().into_iter().filter(of_request).collect();
    assert_eq!(
        lines,
        [
            "request begins",
            "request from Some(\"given\")",
            "publish begins",
            "publish goes on",
            "publish ends",
            "request ends"
        ]
    );
    let sent = sent.0.lock().unwrap().remove(0);
    assert_eq!(sent, r#"tidewater-event: b"theirs", traceparent: b"ours""#, "a message keeps what it has");
}

#[tokio::test]
async fn a_requests_span_ends_when_its_stream_is_open() {
    let book = Book::default();
    let _on = tracing::subscriber::set_default(
        tracing_subscriber::registry().with(LevelFilter::DEBUG).with(book.clone()),
    );
    let endpoint = endpoint(&book, &Sent::default());
    endpoint.channel().cursor().await.ok();
    let answer = endpoint.respond(Request::get("/").body(Full::<Bytes>::default()).unwrap()).await;
    let Body::Events(events) = answer.body() else { panic!("no stream") };
    assert!(events.begins().is_ok());
    let lines = book.lines();
    let of_request = |line: &&String| {
        (line.starts_with("request ") || line.starts_with("open ")) && !line.contains(" tells ")
    };
    let lines: Vec<_> = lines.iter().filter(of_request).collect();
    assert_eq!(lines, ["request begins", "request from None", "open begins", "open ends", "request ends"]);
    drop(answer);
    assert!(book.lines().iter().all(|line| !line.starts_with("request")));
}

#[tokio::test]
async fn where_nobody_wants_spans_nobody_is_asked() {
    let (book, sent) = (Book::default(), Sent::default());
    let _on = tracing::subscriber::set_default(
        tracing_subscriber::registry().with(LevelFilter::INFO).with(book.clone()),
    );
    post(&endpoint(&book, &sent)).await;
    assert_eq!(book.lines(), [""; 0]);
    assert_eq!(*sent.0.lock().unwrap(), [r#"tidewater-event: b"theirs""#]);
}

#[tokio::test]
async fn a_message_that_is_refused_tells_why_and_nothing_that_the_broker_has_said() {
    let book = Book::default();
    let _on = tracing::subscriber::set_default(
        tracing_subscriber::registry().with(LevelFilter::DEBUG).with(book.clone()),
    );
    for (kind, told) in [
        (ErrorKind::Rejected, &["publish tells", "error.type", "rejected"][..]),
        (
            ErrorKind::Unavailable,
            &["publish tells", "unavailable", "error.type: 503", "otel.status_code: ERROR"],
        ),
    ] {
        let channel = Hub::new().channel("site").source(MemoryLog::new("site").source());
        let endpoint = Endpoint::new(channel.sink(Arc::new(Echoes(kind))).open().unwrap()).publish(true);
        let request = Request::post("/").body(Full::new(Bytes::from_static(b"the-payload"))).unwrap();
        assert!(!endpoint.respond(request).await.status().is_success());
        let lines = book.lines().join("\n").replace('"', "");
        assert!(told.iter().all(|told| lines.contains(told)), "{told:?} in {lines}");
        assert!(!lines.contains("the-payload"), "{lines}");
    }
}
