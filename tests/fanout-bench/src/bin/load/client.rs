//! One client: a connection, and how far it has got.

use std::{
    io::{ErrorKind, Read, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
};

use anyhow::{Context, Result, ensure};

use crate::{broker::Consumer, http::Response, sse::Lines, tally::Tally};

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) source: Source,
    /// `None`: what comes is the broker's, with no HTTP around it.
    response: Option<Response>,
    lines: Lines,
    /// The number of the event that it waits for.
    pub(crate) next: u64,
    /// Whether what it gets tells of the server's speed.
    pub(crate) timed: bool,
    pub(crate) is_over: bool,
}

/// Where it reads.
#[derive(Debug)]
pub(crate) enum Source {
    Server(TcpStream),
    Broker(Consumer),
}

impl Client {
    /// Connects, and asks for events.
    pub(crate) fn open(address: SocketAddr, path: &str, token: Option<&str>) -> Result<Self> {
        let mut socket = TcpStream::connect(address).context("a client can't connect")?;
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{token}\r\n");
        socket.write_all(request.as_bytes())?;
        socket.set_nonblocking(true)?;
        Ok(Self::new(Source::Server(socket), Some(Response::new()), Lines::default()))
    }

    /// Reads what the broker itself hands out.
    pub(crate) fn bare(consumer: Consumer) -> Self {
        Self::new(Source::Broker(consumer), None, Lines::bare())
    }

    fn new(source: Source, response: Option<Response>, lines: Lines) -> Self {
        Self { source, response, lines, next: 0, timed: true, is_over: false }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.response.as_ref().is_none_or(Response::has_begun)
    }

    /// Reads once, and counts what came. `arrived` is told each event's number.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        now: impl FnOnce() -> u64,
        tally: &mut Tally,
        mut arrived: impl FnMut(u64),
    ) -> Result<()> {
        let count = match self.source.read(buffer) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error).context("a client can't read"),
        };
        ensure!(count > 0 || self.has_begun(), "a client was refused");
        tally.bytes += count as u64;
        let now = now();
        let Self { response, lines, next, timed, .. } = self;
        let mut body = |part: &[u8]| {
            lines.read(part, |event| {
                let before = *next;
                *next = tally.event(event, before, now, *timed);
                if *next > before {
                    arrived(*next - 1);
                }
            });
        };
        match response {
            Some(response) => response.read(&buffer[..count], body)?,
            None => body(&buffer[..count]),
        }
        self.is_over = count == 0 || self.response.as_ref().is_some_and(Response::is_over);
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Server(socket) => socket.read(buffer),
            Self::Broker(consumer) => consumer.read(buffer),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Server(socket) => socket.as_fd(),
            Self::Broker(consumer) => consumer.as_fd(),
        }
    }
}
