//! The client against servers on loopback that do as a test tells them. (TLS is `tests/sse_tls.rs` of the workspace: what
//! makes certificates compiles C.)

#![allow(clippy::unwrap_used, missing_docs)]

mod plugin;
mod reading;
mod reconnection;
mod redirects;
mod refusals;
mod requests;
mod server;

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tidewater_sse::{Builder, Error, ErrorKind, EventSource, Signal};

/// How long a test waits for what must come at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// One that reconnects at once.
fn quick(url: &str) -> Builder {
    EventSource::builder(url).initial_retry(Duration::ZERO)
}

/// What comes of it, within patience.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing comes")
}

/// The next item of a stream that goes on.
async fn next<T>(stream: &mut (impl Stream<Item = Result<T, Error>> + Unpin)) -> T {
    soon(stream.next()).await.expect("the stream has ended").expect("a final error")
}

/// The error that ends a stream: after it comes nothing.
async fn last_error<T: std::fmt::Debug>(
    stream: &mut (impl Stream<Item = Result<T, Error>> + Unpin),
) -> Error {
    let error = soon(stream.next()).await.expect("the stream has ended").expect_err("it goes on");
    assert!(!error.is_transient(), "{error}");
    assert!(soon(stream.next()).await.is_none(), "there is more behind an error");
    error
}

async fn opened(source: &mut EventSource) {
    let signal = next(source).await;
    assert!(matches!(signal, Signal::Open(_)), "{signal:?}");
}

/// The next event: its type, data and id.
async fn event(source: &mut EventSource) -> (String, String, String) {
    match next(source).await {
        Signal::Event(event) => {
            (event.event_type.to_string(), event.data.to_string(), event.last_event_id.to_string())
        }
        other => panic!("no event: {other:?}"),
    }
}

fn message(data: &str, id: &str) -> (String, String, String) {
    ("message".to_owned(), data.to_owned(), id.to_owned())
}

/// Why it connects again, and when.
async fn reconnecting(source: &mut EventSource) -> (ErrorKind, Duration) {
    match next(source).await {
        Signal::Reconnecting { error, after, .. } => {
            assert!(error.is_transient());
            (error.kind(), after)
        }
        other => panic!("it does not reconnect: {other:?}"),
    }
}
