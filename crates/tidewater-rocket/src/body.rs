//! Responses of the `http` crate as rocket's.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use rocket::{
    Response,
    http::{Header, Status},
    tokio::io::{AsyncRead, ReadBuf},
};
use tidewater_http::{Body, EventBody};

/// How much rocket reads, and writes, at once. It allocates that much for each stream.
const CHUNK: usize = 16 << 10;

pub(crate) fn response(response: http::Response<Body>) -> Response<'static> {
    let (parts, body) = response.into_parts();
    let mut response = Response::new();
    response.set_status(Status::new(parts.status.as_u16()));
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        response.adjoin_header(Header::new(name.as_str().to_owned(), value));
    }
    match body {
        Body::Full(bytes) => response.set_sized_body(bytes.len(), io::Cursor::new(bytes)),
        Body::Events(events) => {
            response.set_streamed_body(Reader { events, rest: Bytes::new() });
            response.set_max_chunk_size(CHUNK);
        }
    }
    response
}

/// Events as bytes to read, which is what rocket's bodies are.
struct Reader {
    events: EventBody,
    rest: Bytes,
}

impl AsyncRead for Reader {
    /// Fills the buffer with all that is ready: rocket writes it in one go.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            if self.rest.is_empty() {
                match Pin::new(&mut self.events).poll_next(cx) {
                    Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                    Poll::Ready(None) => break,
                    Poll::Pending if buf.filled().len() > before => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            let part = self.rest.len().min(buf.remaining());
            buf.put_slice(&self.rest[..part]);
            self.rest.advance(part);
        }
        Poll::Ready(Ok(()))
    }
}
