//! HTTP/1.1 by hand, over a socket: requests that need no stream, and the body of one that does.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::PATIENCE;

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whole, without its framing.
    pub body: Bytes,
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is something else.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("no JSON: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// `GET`, read to its end.
///
/// # Errors
/// If there is no answer within [`PATIENCE`].
pub async fn get(to: SocketAddr, path: &str) -> Result<Response> {
    request(to, "GET", path, &[], b"").await
}

/// `POST` of a body, the answer read to its end.
///
/// # Errors
/// As [`get`].
pub async fn post(to: SocketAddr, path: &str, body: &[u8]) -> Result<Response> {
    request(to, "POST", path, &[], body).await
}

/// Any request, the answer read to its end.
///
/// # Errors
/// As [`get`].
pub async fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        let mut head = head(to, method, path, headers);
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        // A server may answer, and close, before it has read a body that it refuses.
        let written = stream.write_all(body).await;
        let mut reader = Reader::new(stream);
        let (status, headers) = match (reader.head().await, written) {
            (Err(_), Err(error)) => return Err(anyhow::Error::from(error)),
            (head, _) => head?,
        };
        let mut whole = BytesMut::new();
        if method != "HEAD" && status != 204 {
            while let Some(bytes) = reader.body().await? {
                whole.extend_from_slice(&bytes);
            }
        }
        Ok(Response { status, headers, body: whole.freeze() })
    };
    timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("no answer within {PATIENCE:?}"))?
        .with_context(|| format!("{method} http://{to}{path}"))
}

/// A request's first line and headers, open for more.
pub(crate) fn head(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// The reading half of an exchange. Its futures are cancel safe: what was read stays.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: TcpStream,
    buffer: BytesMut,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes are left of the chunk, `None` between chunks.
    Chunked(Option<u64>),
    /// Until the connection ends.
    Close,
    Ended,
}

impl Reader {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new(), framing: Framing::Close }
    }

    /// The status and the headers.
    pub(crate) async fn head(&mut self) -> Result<(u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            ensure!(self.fill().await?, "the connection ended before an answer");
        };
        let head = self.buffer.split_to(end + 4);
        let head = std::str::from_utf8(&head).context("a head that is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|text| text.parse().ok());
        let status: u16 = status.with_context(|| format!("no status in {head:?}"))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let value = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
        self.framing = match (value("transfer-encoding"), value("content-length")) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked(None),
            (Some(coding), _) => bail!("the transfer coding {coding:?} is not known here"),
            (None, Some(length)) => Framing::Length(length.parse().context("content-length")?),
            (None, None) => Framing::Close,
        };
        Ok((status, headers))
    }

    /// The next bytes of the body; `None` at its proper end.
    pub(crate) async fn body(&mut self) -> Result<Option<Bytes>> {
        loop {
            match &mut self.framing {
                Framing::Ended | Framing::Length(0) => return Ok(None),
                Framing::Close if !self.buffer.is_empty() => return Ok(Some(self.buffer.split().freeze())),
                Framing::Length(left) | Framing::Chunked(Some(left))
                    if *left > 0 && !self.buffer.is_empty() =>
                {
                    let count = self.buffer.len().min(usize::try_from(*left)?);
                    *left -= count as u64;
                    return Ok(Some(self.buffer.split_to(count).freeze()));
                }
                Framing::Chunked(left @ Some(0)) if self.buffer.len() >= 2 => {
                    ensure!(self.buffer.starts_with(b"\r\n"), "a chunk that does not end where it should");
                    self.buffer.advance(2);
                    *left = None;
                    continue;
                }
                Framing::Chunked(left @ None) => {
                    if let Some(end) = find(&self.buffer, b"\r\n") {
                        let line = self.buffer.split_to(end + 2);
                        let line = std::str::from_utf8(&line[..end]).context("a chunk's size")?;
                        let size =
                            u64::from_str_radix(line, 16).with_context(|| format!("chunk {line:?}"))?;
                        if size > 0 {
                            *left = Some(size);
                        } else {
                            self.framing = Framing::Ended;
                        }
                        continue;
                    }
                }
                _ => {}
            }
            if !self.fill().await? {
                if let Framing::Close = self.framing {
                    self.framing = Framing::Ended;
                    return Ok(None);
                }
                bail!("the connection ended in the middle of the body");
            }
        }
    }

    async fn fill(&mut self) -> Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
