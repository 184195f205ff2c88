//! An SSE client that can be cut at any moment.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tidewater_core::{
    Cursor,
    sse::{Decoder, Limits},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    PATIENCE,
    http::{self, Reader},
};

pub use tidewater_core::sse::Event;

/// One connection. Dropping it cuts it, with whatever is on its way.
#[derive(Debug)]
pub struct SseClient {
    reader: Reader,
    decoder: Decoder,
    headers: Vec<(String, String)>,
    status: u16,
}

impl SseClient {
    /// Opens a stream and reads the head of the answer.
    ///
    /// # Errors
    /// If there is no answer. The status is not looked at here.
    pub async fn connect(to: SocketAddr, path: &str, last_event_id: Option<&str>) -> Result<Self> {
        Self::over(TcpStream::connect(to), to, path, last_event_id, &[]).await
    }

    /// The same from one of loopback's addresses, and with more headers.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_from(
        from: Ipv4Addr,
        to: SocketAddr,
        path: &str,
        last_event_id: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Self> {
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            socket.connect(to).await
        };
        Self::over(connect, to, path, last_event_id, headers).await
    }

    async fn over(
        connect: impl Future<Output = io::Result<TcpStream>>,
        to: SocketAddr,
        path: &str,
        last_event_id: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Self> {
        let open = async {
            let mut stream = connect.await?;
            let mut headers = [&[("accept", "text/event-stream")], headers].concat();
            headers.extend(last_event_id.map(|id| ("last-event-id", id)));
            let head = http::head(to, "GET", path, &headers) + "\r\n";
            stream.write_all(head.as_bytes()).await?;
            let mut reader = Reader::new(stream);
            let (status, headers) = reader.head().await?;
            let limits = Limits { max_line_bytes: 32 << 20, max_event_bytes: 32 << 20 };
            let decoder = Decoder::with_limits(limits).with_last_event_id(last_event_id.unwrap_or_default());
            Ok::<_, anyhow::Error>(Self { reader, decoder, headers, status })
        };
        timeout(PATIENCE, open).await.with_context(|| format!("no answer from http://{to}{path}"))?
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header of the answer, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// What an `EventSource` would send as `Last-Event-ID` now; `None` if nothing.
    pub fn last_event_id(&self) -> Option<&str> {
        Some(self.decoder.last_event_id()).filter(|id| !id.is_empty())
    }

    /// The reconnection time that the stream has set.
    pub fn retry(&self) -> Option<Duration> {
        self.decoder.retry().map(Duration::from_millis)
    }

    /// The next event, the hub's own included; `None` at the proper end of the stream.
    ///
    /// # Errors
    /// If the connection breaks.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing that was read is lost.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.decoder.next_event()? {
                return Ok(Some(event));
            }
            match self.reader.body().await? {
                Some(bytes) => self.decoder.feed_bytes(bytes),
                None => return Ok(None),
            }
        }
    }

    /// The next event; it has to come within [`PATIENCE`], and the stream must not end.
    ///
    /// # Errors
    /// Otherwise.
    pub async fn expect(&mut self) -> Result<Event> {
        let next = timeout(PATIENCE, self.next()).await;
        next.with_context(|| format!("no event within {PATIENCE:?}"))??.context("the stream ended")
    }

    /// The next event that is not a cursor block.
    ///
    /// # Errors
    /// As [`expect`](Self::expect).
    pub async fn expect_shown(&mut self) -> Result<Event> {
        loop {
            let event = self.expect().await?;
            if event.event_type != "tidewater.cursor" {
                return Ok(event);
            }
        }
    }

    /// The first block of a stream: the client's start.
    ///
    /// # Errors
    /// As [`expect`](Self::expect), or if the first block is another.
    pub async fn expect_start(&mut self) -> Result<Cursor> {
        ensure!(self.status == 200, "the answer's status is {}", self.status);
        let event = self.expect().await?;
        ensure!(
            event.event_type == "tidewater.cursor" && event.data.is_empty(),
            "the first block is {event:?}"
        );
        event.last_event_id.parse().with_context(|| format!("the id {:?}", event.last_event_id))
    }

    /// Waits for the proper end of the stream, and gives what came before it.
    ///
    /// # Errors
    /// If the connection breaks or does not end within [`PATIENCE`].
    pub async fn expect_end(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            match timeout(PATIENCE, self.next()).await {
                Ok(Ok(Some(event))) => events.push(event),
                Ok(Ok(None)) => return Ok(events),
                Ok(Err(error)) => return Err(error.context("the stream broke")),
                Err(_) => bail!("the stream did not end within {PATIENCE:?}"),
            }
        }
    }
}
