//! How events come to the server: as frames of its control connection, or as posts.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::event::epoll::EventFlags;
use tidewater_fanout_bench::payload;

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) socket: TcpStream,
    /// The head of a post, without its length.
    post: Option<String>,
    waiting: Vec<u8>,
    sent: usize,
    answers: Vec<u8>,
    /// What is waited for at the socket.
    pub(crate) wanted: EventFlags,
}

impl Publisher {
    /// Connects, as soon as there is somebody.
    pub(crate) fn open(address: SocketAddr, post: Option<&str>) -> Result<Self> {
        let began = Instant::now();
        let socket = loop {
            match TcpStream::connect(address) {
                Ok(socket) => break socket,
                Err(error) if began.elapsed() > START => return Err(error).context(address.to_string()),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let post = post.map(|path| format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: "));
        Ok(Self { socket, post, waiting: Vec::new(), sent: 0, answers: Vec::new(), wanted: EventFlags::IN })
    }

    /// An event is to go.
    pub(crate) fn publish(&mut self, key: u32, data: &[u8]) {
        match &self.post {
            None => payload::frame(key, data, &mut self.waiting),
            Some(head) => {
                self.waiting.extend(head.as_bytes());
                self.waiting.extend(format!("{}\r\n\r\n", data.len()).as_bytes());
                self.waiting.extend(data);
            }
        }
    }

    /// Sends what the server takes; answers whether that is all.
    pub(crate) fn flush(&mut self) -> Result<bool> {
        while self.sent < self.waiting.len() {
            match self.socket.write(&self.waiting[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.sent > 1 << 20 {
                        self.waiting.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the server takes no more events"),
            }
        }
        self.waiting.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Takes the answers to posts: all have to be 2xx.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        let count = match self.socket.read(buffer) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        ensure!(count > 0, "the server has closed the connection that events come on");
        // Its answers are short and have one status line each; a line may be cut.
        self.answers.extend(&buffer[..count]);
        let end = memchr::memrchr(b'\n', &self.answers).map_or(0, |at| at + 1);
        for line in self.answers[..end].split(|byte| *byte == b'\n') {
            let refused = line.starts_with(b"HTTP/1.1 ") && !line.starts_with(b"HTTP/1.1 2");
            ensure!(!refused, "a post was answered with {}", String::from_utf8_lossy(line));
        }
        self.answers.drain(..end);
        Ok(())
    }
}
