//! Response bodies, and the heads that go with them.

use std::{
    any::Any,
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Frame, SizeHint};
use tidewater_hub::{Begins, Encoding, Ending, EventStream, OnEnd};

/// The body of an answer of the [`Endpoint`](crate::Endpoint).
///
/// An enum, so that a framework with a body type of its own can give a known body its length and a stream its way.
#[derive(Debug)]
pub enum Body {
    /// All of it; may be empty.
    Full(Bytes),
    /// Events, until the client goes or the stream is drained.
    Events(EventBody),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::Full(Bytes::new())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Events(events) => Pin::new(events).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// One client's stream as a body: an [`http_body::Body`], and a [`Stream`] for frameworks that want one.
///
/// `Send + Sync`. Each item is a slice of the channel's shared wire bytes, handed over without a copy, and ends at an
/// event boundary. Dropping it removes the subscriber at once.
pub struct EventBody(EventStream);

impl EventBody {
    /// As [`EventStream::hold`].
    pub fn hold(&mut self, kept: Box<dyn Any + Send + Sync>) {
        self.0.hold(kept);
    }

    /// As [`EventStream::begins`].
    ///
    /// # Errors
    /// As [`EventStream::begins`].
    pub fn begins(&self) -> Result<Begins, Ending> {
        self.0.begins()
    }

    /// As [`EventStream::observe`].
    pub fn observe(&mut self, on_end: OnEnd) {
        self.0.observe(on_end);
    }
}

impl From<EventStream> for EventBody {
    fn from(stream: EventStream) -> Self {
        Self(stream)
    }
}

impl From<EventBody> for EventStream {
    fn from(body: EventBody) -> Self {
        body.0
    }
}

impl Stream for EventBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll_next(cx)).map(Ok))
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll_next(cx)).map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl fmt::Debug for EventBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventBody")
    }
}

/// What makes a stream one, and keeps proxies from storing, compressing or buffering it.
pub(crate) fn put_head(headers: &mut HeaderMap, encoding: Option<Encoding>) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.as_str()));
        vary_by_encoding(headers);
    }
}

/// Others may get the same stream in another form.
pub(crate) fn vary_by_encoding(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
}

/// An answer of JSON.
pub(crate) fn json(status: http::StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::Full(value.to_string().into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frameworks_get_what_they_ask_of_a_body() {
        fn all<T: Send + Sync + Unpin + 'static>() {}
        all::<Body>();
        all::<EventBody>();
    }
}
