//! A server that does what a test tells it, one connection at a time, byte by byte.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::soon;

/// Listens on a port of its own.
pub(crate) struct Server {
    listener: TcpListener,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// On a port where something was before.
    pub(crate) async fn start_at(address: &str) -> Self {
        Self { listener: TcpListener::bind(address).await.unwrap() }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The next connection, and nothing of it read yet.
    pub(crate) async fn accept(&self) -> TcpStream {
        soon(self.listener.accept()).await.unwrap().0
    }

    /// The next request.
    pub(crate) async fn request(&self) -> Exchange<TcpStream> {
        Exchange::read(self.accept().await).await
    }

    /// The next request, answered with this.
    pub(crate) async fn answer(&self, answer: impl AsRef<str>) -> Exchange<TcpStream> {
        let mut exchange = self.request().await;
        exchange.send(answer.as_ref()).await;
        exchange
    }

    /// The next request, answered with an event stream that is chunked and open.
    pub(crate) async fn stream(&self, text: &str) -> Exchange<TcpStream> {
        let mut exchange = self.request().await;
        exchange.begin_stream().await;
        exchange.chunk(text).await;
        exchange
    }
}

/// A request, and the connection to answer it on. Dropping it closes that.
pub(crate) struct Exchange<S> {
    /// `GET /x HTTP/1.1`
    pub(crate) line: String,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) socket: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    pub(crate) async fn read(socket: S) -> Self {
        let mut socket = BufReader::new(socket);
        let line = String::from_utf8(read_line(&mut socket).await).unwrap();
        let mut headers = Vec::new();
        loop {
            let header = read_line(&mut socket).await;
            let Some(colon) = header.iter().position(|byte| *byte == b':') else { break };
            let name = String::from_utf8_lossy(&header[..colon]).to_ascii_lowercase();
            headers.push((name, header[colon + 1..].trim_ascii().to_vec()));
        }
        let mut exchange = Self { line, headers, body: Vec::new(), socket };
        let length = exchange.header("content-length").map_or(0, |length| length.parse().unwrap());
        exchange.body.resize(length, 0);
        soon(exchange.socket.read_exact(&mut exchange.body)).await.unwrap();
        exchange
    }

    /// A header that comes once, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| std::str::from_utf8(value).unwrap());
        assert!(values.next().is_none(), "{name} comes twice");
        value
    }

    pub(crate) async fn send(&mut self, text: &str) {
        soon(self.socket.write_all(text.as_bytes())).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    pub(crate) async fn begin_stream(&mut self) {
        self.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
    }

    /// A part of the stream.
    pub(crate) async fn chunk(&mut self, text: &str) {
        if !text.is_empty() {
            self.send(&format!("{:x}\r\n{text}\r\n", text.len())).await;
        }
    }

    /// The stream's proper end.
    pub(crate) async fn end(mut self) {
        self.send("0\r\n\r\n").await;
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(mut self) {
        let read = soon(self.socket.read(&mut [0])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "something came: {read:?}");
    }
}

async fn read_line(socket: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(soon(socket.read_u8()).await.unwrap());
    }
    line.truncate(line.len() - 2);
    line
}
