//! Redirects, over the wire; which are followed, and what is left of a request, has unit tests.

use http::Method;
use tidewater_sse::ErrorKind;

use crate::{event, last_error, message, opened, quick, reconnecting, server::Server};

fn to(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn every_connection_follows_from_the_first_url() {
    let (first, second) = (Server::start().await, Server::start().await);
    for status in [301, 302, 303, 307, 308] {
        let mut source = quick(&first.url("/a/b?c")).build().unwrap();
        for id in [None, Some("7")] {
            let redirected = async {
                let exchange = first.answer(to(status, "../d?e#f")).await;
                assert_eq!(
                    (exchange.line.as_str(), exchange.header("last-event-id")),
                    ("GET /a/b?c HTTP/1.1", id)
                );
                let exchange = first.answer(to(status, &second.url("/g"))).await;
                assert_eq!(
                    (exchange.line.as_str(), exchange.header("last-event-id")),
                    ("GET /d?e HTTP/1.1", id)
                );
                second.stream("id: 7\ndata: x\n\n").await
            };
            let (exchange, ()) = tokio::join!(redirected, opened(&mut source));
            assert_eq!((exchange.line.as_str(), exchange.header("last-event-id")), ("GET /g HTTP/1.1", id));
            assert_eq!(exchange.header("host"), Some(second.address().as_str()));
            assert_eq!(source.url().to_string(), second.url("/g"));
            assert_eq!(event(&mut source).await, message("x", "7"));
            exchange.end().await;
            reconnecting(&mut source).await;
        }
    }
}

#[tokio::test]
async fn what_is_sent_changes_as_fetch_has_it_and_only_for_this_connection() {
    let (first, second) = (Server::start().await, Server::start().await);
    let url = format!("http://ada:pass@{}/", first.address());
    let builder = quick(&url).method(Method::POST).header("content-type", "text/plain").header("x-a", "1");
    let mut source = builder.body("body").build().unwrap();
    for (status, line, body, kind) in
        [(307, "POST / HTTP/1.1", "body", Some("text/plain")), (303, "GET / HTTP/1.1", "", None)]
    {
        let redirected = async {
            let exchange = first.answer(to(status, &second.url("/"))).await;
            assert_eq!((exchange.line.as_str(), &exchange.body[..]), ("POST / HTTP/1.1", &b"body"[..]));
            assert!(exchange.header("authorization").is_some());
            second.stream("").await
        };
        let (exchange, ()) = tokio::join!(redirected, opened(&mut source));
        assert_eq!((exchange.line.as_str(), &exchange.body[..]), (line, body.as_bytes()), "{status}");
        assert_eq!(exchange.header("content-type"), kind, "{status}");
        assert_eq!(exchange.header("authorization"), None, "another origin");
        assert_eq!(exchange.header("x-a"), Some("1"));
        exchange.end().await;
        reconnecting(&mut source).await;
    }
}

#[tokio::test]
async fn twenty_are_followed_and_no_more() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/x?key=s3cret")).build().unwrap();
    let redirects = async {
        for number in 1..=20 {
            server.answer(to(302, &format!("/{number}"))).await;
        }
        server.stream("").await
    };
    tokio::join!(redirects, opened(&mut source));
    source.restart();
    let redirects = async {
        for number in 1..=21 {
            server.answer(to(302, &format!("/{number}"))).await;
        }
    };
    let ((), error) = tokio::join!(redirects, last_error(&mut source));
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(text.ends_with("/x redirects more than 20 times"), "{text}");
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_the_end() {
    for answer in [to(301, ""), "HTTP/1.1 307 Elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned()] {
        let server = Server::start().await;
        let mut source = quick(&server.url("/")).build().unwrap();
        let (_, error) = tokio::join!(server.answer(&answer), last_error(&mut source));
        assert_eq!(error.kind(), ErrorKind::Redirect);
        assert!(error.to_string().contains("no Location"), "{error}");
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn a_redirect_to_https_needs_its_feature() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let (_, error) = tokio::join!(server.answer(to(302, "https://localhost:1/x")), last_error(&mut source));
    assert!(error.to_string().contains("feature `tls`"), "{error}");
}
