//! A small HTTP/1.1 client on a raw socket: what goes over the wire is seen as it is.

use std::{collections::VecDeque, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use tidewater_core::sse::{Decoder, Event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Failure, soon};

/// A request in the making.
pub(super) struct Request {
    address: SocketAddr,
    method: &'static str,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    chunked: bool,
}

impl Request {
    pub(super) fn new(address: SocketAddr, method: &'static str, path: &str) -> Self {
        Self { address, method, path: path.to_owned(), headers: Vec::new(), body: Vec::new(), chunked: false }
    }

    pub(super) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(super) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sends the body in chunks: its length is not known before.
    pub(super) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Sends it on a connection of its own and reads the head of the answer.
    pub(super) async fn send(self) -> Result<Answer, Failure> {
        let what = format!("{} {}", self.method, self.path);
        soon(&what, self.exchange()).await?.map_err(|error| Failure::new(format!("{what}: {error}")))
    }

    async fn exchange(self) -> Result<Answer, Failure> {
        let mut socket = TcpStream::connect(self.address).await?;
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.path, self.address).into_bytes();
        for (name, value) in &self.headers {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if self.chunked {
            head.extend(b"transfer-encoding: chunked\r\n");
        } else if self.method == "POST" {
            head.extend(format!("content-length: {}\r\n", self.body.len()).into_bytes());
        }
        head.extend(b"\r\n");
        if self.chunked {
            for part in self.body.chunks(1000) {
                head.extend(format!("{:x}\r\n", part.len()).into_bytes());
                head.extend([part, b"\r\n"].concat());
            }
            head.extend(b"0\r\n\r\n");
        } else {
            head.extend(&self.body);
        }
        socket.write_all(&head).await?;
        Answer::read(Connection { socket, buffer: BytesMut::new() }, self.method == "HEAD").await
    }
}

/// The head of an answer, and its body as far as it has come.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    connection: Connection,
    framing: Framing,
}

enum Framing {
    /// Bytes left.
    Length(usize),
    /// Bytes left of the chunk; `None` after the last one.
    Chunked(Option<usize>),
    UntilClose,
}

impl Answer {
    async fn read(mut connection: Connection, of_head: bool) -> Result<Self, Failure> {
        let first = connection.line().await?;
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| Failure::new(format!("no status line: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = connection.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                if line.is_empty() {
                    break;
                }
                return Err(Failure::new(format!("no header: {line:?}")));
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let value =
            |name| headers.iter().find(|(other, _)| other == name).map(|(_, value): &(_, String)| value);
        let framing = if of_head || status == 204 || status == 304 {
            Framing::Length(0)
        } else if value("transfer-encoding").is_some_and(|value| value == "chunked") {
            Framing::Chunked(Some(0))
        } else if let Some(length) = value("content-length") {
            Framing::Length(length.parse()?)
        } else {
            Framing::UntilClose
        };
        Ok(Self { status, headers, connection, framing })
    }

    /// The value of a header that comes once.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// The next piece of the body, without the chunks' framing; `None` at its proper end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        match &mut self.framing {
            Framing::Length(0) | Framing::Chunked(None) => Ok(None),
            Framing::Length(left) => {
                let piece = self.connection.up_to(*left).await?;
                *left -= piece.len();
                if piece.is_empty() { Err(Failure::new("the body was cut")) } else { Ok(Some(piece)) }
            }
            Framing::UntilClose => {
                let piece = self.connection.up_to(usize::MAX).await?;
                Ok((!piece.is_empty()).then_some(piece))
            }
            Framing::Chunked(Some(left)) => {
                if *left == 0 {
                    let size = self.connection.line().await?;
                    *left = usize::from_str_radix(size.trim(), 16)?;
                    if *left == 0 {
                        self.connection.line().await?;
                        self.framing = Framing::Chunked(None);
                        return Ok(None);
                    }
                }
                let piece = self.connection.up_to(*left).await?;
                *left -= piece.len();
                if piece.is_empty() {
                    return Err(Failure::new("the body was cut in the middle of a chunk"));
                }
                if *left == 0 {
                    self.connection.line().await?;
                }
                Ok(Some(piece))
            }
        }
    }

    /// The first `length` bytes of the body.
    pub(super) async fn bytes(&mut self, length: usize) -> Result<Bytes, Failure> {
        let mut all = BytesMut::new();
        while all.len() < length {
            match soon("the next bytes", self.piece()).await?? {
                Some(piece) => all.extend_from_slice(&piece),
                None => {
                    return Err(Failure::new(format!(
                        "the body ended after {} of {length} bytes",
                        all.len()
                    )));
                }
            }
        }
        all.truncate(length);
        Ok(all.freeze())
    }

    /// The whole body, to its proper end.
    pub(super) async fn whole(mut self) -> Result<Bytes, Failure> {
        let mut all = BytesMut::new();
        while let Some(piece) = soon("the end of the body", self.piece()).await?? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// The whole body as JSON.
    pub(super) async fn json(self) -> Result<serde_json::Value, Failure> {
        let body = self.whole().await?;
        serde_json::from_slice(&body).map_err(|error| Failure::new(format!("no JSON ({error}): {body:?}")))
    }

    /// The body as events.
    pub(super) fn events(self) -> Result<Events, Failure> {
        if self.status != 200 || self.header("content-type") != Some("text/event-stream") {
            return Err(Failure::new(format!("no event stream: {} {:?}", self.status, self.headers)));
        }
        Ok(Events { answer: self, decoder: Decoder::new(), raw: Vec::new(), read: VecDeque::new() })
    }
}

/// An event stream as a browser reads it.
pub(super) struct Events {
    answer: Answer,
    decoder: Decoder,
    /// Every byte so far.
    pub(super) raw: Vec<u8>,
    read: VecDeque<Event>,
}

impl Events {
    /// The next event, cursors and all; `None` at the stream's proper end.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(Some(event));
            }
            let Some(piece) = soon("the next event", self.answer.piece()).await?? else { return Ok(None) };
            self.raw.extend_from_slice(&piece);
            self.decoder.feed_bytes(piece);
            while let Some(event) = self.decoder.next_event()? {
                self.read.push_back(event);
            }
        }
    }

    /// The next event that page code sees: no cursor.
    pub(super) async fn seen(&mut self) -> Result<Event, Failure> {
        loop {
            match self.next().await? {
                Some(event) if event.event_type == tidewater_core::payload::CURSOR_EVENT => {}
                Some(event) => return Ok(event),
                None => return Err(Failure::new("the stream ended before the event came")),
            }
        }
    }

    /// The data of the next events that page code sees.
    pub(super) async fn data(&mut self, count: usize) -> Result<Vec<String>, Failure> {
        let mut data = Vec::new();
        for _ in 0..count {
            data.push(self.seen().await?.data.into());
        }
        Ok(data)
    }

    /// The reconnection time that a browser would use now.
    pub(super) fn retry(&self) -> Option<u64> {
        self.decoder.retry()
    }
}

struct Connection {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    /// The next line, without its CRLF.
    async fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.advance(end + 2);
                return Ok(line);
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(Failure::new("the connection was closed in the middle of an answer"));
            }
        }
    }

    /// What is there, up to so many bytes; empty at the end of the connection.
    async fn up_to(&mut self, most: usize) -> Result<Bytes, Failure> {
        if self.buffer.is_empty() {
            self.socket.read_buf(&mut self.buffer).await?;
        }
        let length = self.buffer.len().min(most);
        Ok(self.buffer.split_to(length).freeze())
    }
}
