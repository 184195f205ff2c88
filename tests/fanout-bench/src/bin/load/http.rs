//! Responses, as far as a client of event streams looks at them: the status, and chunks taken off the body.

use anyhow::{Result, bail, ensure};

/// How far a response is read.
#[derive(Debug)]
pub(crate) enum Response {
    /// The head, as far as it has come.
    Head(Vec<u8>),
    /// The length of a chunk: its value so far, and whether its digits are over.
    Length(usize, bool),
    /// So many bytes of a chunk are to come.
    Chunk(usize),
    /// So many bytes of the line end behind a chunk are to come.
    End(u8),
    /// A body without chunks, to the end of the connection.
    Plain,
    /// The last chunk has come.
    Over,
}

/// The longest head.
const LONGEST_HEAD: usize = 16 << 10;

impl Response {
    pub(crate) fn new() -> Self {
        Self::Head(Vec::new())
    }

    /// Whether the head is read.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self, Self::Head(_))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Takes bytes off, and hands on the body's.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) -> Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            match self {
                Self::Head(head) => {
                    let before = head.len();
                    head.extend(bytes);
                    let Some(end) = memchr::memmem::find(head, b"\r\n\r\n") else {
                        ensure!(head.len() < LONGEST_HEAD, "a head without an end");
                        return Ok(());
                    };
                    bytes = &bytes[end + 4 - before..];
                    let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
                    ensure!(text.starts_with("http/1.1 200"), "answered with {text:?}");
                    ensure!(text.contains("content-type: text/event-stream"), "not a stream: {text:?}");
                    *self = if text.contains("transfer-encoding: chunked") {
                        Self::Length(0, false)
                    } else {
                        Self::Plain
                    };
                }
                Self::Length(length, over) => {
                    bytes = rest;
                    match first {
                        b'\n' if *length == 0 => *self = Self::Over,
                        b'\n' => *self = Self::Chunk(*length),
                        b';' | b'\r' => *over = true,
                        _ if *over => {}
                        digit => match char::from(*digit).to_digit(16) {
                            Some(digit) if *length < 1 << 40 => *length = *length << 4 | digit as usize,
                            _ => bail!("no length of a chunk"),
                        },
                    }
                }
                Self::Chunk(left) => {
                    let (part, rest) = bytes.split_at(bytes.len().min(*left));
                    body(part);
                    bytes = rest;
                    *left -= part.len();
                    if *left == 0 {
                        *self = Self::End(2);
                    }
                }
                Self::End(1) => (*self, bytes) = (Self::Length(0, false), rest),
                Self::End(left) => (*left, bytes) = (*left - 1, rest),
                Self::Plain => {
                    body(bytes);
                    return Ok(());
                }
                Self::Over => return Ok(()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n00B;x=1\r\n, all ther\n\r\n1\r\ne\r\n0\r\n\r\n";

    #[test]
    fn chunks_are_taken_off_wherever_the_bytes_are_cut() {
        for size in [1, 2, 7, STREAM.len()] {
            let (mut response, mut body) = (Response::new(), Vec::<u8>::new());
            for piece in STREAM.chunks(size) {
                response.read(piece, |part| body.extend(part)).unwrap();
            }
            assert_eq!(body, b"hello, all ther\ne", "pieces of {size}");
            assert!(response.is_over());
        }
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        for head in ["HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"] {
            assert!(Response::new().read(head.as_bytes(), |_| ()).is_err(), "{head}");
        }
    }
}
