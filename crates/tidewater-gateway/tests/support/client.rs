//! HTTP by hand, so that nothing between the test and the bytes is clever.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Instant,
};

use super::gateway::PATIENCE;

/// A response's head.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request and reads the whole answer.
pub(crate) fn request(address: &str, head: &str, headers: &[(&str, &str)], body: &[u8]) -> (Head, String) {
    let mut answer = Answer::open(address, head, headers, body);
    let mut text = String::new();
    if !head.starts_with("HEAD") {
        text = answer.rest();
    }
    (answer.head, text)
}

/// An answer that is being read.
pub(crate) struct Answer {
    pub(crate) head: Head,
    reader: BufReader<TcpStream>,
    chunked: bool,
    left: Option<usize>,
    text: Vec<u8>,
    opened: Instant,
}

impl Answer {
    /// Sends a request (`GET /path`) and reads the answer's head.
    pub(crate) fn open(address: &str, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::over(TcpStream::connect(address).unwrap(), address, head, headers, body)
    }

    /// The same from a client whose system takes no more than some KiB that it hasn't read.
    pub(crate) fn open_narrow(address: &str, head: &str) -> Self {
        let stream =
            tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.set_recv_buffer_size(8 << 10).unwrap();
                socket.connect(address.parse().unwrap()).await.unwrap().into_std().unwrap()
            });
        stream.set_nonblocking(false).unwrap();
        Self::over(stream, address, head, &[], b"")
    }

    fn over(mut stream: TcpStream, address: &str, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || head.starts_with("POST") {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        // A body that is refused before it is read breaks the pipe: the answer is there all the same.
        drop(stream.write_all(body));
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let status = line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let head = Head { status, headers };
        let chunked = head.header("transfer-encoding") == Some("chunked");
        let left = head.header("content-length").map(|length| length.parse().unwrap());
        Self { head, reader, chunked, left, text: Vec::new(), opened: Instant::now() }
    }

    /// Reads more, unless it has ended.
    fn more(&mut self) -> bool {
        // A stream that should have ended goes on with heartbeats.
        assert!(
            self.opened.elapsed() < 3 * PATIENCE,
            "it does not come: {}",
            String::from_utf8_lossy(&self.text)
        );
        if self.chunked {
            let mut size = String::new();
            self.reader.read_line(&mut size).unwrap();
            assert!(!size.is_empty(), "it was cut off after: {}", String::from_utf8_lossy(&self.text));
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            self.text.extend_from_slice(&chunk[..size]);
            return size > 0;
        }
        let mut chunk = vec![0; self.left.unwrap_or(64 << 10).min(64 << 10)];
        let read = if chunk.is_empty() { 0 } else { self.reader.read(&mut chunk).unwrap() };
        self.left = self.left.map(|left| left - read);
        self.text.extend_from_slice(&chunk[..read]);
        read > 0
    }

    /// Waits until the next bytes are on their way, and takes (nearly) none of them.
    pub(crate) fn begun(&mut self) {
        assert!(!self.reader.fill_buf().unwrap().is_empty());
    }

    /// Reads until this is there, and takes everything up to its end.
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        loop {
            let found = self.text.windows(wanted.len()).position(|part| part == wanted.as_bytes());
            if let Some(at) = found {
                let rest = self.text.split_off(at + wanted.len());
                return String::from_utf8(std::mem::replace(&mut self.text, rest)).unwrap();
            }
            assert!(self.more(), "it ended before {wanted:?}: {}", String::from_utf8_lossy(&self.text));
        }
    }

    /// Reads to the end.
    pub(crate) fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8(std::mem::take(&mut self.text)).unwrap()
    }
}
