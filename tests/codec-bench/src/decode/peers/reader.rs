//! Chunks in memory as a buffered reader.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_io::{AsyncBufRead, AsyncRead};

/// One chunk after the other, each as long as it is.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    chunk: &'a [u8],
    rest: std::slice::Iter<'a, Bytes>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(chunks: &'a [Bytes]) -> Self {
        Self { chunk: &[], rest: chunks.iter() }
    }

    fn fill(&mut self) -> &'a [u8] {
        while self.chunk.is_empty() {
            let Some(next) = self.rest.next() else { break };
            self.chunk = next;
        }
        self.chunk
    }
}

impl AsyncRead for Reader<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let chunk = self.fill();
        let len = chunk.len().min(buf.len());
        buf[..len].copy_from_slice(&chunk[..len]);
        self.chunk.advance(len);
        Poll::Ready(Ok(len))
    }
}

impl AsyncBufRead for Reader<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(Ok(self.get_mut().fill()))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.chunk.advance(amount);
    }
}
