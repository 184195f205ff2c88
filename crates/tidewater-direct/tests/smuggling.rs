//! Requests that can be read in two ways, or have no end: refused, or the connection is closed, and what is behind them is
//! never a request of its own.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use support::Connection;
use tidewater_core::memory::MemoryLog;
use tidewater_direct::{Direct, Routes};
use tidewater_http::Endpoint;
use tidewater_hub::{Channel, Hub};
use tokio::{net::TcpStream, task::JoinHandle};

const ADMIN: &str = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server that notes what it is asked for. `/events` may be published to.
struct Noting {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    channel: Channel,
    server: JoinHandle<()>,
}

impl Noting {
    async fn start(take_over: bool) -> Self {
        let (log, asked) = (MemoryLog::new("site"), Arc::new(Mutex::new(Vec::new())));
        let channel = Hub::new().channel("site").source(log.source()).sink(log.sink()).open().unwrap();
        let noted = asked.clone();
        let fallback = tower::service_fn(move |request: Request<Incoming>| {
            noted.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            async {
                // Whoever does not read bodies leaves them to hyper.
                let read = request.into_body().collect().await.map(|all| all.to_bytes());
                let answer = read.unwrap_or_else(|_| Bytes::from_static(b"broken"));
                Ok::<_, Infallible>(Response::new(Full::new(answer)))
            }
        });
        let routes = Routes::new().at(
            "/events",
            Endpoint::new(channel.clone()).publish(true).body_timeout(Duration::from_millis(500)),
        );
        let server = Direct::new(routes)
            .fallback(fallback)
            .take_over(take_over)
            .head_timeout(Duration::from_millis(500));
        let listener = tidewater_direct::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let server =
            tokio::spawn(async move { server.serve(listener, std::future::pending()).await.unwrap() });
        Self { address, asked, channel, server }
    }

    /// What comes back, to the connection's end.
    async fn send(&self, request: &[u8]) -> String {
        let mut connection = Connection(TcpStream::connect(self.address).await.unwrap());
        // It may be refused before it is written to its end.
        drop(tokio::io::AsyncWriteExt::write_all(&mut connection.0, request).await);
        connection.rest().await
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Heads and bodies of which one reader could see another end than the next.
fn ambiguous() -> Vec<String> {
    let mut all = Vec::new();
    for target in ["POST /events", "POST /page", "GET /events", "GET /page"] {
        for lines in [
            // RFC 9112, §6.1 and §6.3.
            "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
            "Content-Length: 0, 5\r\n\r\n",
            "Content-Length: +0\r\n\r\n",
            "Content-Length: 0x0\r\n\r\n",
            "Content-Length: 99999999999999999999\r\n\r\n",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: gzip\r\n\r\n",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding\u{b}: chunked\r\n\r\n0\r\n\r\n",
            // §7.1.
            "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n",
            // §5: folded fields, bare CR, no colon, no name, NUL.
            "X: 1\r\n Content-Length: 0\r\n\r\n",
            "X: 1\rContent-Length: 0\r\n\r\n",
            "no colon\r\n\r\n",
            ": 1\r\n\r\n",
            "X\0: 1\r\n\r\n",
            "X: \0\r\n\r\n",
            "X Y: 1\r\n\r\n",
        ] {
            // A stream is answered, and goes on, without a look at the body: see handover.rs.
            if target == "GET /events" && lines.starts_with("Transfer-Encoding: chunked\r\n\r\n") {
                continue;
            }
            all.push(format!("{target} HTTP/1.1\r\nHost: x\r\n{lines}{ADMIN}"));
        }
    }
    for lines in
        ["GET /events\r\n\r\n", "GET  /events  HTTP/1.1\r\n\r\n", "GET /events HTTP/1.9\r\n\r\n", "\0\0\0"]
    {
        all.push(format!("{lines}{ADMIN}"));
    }
    all
}

#[tokio::test]
async fn what_is_ambiguous_is_refused_and_hides_no_request() {
    for take_over in [true, false] {
        let server = Noting::start(take_over).await;
        for request in ambiguous() {
            let answer = server.send(request.as_bytes()).await;
            let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.ends_with("broken");
            let asked = std::mem::take(&mut *server.asked.lock().unwrap());
            assert!(!asked.iter().any(|asked| asked.contains("/admin")), "{request:?}: {asked:?}");
            assert!(refused, "{request:?}: {answer:?}");
        }
        // Both lengths: chunks count, whatever stands first, and the answer is the connection's last (RFC 9112, §6.1).
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive",
        ] {
            let request = format!("POST /page HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n0\r\n\r\n{ADMIN}");
            let answer = server.send(request.as_bytes()).await;
            assert!(answer.contains("connection: close"), "{lines:?}: {answer:?}");
            assert_eq!(std::mem::take(&mut *server.asked.lock().unwrap()), ["POST /page"], "{lines:?}");
        }
        assert_eq!(server.channel.status().log_events, 0, "something was published");
        // It goes on.
        assert!(server.send(ADMIN.as_bytes()).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn what_has_no_end_is_given_up() {
    for take_over in [true, false] {
        let server = Noting::start(take_over).await;
        let long = "x".repeat(20 << 10);
        for (request, status) in [
            (format!("GET /page HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), "431"),
            (format!("GET /events HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), "431"),
            (format!("GET /events HTTP/1.1\r\nHost: x\r\nX: {long}"), "431"),
            (format!("POST /events HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(101)), "431"),
            (format!("GET /events HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(101)), "431"),
            (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), "431"),
            ("x".repeat(1 << 20), "4"),
            // A body that is larger than a message may be, told and untold.
            ("POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n".into(), "413"),
            (
                format!(
                    "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                    format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(40)
                ),
                "413",
            ),
            // Extensions of chunks, and trailers, are read and dropped, but not for ever.
            (
                format!(
                    "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                    format!("1;{}\r\nx\r\n", "x".repeat(1000)).repeat(100)
                ),
                "400",
            ),
            (
                format!(
                    "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {long}\r\n\r\n"
                ),
                "400",
            ),
        ] {
            let answer = server.send(request.as_bytes()).await;
            let clear = answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}"));
            assert!(clear, "{:?}: {answer:?}", &request[..60]);
        }
        // A body that stops, and waits.
        let answer = server.send(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        assert_eq!(server.channel.status().log_events, 0);
        assert!(server.send(ADMIN.as_bytes()).await.starts_with("HTTP/1.1 200"));
    }
}
