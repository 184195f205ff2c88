//! A server with one channel, and connections on which every byte is seen.

#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses its part")]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tidewater_core::{Message, memory::MemoryLog};
use tidewater_direct::{Direct, Routes};
use tidewater_http::Endpoint;
use tidewater_hub::{Channel, ChannelBuilder, Hub};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How long anything may take that should come at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A server: the channel's stream is at `/events`, and its fallback answers everything with "fallback".
pub(crate) struct Site {
    pub(crate) log: MemoryLog,
    pub(crate) channel: Channel,
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(|channel| channel, |direct| direct).await
    }

    pub(crate) async fn start_with(
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
        direct: impl FnOnce(Direct) -> Direct,
    ) -> Self {
        let log = MemoryLog::new("site");
        let channel = channel(Hub::new().channel("site").source(log.source())).open().unwrap();
        channel.cursor().await.unwrap();
        let endpoint = Endpoint::new(channel.clone()).publish(false);
        let listener = tidewater_direct::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let fallback = tower::service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"fallback"))))
        });
        let server = direct(Direct::new(Routes::new().at("/events", endpoint)).fallback(fallback));
        let server = tokio::spawn(async move {
            server.serve(listener, std::future::pending()).await.unwrap();
        });
        Self { log, channel, address, server }
    }

    pub(crate) fn publish(&self, data: impl Into<String>) {
        self.log.publish(Message::new("site", data.into()));
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection(TcpStream::connect(self.address).await.unwrap())
    }

    /// A stream that has begun.
    pub(crate) async fn stream(&self) -> Connection {
        let mut connection = self.connect().await;
        connection.send(GET).await;
        let begun = connection.until("\n\n").await;
        assert!(begun.starts_with("HTTP/1.1 200 OK\r\n"), "{begun}");
        connection
    }

    /// Waits until there are so many streams.
    pub(crate) async fn clients(&self, count: usize) {
        let counted = async {
            while self.channel.status().clients != count {
                sleep(Duration::from_millis(2)).await;
            }
        };
        let now = || self.channel.status().clients;
        timeout(SOON, counted).await.unwrap_or_else(|_| panic!("{} streams, not {count}", now()));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) const GET: &str = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n";

pub(crate) struct Connection(pub(crate) TcpStream);

impl Connection {
    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Reads until this is there.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let (mut all, mut seen) = (Vec::<u8>::new(), 0);
        let read = async {
            while !all[seen..].windows(end.len()).any(|part| part == end.as_bytes()) {
                seen = all.len().saturating_sub(end.len() - 1);
                assert_ne!(self.0.read_buf(&mut all).await.unwrap(), 0, "it ended before {end:?}");
            }
        };
        let came = timeout(SOON, read).await.is_ok();
        let all = String::from_utf8_lossy(&all).into_owned();
        assert!(came, "no {end:?} in {all:?}");
        all
    }

    /// Reads to the end; a reset is one.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let read = async { while self.0.read_buf(&mut all).await.unwrap_or(0) > 0 {} };
        timeout(SOON, read).await.expect("the connection does not end");
        String::from_utf8_lossy(&all).into_owned()
    }
}
