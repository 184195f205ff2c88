//! The SSE codec beside other people's: what is measured, and how each is driven.
//!
//! `cargo xtask bench codec` runs `benches/codec.rs` and `src/bin/vectors.rs` and makes `docs/benchmarks/codec.md` of
//! what they say. A package with a lock file of its own, so that nothing that is compared with enters the product's.

pub mod decode;
pub mod encode;

pub mod inputs;
pub mod vectors;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::{Stream, stream};

/// What reads chunks from memory has to wait for nothing, and so never gives a [`Poll::Pending`].
fn ready<T>(poll: Poll<T>) -> Result<T, String> {
    match poll {
        Poll::Ready(ready) => Ok(ready),
        Poll::Pending => Err("waits, although all input is there".into()),
    }
}

/// The next of a stream that has to wait for nothing.
#[inline]
fn next<S: Stream + ?Sized>(stream: Pin<&mut S>) -> Result<Option<S::Item>, String> {
    ready(stream.poll_next(&mut Context::from_waker(Waker::noop())))
}

/// Chunks as a response's body gives them.
fn body(chunks: Vec<Bytes>) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Unpin {
    stream::iter(chunks.into_iter().map(Ok))
}
