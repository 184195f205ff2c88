//! Whose a connection is: a direct stream's, or the fallback's from its first byte on.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use support::{GET, Site};
use tokio::time::sleep;

#[tokio::test]
async fn a_stream_is_direct_and_ends_with_its_connection() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    connection.send(GET).await;
    let head = connection.until("\r\n\r\n").await;
    assert!(head.contains("\r\nconnection: close\r\n") && !head.contains("chunked"), "{head}");
    site.clients(1).await;
    site.publish("one");
    assert!(connection.until("data: one\n").await.contains("data: one\n"));
    site.channel.hub().drain(Duration::from_millis(200)).await;
    assert!(connection.rest().await.ends_with("\n\n"));
}

#[tokio::test]
async fn a_head_may_come_in_pieces() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    for byte in GET.bytes() {
        connection.send([byte]).await;
        sleep(Duration::from_millis(1)).await;
    }
    assert!(connection.until("\r\n\r\n").await.contains("connection: close"));
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_whole_and_the_last() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    connection.send("GET /events?since=never HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let all = connection.rest().await;
    assert!(all.starts_with("HTTP/1.1 400 Bad Request\r\n") && all.ends_with('}'), "{all}");
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{all}");
}

#[tokio::test]
async fn what_is_no_stream_is_the_fallbacks() {
    let site = Site::start().await;
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "fallback"),
        ("POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "fallback"),
        ("GET /events/ HTTP/1.1\r\nHost: x\r\n\r\n", "fallback"),
        // The channel's, by the ordinary path.
        ("POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "403 Forbidden"),
        ("HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n", "tidewater-cursor: "),
        ("OPTIONS /events HTTP/1.1\r\nHost: x\r\n\r\n", "allow: GET, HEAD, OPTIONS"),
        ("GET /events HTTP/1.0\r\n\r\n", "text/event-stream"),
    ] {
        let mut connection = site.connect().await;
        connection.send(request).await;
        let got = connection.until(answer).await;
        assert!(!got.contains("connection: close"), "{request:?}: {got}");
    }
}

#[tokio::test]
async fn a_connection_of_the_fallbacks_stays_it() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    for _ in 0..2 {
        connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        connection.until("fallback").await;
    }
    // A stream on it, too: in chunks, as on any other server.
    connection.send(GET).await;
    let head = connection.until("\r\n\r\n").await;
    assert!(head.contains("transfer-encoding: chunked") && head.contains("text/event-stream"), "{head}");
    site.clients(1).await;
    site.publish("one");
    connection.until("data: one\n").await;
    drop(connection);
    site.clients(0).await;
}

#[tokio::test]
async fn http_2_is_the_fallbacks() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    // The preface and an empty SETTINGS frame (RFC 9113, §3.4); the server's own SETTINGS come back.
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    connection.until("\x04\0\0\0\0\0").await;
}

/// What is no single plain `GET` is never taken over: nothing behind a head can be read as a stream's request, or as
/// another client's.
#[tokio::test]
async fn what_smuggles_is_the_fallbacks_or_refused() {
    // hyper does not read on where a request waits behind another, so it notices at a write that a client has gone.
    let heartbeat = Duration::from_millis(200);
    let site = Site::start_with(|channel| channel.heartbeat(heartbeat), |direct| direct).await;
    let smuggled = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
    for request in [
        // Two requests at once: both are answered in turn by the fallback, the second after the stream, so never.
        format!("{GET}{smuggled}"),
        format!("GET /events HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("GET /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!(
            "GET /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("GET /events HTTP/1.1\r\nHost: x\r\nX: 1\r\n Content-Length: 30\r\n\r\n{smuggled}"),
        format!("GET /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n{smuggled}"),
        "GET /events HTTP/1.1\nHost: x\n\n".into(),
        "\r\n\r\nGET /events HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        "GET /events HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".into(),
    ] {
        let mut connection = site.connect().await;
        connection.send(&request).await;
        let head = connection.until("\r\n\r\n").await;
        let direct = head.starts_with("HTTP/1.1 200") && !head.contains("chunked");
        assert!(!direct, "{request:?}: {head}");
        assert!(!head.contains("fallback"), "{request:?}: the second request was answered first: {head}");
    }
    site.clients(0).await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_given_up() {
    let site =
        Site::start_with(|channel| channel, |direct| direct.head_timeout(Duration::from_millis(300))).await;
    for begun in
        ["", "P", "PRI * HTTP/2.0\r\n\r\nSM", "GET /events HTTP/1.1\r\nX: ", "POST / HTTP/1.1\r\nX: "]
    {
        let mut connection = site.connect().await;
        connection.send(begun).await;
        assert!(!connection.rest().await.contains("200"), "{begun:?}");
    }
}
