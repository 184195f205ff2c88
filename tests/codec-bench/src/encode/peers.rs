//! Other people's encoders. Libraries are called; frameworks are asked for the body of a response, which is read to
//! its end, since their events cannot be encoded in any other way.

pub(super) mod rocket;

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use axum::response::IntoResponse;
use bytes::Bytes;
use futures_codec::Encoder as _;
use futures_io::AsyncBufRead;
use futures_util::{Stream, stream};
use http_body::Body;
use warp::Reply;

/// A sender and a reader, which come by turns: between them is a channel that holds one line.
pub(super) fn async_sse(payloads: &[String], sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let mut context = Context::from_waker(Waker::noop());
    let (sender, mut encoder) = async_sse::encode();
    for payload in payloads {
        let mut sent = pin!(sender.send(None, payload, None));
        let mut done = false;
        loop {
            if !done && let Poll::Ready(result) = sent.as_mut().poll(&mut context) {
                result.map_err(|error| error.to_string())?;
                done = true;
            }
            match Pin::new(&mut encoder).poll_fill_buf(&mut context) {
                Poll::Ready(piece) => {
                    let piece = piece.map_err(|error| error.to_string())?;
                    let len = piece.len();
                    sink(piece);
                    Pin::new(&mut encoder).consume(len);
                }
                Poll::Pending if done => break,
                Poll::Pending => {}
            }
        }
    }
    Ok(())
}

/// The codec itself, into one buffer that is used again and again.
pub(super) fn sse_codec(payloads: Vec<String>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let mut codec = sse_codec::SSECodec::default();
    let mut out = futures_codec::BytesMut::new();
    for data in payloads {
        out.clear();
        let event = sse_codec::Event::Message { id: None, event: "message".into(), data };
        codec.encode(event, &mut out).map_err(|error| error.to_string())?;
        sink(&out);
    }
    Ok(())
}

/// An event, without the body around it.
pub(super) fn sse_stream(payloads: Vec<String>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    for data in payloads {
        sink(&sse_stream::Sse::default().data(data).encode().map_err(|error| error.to_string())?);
    }
    Ok(())
}

/// An event is encoded when its data is set: into a buffer of its own.
pub(super) fn axum(payloads: &'static [String], sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let events = events(payloads, |data| axum::response::sse::Event::default().data(data));
    read(axum::response::Sse::new(events).into_response().into_body(), sink)
}

/// An event is encoded when the body is read.
pub(super) fn salvo(payloads: Vec<String>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let mut response = salvo::Response::new();
    salvo::sse::stream(&mut response, events(payloads, |data| salvo::sse::SseEvent::default().text(data)));
    read(response.take_body(), sink)
}

/// An event is encoded when the body is read.
pub(super) fn warp(payloads: Vec<String>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let reply = warp::sse::reply(events(payloads, |data| warp::sse::Event::default().data(data)));
    read(reply.into_response().into_body(), sink)
}

/// A stream of events, as a handler would give it.
fn events<P: IntoIterator, T>(
    payloads: P,
    event: fn(P::Item) -> T,
) -> impl Stream<Item = Result<T, std::convert::Infallible>> + use<P, T> {
    stream::iter(payloads.into_iter().map(move |data| Ok(event(data))))
}

/// Reads a response's body, frame by frame as a server would.
fn read<B>(body: B, sink: &mut dyn FnMut(&[u8])) -> Result<(), String>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    while let Some(frame) = crate::ready(body.as_mut().poll_frame(&mut context))? {
        if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
            sink(&data);
        }
    }
    Ok(())
}
