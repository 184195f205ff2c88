//! A stream of chunks as a stream of events.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;

use super::decode::Decoder;
use super::error::StreamError;
use super::event::Event;

/// Decodes a stream of chunks, such as the body of a response.
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use tidewater_core::sse::{Decoder, decode_stream};
///
/// # futures_util::future::FutureExt::now_or_never(async {
/// let chunks = stream::iter([Ok::<_, std::io::Error>("data: he"), Ok("llo\n\n")]);
/// let mut events = decode_stream(chunks, Decoder::new());
/// assert_eq!(events.next().await.unwrap().unwrap().data, "hello");
/// assert!(events.next().await.is_none());
/// # }).unwrap();
/// ```
pub fn decode_stream<S>(chunks: S, decoder: Decoder) -> DecodeStream<S> {
    DecodeStream { chunks, decoder, ended: false }
}

pin_project! {
    /// The stream of [`decode_stream`]: ends with the chunks, or after the first error.
    ///
    /// Polling it is cancel safe: bytes that arrived stay in the decoder.
    #[derive(Debug)]
    pub struct DecodeStream<S> {
        #[pin]
        chunks: S,
        decoder: Decoder,
        ended: bool,
    }
}

impl<S> DecodeStream<S> {
    /// The decoder, which knows the last event id and the reconnection time.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The decoder back, to [`restart`](Decoder::restart) on the next connection.
    pub fn into_decoder(self) -> Decoder {
        self.decoder
    }
}

impl<S, B, E> Stream for DecodeStream<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
{
    type Item = Result<Event, StreamError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        while !*this.ended {
            match this.decoder.next_event() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => {}
                Err(error) => {
                    *this.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            match ready!(this.chunks.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) => this.decoder.feed_bytes(chunk.into()),
                Some(Err(error)) => {
                    *this.ended = true;
                    return Poll::Ready(Some(Err(StreamError::Transport(error))));
                }
                None => *this.ended = true,
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::sse::{DecodeError, Limits};

    fn collect(
        chunks: Vec<Result<&'static str, &'static str>>,
        decoder: Decoder,
    ) -> Vec<Result<String, StreamError<&'static str>>> {
        decode_stream(stream::iter(chunks), decoder)
            .map(|item| item.map(|event| event.data.into()))
            .collect()
            .now_or_never()
            .unwrap()
    }

    #[test]
    fn ends_with_its_chunks_and_drops_the_unfinished() {
        let events = collect(vec![Ok("data: a\n\ndata: b\n"), Ok("\n"), Ok("data: c\n")], Decoder::new());
        assert_eq!(events, [Ok("a".into()), Ok("b".into())]);
    }

    #[test]
    fn ends_after_an_error() {
        let events = collect(vec![Ok("data: a\n\n"), Err("cut"), Ok("data: b\n\n")], Decoder::new());
        assert_eq!(events, [Ok("a".into()), Err(StreamError::Transport("cut"))]);

        let decoder = Decoder::with_limits(Limits { max_line_bytes: 8, max_event_bytes: 8 });
        let events = collect(vec![Ok("data: a\n\ndata: too long\n\n"), Ok("data: b\n\n")], decoder);
        let error = StreamError::Decode(DecodeError::LineTooLong { limit: 8 });
        assert_eq!(events, [Ok("a".into()), Err(error)]);
    }

    #[test]
    fn the_decoder_can_be_taken_back() {
        let mut events = decode_stream(stream::iter([Ok::<_, ()>("id: 9\n\n")]), Decoder::new());
        assert!(events.next().now_or_never().unwrap().is_none());
        assert_eq!(events.into_decoder().last_event_id(), "9");
    }
}
