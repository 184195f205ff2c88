//! One client: a connection, and how far it has got.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context, Result, ensure};

use crate::{http::Response, sse::Lines, tally::Tally};

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    response: Response,
    lines: Lines,
    /// The number of the event that it waits for.
    pub(crate) next: u64,
    /// Whether what it gets tells of the server's speed.
    pub(crate) timed: bool,
    pub(crate) is_over: bool,
}

impl Client {
    /// Connects, and asks for events.
    pub(crate) fn open(address: SocketAddr, path: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address).context("a client can't connect")?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
        socket.write_all(request.as_bytes())?;
        socket.set_nonblocking(true)?;
        let (response, lines) = (Response::new(), Lines::default());
        Ok(Self { socket, response, lines, next: 0, timed: true, is_over: false })
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.response.has_begun()
    }

    /// Reads once, and counts what came. `arrived` is told each event's number.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        now: impl FnOnce() -> u64,
        tally: &mut Tally,
        mut arrived: impl FnMut(u64),
    ) -> Result<()> {
        let count = match self.socket.read(buffer) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error).context("a client can't read"),
        };
        ensure!(count > 0 || self.response.has_begun(), "a client was refused");
        tally.bytes += count as u64;
        let now = now();
        let Self { response, lines, next, timed, .. } = self;
        response.read(&buffer[..count], |part| {
            lines.read(part, |event| {
                let before = *next;
                *next = tally.event(event, before, now, *timed);
                if *next > before {
                    arrived(*next - 1);
                }
            });
        })?;
        self.is_over = count == 0 || self.response.is_over();
        Ok(())
    }
}
