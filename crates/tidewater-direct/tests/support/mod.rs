//! A server with one channel, and connections on which every byte is seen.

#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses its part")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use socket2::SockRef;
use tidewater_core::{Message, memory::MemoryLog};
use tidewater_direct::{Direct, Listener, Peer, Routes};
use tidewater_http::Endpoint;
use tidewater_hub::{Channel, ChannelBuilder, Encoding, Hub};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Notify,
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
    stop: Arc<Notify>,
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
        let listener = tidewater_direct::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        Self::start_on([listener.into()], address, channel, direct).await
    }

    /// The same, of which a socket holds few bytes that its client has not read.
    pub(crate) async fn start_narrow(
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
        direct: impl FnOnce(Direct) -> Direct,
    ) -> Self {
        let listener = tidewater_direct::bind(([127, 0, 0, 1], 0).into()).unwrap();
        // Connections have it from their listener.
        SockRef::from(&listener).set_send_buffer_size(NARROW).unwrap();
        let address = listener.local_addr().unwrap();
        Self::start_on([listener.into()], address, channel, direct).await
    }

    /// The same on these listeners; the address is where its own connections go.
    pub(crate) async fn start_on(
        listeners: impl IntoIterator<Item = Listener>,
        address: SocketAddr,
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
        direct: impl FnOnce(Direct) -> Direct,
    ) -> Self {
        let log = MemoryLog::new("site");
        let channel = channel(Hub::new().channel("site").source(log.source())).open().unwrap();
        channel.cursor().await.unwrap();
        let endpoint = Endpoint::new(channel.clone()).publish(false).compress(Encoding::ALL.iter().copied());
        let fallback = tower::service_fn(|request: Request<Incoming>| async move {
            let peer = request.extensions().get::<Peer>().map(ToString::to_string).unwrap_or_default();
            let mut response = Response::new(Full::new(Bytes::from_static(b"fallback")));
            response.headers_mut().insert("peer", peer.parse().unwrap());
            Ok::<_, Infallible>(response)
        });
        let server = direct(Direct::new(Routes::new().at("/events", endpoint)).fallback(fallback));
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone().notified_owned();
        let listeners: Vec<_> = listeners.into_iter().collect();
        let server = tokio::spawn(async move { server.serve_all(listeners, stopped).await.unwrap() });
        Self { log, channel, address, stop, server }
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
        connection.open().await;
        connection
    }

    /// A client that holds few bytes that it has not read.
    pub(crate) async fn connect_narrow(&self) -> Connection {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(NARROW as u32).unwrap();
        Connection(socket.connect(self.address).await.unwrap())
    }

    /// A stream of one that has begun.
    pub(crate) async fn narrow_stream(&self) -> Connection {
        let mut connection = self.connect_narrow().await;
        connection.open().await;
        connection
    }

    /// Stops the server, and answers how long it took to end.
    pub(crate) async fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.stop.notify_one();
        timeout(SOON, &mut self.server).await.expect("the server does not end").unwrap();
        began.elapsed()
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

/// How much a narrow socket is asked to hold. The system has a least size of its own.
const NARROW: usize = 8 << 10;

pub(crate) const GET: &str = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n";

pub(crate) struct Connection<S = TcpStream>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    pub(crate) async fn open(&mut self) {
        self.send(GET).await;
        let begun = self.until("\n\n").await;
        assert!(begun.starts_with("HTTP/1.1 200 OK\r\n"), "{begun}");
    }

    /// Reads until this is there.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let (mut all, mut seen) = (Vec::new(), 0);
        let read = async {
            while memchr::memmem::find(&all[seen..], end.as_bytes()).is_none() {
                seen = (all.len() + 1).saturating_sub(end.len());
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
