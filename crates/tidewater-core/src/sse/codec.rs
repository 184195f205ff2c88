//! The decoder as `tokio_util`'s: what an `AsyncRead` gives as a stream of items.

use std::io;

use bytes::BytesMut;

use super::decode::Decoder;
use super::error::StreamError;
use super::event::Item;

/// For `FramedRead` (feature `codec`): bytes that were read are given away and not copied.
///
/// ```
/// use futures_util::StreamExt;
/// use tidewater_core::sse::{Decoder, Item};
/// use tokio_util::codec::FramedRead;
///
/// # futures_util::future::FutureExt::now_or_never(async {
/// let mut items = FramedRead::new(&b"retry: 500\ndata: hello\n\ndata: unfinished"[..], Decoder::new());
/// assert_eq!(items.next().await.unwrap().unwrap(), Item::Retry(500));
/// let Item::Event(event) = items.next().await.unwrap().unwrap() else { panic!("an event") };
/// assert_eq!(event.data, "hello");
/// assert!(items.next().await.is_none());
/// # }).unwrap();
/// ```
impl tokio_util::codec::Decoder for Decoder {
    type Item = Item;
    type Error = StreamError<io::Error>;

    fn decode(&mut self, read: &mut BytesMut) -> Result<Option<Item>, Self::Error> {
        if !read.is_empty() {
            self.feed_bytes(read.split().freeze());
        }
        Ok(self.next_item()?)
    }
}

/// Reading failed.
impl From<io::Error> for StreamError<io::Error> {
    fn from(error: io::Error) -> Self {
        Self::Transport(error)
    }
}
