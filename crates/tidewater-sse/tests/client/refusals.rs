//! Answers that are no event stream.

use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use tidewater_sse::{ErrorKind, NOT_NOW, Signal};

use crate::{last_error, next, opened, quick, reconnecting, server::Server, soon};

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn no_content_is_the_end_and_no_error() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let (exchange, ()) = tokio::join!(server.stream("data: x\n\n"), opened(&mut source));
    crate::event(&mut source).await;
    exchange.end().await;
    reconnecting(&mut source).await;
    let (exchange, end) = tokio::join!(server.answer(NO_CONTENT), soon(source.next()));
    assert!(end.is_none());
    exchange.closed().await;
    source.restart();
    assert!(soon(source.next()).await.is_none(), "not even when it is asked to");
}

#[tokio::test]
async fn another_status_is_the_end_and_says_what_the_body_says() {
    for status in [201, 206, 304, 400, 401, 404, 429, 500, 503] {
        let server = Server::start().await;
        let mut source = quick(&server.url("/")).build().unwrap();
        let said = answer(status, "content-type: text/event-stream\r\n", "there are:\n\x1b[1mdemo");
        let (_, error) = tokio::join!(server.answer(&said), last_error(&mut source));
        assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::Status, status));
        let text = error.to_string();
        assert!(text.contains(&format!("/ answers {status} ")), "{text}");
        assert!(status == 304 || text.ends_with(": there are: [1mdemo"), "{text}");
    }
}

#[tokio::test]
async fn a_refusal_that_never_ends_is_told_all_the_same() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let half = "HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\nhalf of it";
    let (_exchange, error) = tokio::join!(server.answer(half), last_error(&mut source));
    assert!(error.to_string().ends_with("half of it"), "{error}");
}

#[tokio::test]
async fn another_content_type_is_the_end() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let page = answer(200, "content-type: text/html\r\n", "data: x\n\n");
    let (_, error) = tokio::join!(server.answer(&page), last_error(&mut source));
    assert_eq!(error.kind(), ErrorKind::ContentType);
    assert!(error.to_string().contains("text/html, not text/event-stream"), "{error}");
}

#[tokio::test]
async fn a_status_that_is_to_be_retried_is_and_not_before_the_server_says() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).retry_statuses(NOT_NOW).build().unwrap();
    let busy = answer(503, "retry-after: 1234\r\n", "busy");
    let (_, signal) = tokio::join!(server.answer(&busy), next(&mut source));
    let Signal::Reconnecting { error, after, .. } = signal else { panic!("{signal:?}") };
    assert_eq!((error.status(), error.is_transient()), (Some(StatusCode::SERVICE_UNAVAILABLE), true));
    assert_eq!(after, Duration::from_secs(1234));
    source.restart();
    let (_, (kind, after)) = tokio::join!(server.answer(answer(429, "", "")), reconnecting(&mut source));
    assert_eq!(kind, ErrorKind::Status);
    assert!(after < Duration::from_secs(1), "{after:?}");
    tokio::join!(server.stream(""), opened(&mut source));
    source.restart();
    let (_, error) = tokio::join!(server.answer(answer(500, "", "")), last_error(&mut source));
    assert_eq!(error.status(), Some(StatusCode::INTERNAL_SERVER_ERROR), "not one of them");
}
