//! Other people's parsers, each as its documentation has it used, by its shortest way in.

pub(super) mod client;
mod reader;

use std::hint::black_box;
use std::pin::pin;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_codec::Decoder as _;

use self::reader::Reader;
use super::Visit;

/// Over a buffered reader; the buffer is the chunk, so that nothing is copied before it comes.
pub(super) fn async_sse(chunks: &[Bytes], visit: &mut impl Visit) -> Result<(), String> {
    let mut events = pin!(async_sse::decode(Reader::new(chunks)));
    while let Some(event) = crate::next(events.as_mut())? {
        if let async_sse::Event::Message(event) = event.map_err(|error| error.to_string())? {
            black_box(&event);
            visit.event(event.name(), event.data(), event.id().as_deref().unwrap_or_default());
        }
    }
    Ok(())
}

/// Over a stream of chunks.
pub(super) fn eventsource_stream(chunks: Vec<Bytes>, visit: &mut impl Visit) -> Result<(), String> {
    let mut events = pin!(crate::body(chunks).eventsource());
    while let Some(event) = crate::next(events.as_mut())? {
        let event = event.map_err(|error| error.to_string())?;
        black_box(&event);
        visit.event(&event.event, event.data.as_bytes(), &event.id);
    }
    Ok(())
}

/// The codec itself, without the reader around it, which would cut chunks anew into 8 KiB.
pub(super) fn sse_codec(chunks: &[Bytes], visit: &mut impl Visit) -> Result<(), String> {
    let mut codec = sse_codec::SSECodec::default();
    let mut buffer = futures_codec::BytesMut::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while let Some(event) = codec.decode(&mut buffer).map_err(|error| error.to_string())? {
            black_box(&event);
            if let sse_codec::Event::Message { id, event, data } = event {
                visit.event(&event, data.as_bytes(), id.as_deref().unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// The decoder itself, without the stream around it.
pub(super) fn sse_core(chunks: &[Bytes], visit: &mut impl Visit) -> Result<(), String> {
    let mut decoder = sse_core::SseDecoder::new();
    for chunk in chunks {
        let mut chunk = &chunk[..];
        while let Some(event) = decoder.next(&mut chunk) {
            if let sse_core::SseEvent::Message(event) = event.map_err(|error| error.to_string())? {
                black_box(&event);
                let id = event.last_event_id.as_deref().unwrap_or_default();
                visit.event(&event.event, event.data.as_bytes(), id);
            }
        }
    }
    Ok(())
}

/// The parser itself, without the stream around it.
pub(super) fn sse_parse(chunks: &[Bytes], visit: &mut impl Visit) -> Result<(), String> {
    let mut parser = sse_parse::SseParser::new();
    let mut drain = |parser: &mut sse_parse::SseParser| {
        while let Some(event) = parser.next_event() {
            black_box(&event);
            visit.event(&event.event, event.data.as_bytes(), &event.id);
        }
    };
    for chunk in chunks {
        parser.feed(chunk);
        drain(&mut parser);
    }
    parser.finish();
    drain(&mut parser);
    Ok(())
}

/// Over a stream of chunks. It gives blocks as they are and leaves to its caller that one without data is no event,
/// that the type is `message` where none is given, and that an id holds until the next.
pub(super) fn sse_stream(chunks: Vec<Bytes>, visit: &mut impl Visit) -> Result<(), String> {
    let mut events = pin!(sse_stream::SseByteStream::new(crate::body(chunks)));
    let mut id = String::new();
    while let Some(event) = crate::next(events.as_mut())? {
        let event = event.map_err(|error| error.to_string())?;
        black_box(&event);
        if let Some(new) = event.id {
            id = new;
        }
        if let Some(data) = &event.data {
            let event_type = event.event.as_deref().filter(|name| !name.is_empty()).unwrap_or("message");
            visit.event(event_type, data.as_bytes(), &id);
        }
    }
    Ok(())
}

/// Over a stream of chunks.
pub(super) fn sseer(chunks: Vec<Bytes>, visit: &mut impl Visit) -> Result<(), String> {
    let mut events = pin!(sseer::EventStream::new(crate::body(chunks)));
    while let Some(event) = crate::next(events.as_mut())? {
        let event = event.map_err(|error| error.to_string())?;
        black_box(&event);
        visit.event(&event.event, event.data.as_bytes(), &event.id);
    }
    Ok(())
}
