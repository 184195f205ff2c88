//! An answer, ready to go out through any framework.

use std::any::Any;

use http::Response;
use tidewater_hub::EventStream;

use crate::{Body, Rejection, body};

/// An answer: a stream, the channel's cursor, or a refusal, with the headers that go with it.
///
/// What an open form ends with: [`Resume::open`](crate::Resume::open) gives one, and so does a stream that the handler
/// made itself (`channel.stream(resume, select).await.into()`).
#[derive(Debug)]
pub struct Reply(pub(crate) Response<Body>);

impl Reply {
    /// The response, to send or to add headers to.
    pub fn into_response(self) -> Response<Body> {
        self.0
    }

    /// Keeps something for as long as the stream is there, such as a [`Permit`](crate::Permit); where it is none, it is
    /// dropped.
    #[must_use = "this is the answer"]
    pub fn hold(mut self, kept: impl Any + Send + Sync) -> Self {
        if let Body::Events(events) = self.0.body_mut() {
            events.hold(Box::new(kept));
        }
        self
    }
}

impl From<EventStream> for Reply {
    fn from(stream: EventStream) -> Self {
        let encoding = stream.encoding();
        let mut response = Response::new(Body::Events(stream.into()));
        body::put_head(response.headers_mut(), encoding);
        Self(response)
    }
}

impl From<Rejection> for Reply {
    fn from(rejection: Rejection) -> Self {
        Self(rejection.into_response())
    }
}

impl From<Reply> for Response<Body> {
    fn from(reply: Reply) -> Self {
        reply.0
    }
}
