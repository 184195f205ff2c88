//! What an [`EventSource`](crate::EventSource) tells.

use std::time::Duration;

use http::Response;

use crate::{Error, Event, Utf8Bytes};

/// What an [`EventSource`](crate::EventSource) tells, in the order in which it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Signal {
    /// The server has answered with an event stream: a browser's `open` event. With the head of the answer; where it
    /// came from, behind all redirects, is [`EventSource::url`](crate::EventSource::url).
    Open(Response<()>),
    /// An event.
    Event(Event),
    /// A comment line: all that follows the colon, a leading space included.
    Comment(Utf8Bytes),
    /// The stream has set the reconnection time (its `retry` field), as it was sent: what is made of it is
    /// [`EventSource::retry`](crate::EventSource::retry).
    Retry(Duration),
    /// There is no stream any more, or there was none: a browser's `error` event in the state `CONNECTING`.
    #[non_exhaustive]
    Reconnecting {
        /// Why. Always a [transient](Error::is_transient) one.
        error: Error,
        /// The next attempt begins so long after this.
        after: Duration,
    },
}
