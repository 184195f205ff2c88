//! Rocket, whose responses are made for requests and read like files.

use std::pin::Pin;
use std::task::{Context, Waker};

use futures_util::stream;
use rocket::local::blocking::Client;
use rocket::response::{
    Responder,
    stream::{Event, EventStream},
};
use rocket::tokio::io::{AsyncRead, ReadBuf};

/// How much its server reads at a time.
const CHUNK: usize = 4096;

/// The response is made for a request that nothing comes of, and read as Rocket's server does it.
pub(in crate::encode) fn encode(payloads: Vec<String>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    CLIENT.with(|client| respond(client.as_ref()?, payloads, sink))
}

thread_local! {
    static CLIENT: Result<Client, String> =
        Client::untracked(rocket::build()).map_err(|error| error.to_string());
}

fn respond(client: &Client, payloads: Vec<String>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let request = client.get("/");
    let events = EventStream::from(stream::iter(payloads.into_iter().map(Event::data))).heartbeat(None);
    let mut response = events.respond_to(request.inner()).map_err(|status| status.to_string())?;
    let body = response.body_mut();
    let (mut chunk, mut context) = ([0; CHUNK], Context::from_waker(Waker::noop()));
    loop {
        let mut buf = ReadBuf::new(&mut chunk);
        crate::ready(Pin::new(&mut *body).poll_read(&mut context, &mut buf))?
            .map_err(|error| error.to_string())?;
        if buf.filled().is_empty() {
            return Ok(());
        }
        sink(buf.filled());
    }
}
