//! `eventsource-client`, whose parser is its own: a whole client is asked, with a transport that answers from memory.

use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use eventsource_client::{Client, ClientBuilder, Error, ReconnectOptions, SSE};
use futures_util::stream;
use launchdarkly_sdk_transport::{ByteStream, HttpTransport, ResponseFuture};

use crate::decode::Visit;

/// One client, one response.
pub(in crate::decode) fn decode(chunks: Vec<Bytes>, visit: &mut impl Visit) -> Result<(), String> {
    let transport = Memory(Arc::new(Mutex::new(chunks)));
    let client = ClientBuilder::for_url("http://memory.invalid/")
        .map_err(|error| error.to_string())?
        .reconnect(ReconnectOptions::reconnect(false).retry_initial(false).build())
        .build_with_transport(transport);
    let mut events = client.stream();
    loop {
        match crate::next(events.as_mut())? {
            Some(Ok(SSE::Event(event))) => {
                black_box(&event);
                let id = event.id.as_deref().unwrap_or_default();
                visit.event(&event.event_type, event.data.as_bytes(), id);
            }
            Some(Ok(_)) => {}
            // A last block that is cut off is an error to it, behind all events.
            Some(Err(Error::Eof | Error::UnexpectedEof)) | None => return Ok(()),
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

/// What is answered, once.
#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<Bytes>>>);

impl HttpTransport for Memory {
    fn request(&self, _: http::Request<Option<Bytes>>) -> ResponseFuture {
        let chunks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let body: ByteStream = Box::pin(stream::iter(chunks.into_iter().map(Ok)));
        Box::pin(std::future::ready(Ok(http::Response::new(body))))
    }
}
