//! What is sent.

use http::{HeaderMap, HeaderValue, Method};
use tidewater_sse::{ErrorKind, EventSource};

use crate::{next, opened, quick, reconnecting, server::Server, soon};

#[tokio::test]
async fn a_plain_request_asks_for_an_event_stream_uncached() {
    let server = Server::start().await;
    let mut source = EventSource::new(server.url("/a/b?c=d#e")).unwrap();
    let (exchange, ()) = tokio::join!(server.stream(""), opened(&mut source));
    assert_eq!(exchange.line, "GET /a/b?c=d HTTP/1.1");
    assert_eq!(exchange.header("host"), Some(server.address().as_str()));
    assert_eq!(exchange.header("accept"), Some("text/event-stream"));
    assert_eq!(exchange.header("cache-control"), Some("no-cache"));
    assert_eq!(exchange.header("user-agent"), Some(concat!("tidewater-sse/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(exchange.headers.len(), 4, "{:?}", exchange.headers);
}

#[tokio::test]
async fn headers_of_the_application_are_sent_at_every_connection() {
    let server = Server::start().await;
    let mut more = HeaderMap::new();
    more.append("x-b", HeaderValue::from_static("2"));
    more.append("x-b", HeaderValue::from_static("3"));
    let builder = quick(&server.url("/")).header("x-a", "1").headers(more).header("user-agent", "mine/1");
    let mut source = builder.header("accept", "text/event-stream, */*").build().unwrap();
    for _ in 0..2 {
        let (exchange, ()) = tokio::join!(server.stream(""), opened(&mut source));
        assert_eq!(exchange.header("x-a"), Some("1"));
        let twice: Vec<_> = exchange.headers.iter().filter(|(name, _)| name == "x-b").collect();
        assert_eq!(twice.len(), 2);
        assert_eq!(exchange.header("user-agent"), Some("mine/1"));
        assert_eq!(exchange.header("accept"), Some("text/event-stream, */*"));
        exchange.end().await;
        reconnecting(&mut source).await;
    }
}

#[tokio::test]
async fn a_method_and_a_body_are_sent_at_every_connection() {
    for method in ["POST", "REPORT"] {
        let server = Server::start().await;
        let builder = quick(&server.url("/")).method(Method::from_bytes(method.as_bytes()).unwrap());
        let mut source =
            builder.header("content-type", "application/json").body("{\"a\": 1}").build().unwrap();
        for _ in 0..2 {
            let (exchange, ()) = tokio::join!(server.stream(""), opened(&mut source));
            assert_eq!(exchange.line, format!("{method} / HTTP/1.1"));
            assert_eq!(exchange.header("content-type"), Some("application/json"));
            assert_eq!(exchange.body, b"{\"a\": 1}");
            exchange.end().await;
            reconnecting(&mut source).await;
        }
    }
}

#[tokio::test]
async fn a_user_and_a_password_are_sent_and_never_shown() {
    let server = Server::start().await;
    let url = format!("http://ada:s3cret%21@{}/x?token=t0ken", server.address());
    let builder = quick(&url);
    assert!(!format!("{builder:?}").contains("s3cret"));
    let mut source = builder.build().unwrap();
    let shown = format!("{source:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    assert_eq!(source.url().to_string(), server.url("/x?token=t0ken"));
    let (exchange, signal) =
        tokio::join!(server.answer("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"), async {
            soon(futures_util::StreamExt::next(&mut source)).await.unwrap()
        });
    // ada:s3cret!
    assert_eq!(exchange.header("authorization"), Some("Basic YWRhOnMzY3JldCE="));
    let error = signal.unwrap_err();
    assert_eq!(error.to_string(), format!("http://{}/x answers 401 Unauthorized", server.address()));

    let mut source = quick(&url).header("authorization", "Bearer mine").build().unwrap();
    let (exchange, ()) = tokio::join!(server.stream(""), opened(&mut source));
    assert_eq!(exchange.header("authorization"), Some("Bearer mine"), "what is said by name wins");
}

#[tokio::test]
async fn an_id_to_go_on_from_is_sent_and_belongs_to_the_events() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).last_event_id("\u{e4}-7").build().unwrap();
    assert_eq!(source.last_event_id(), "\u{e4}-7");
    let (exchange, ()) = tokio::join!(server.stream("data: x\n\n"), opened(&mut source));
    assert_eq!(exchange.header("last-event-id"), Some("\u{e4}-7"), "as UTF-8");
    assert_eq!(crate::event(&mut source).await, crate::message("x", "\u{e4}-7"));
    drop(exchange);
    let (exchange, _) = tokio::join!(server.stream(""), async {
        next(&mut source).await;
        opened(&mut source).await;
    });
    assert_eq!(exchange.header("last-event-id"), Some("\u{e4}-7"));
}

#[test]
fn what_cannot_be_sent_is_told_by_build() {
    let url = "http://localhost/";
    for (builder, kind, what) in [
        (EventSource::builder("orders?key=s3cret"), ErrorKind::Config, "\"orders\": it is no URL"),
        (EventSource::builder("http://u:s3cret@/"), ErrorKind::Config, "no host"),
        (EventSource::builder("ftp://u:s3cret@a/"), ErrorKind::Config, "\"ftp://a/\": its scheme is ftp"),
        (EventSource::builder(url).header("a b", "s3cret"), ErrorKind::Config, "a header's name"),
        (
            EventSource::builder(url).header("x-a", "s3cret\n"),
            ErrorKind::Config,
            "the value of the header x-a",
        ),
        (EventSource::builder(url).header("Last-Event-ID", "1"), ErrorKind::Config, "use `last_event_id`"),
        (
            EventSource::builder(url).header("content-length", "1"),
            ErrorKind::Config,
            "it comes from the body",
        ),
        (EventSource::builder(url).method(Method::HEAD), ErrorKind::Config, "HEAD"),
        (EventSource::builder(url).last_event_id("a\nb"), ErrorKind::LastEventId, "control character"),
    ] {
        let error = builder.build().unwrap_err();
        let text = error.to_string();
        assert_eq!((error.kind(), error.is_transient()), (kind, false), "{text}");
        assert!(text.contains(what) && !text.contains("s3cret"), "{text}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_needs_its_feature() {
    let error = EventSource::new("https://localhost/?key=s3cret").unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        text.contains("feature `tls`") && text.contains("`sse-tls`") && !text.contains("s3cret"),
        "{text}"
    );
}
