//! `tidewater_core::sse`, by each of its ways in.

use std::hint::black_box;
use std::pin::pin;

use bytes::Bytes;
use tidewater_core::sse::{Decoder, Event, decode_stream};

use super::Visit;

/// Chunks are given away, and events are slices of them.
pub(super) fn feed_bytes(chunks: Vec<Bytes>, visit: &mut impl Visit) -> Result<(), String> {
    let mut decoder = Decoder::new();
    for chunk in chunks {
        decoder.feed_bytes(chunk);
        drain(&mut decoder, visit)?;
    }
    Ok(())
}

/// Chunks are lent.
pub(super) fn feed(chunks: &[Bytes], visit: &mut impl Visit) -> Result<(), String> {
    let mut decoder = Decoder::new();
    for chunk in chunks {
        decoder.feed(chunk);
        drain(&mut decoder, visit)?;
    }
    Ok(())
}

/// Chunks are given away, and events are lent.
pub(super) fn feed_bytes_lent(chunks: Vec<Bytes>, visit: &mut impl Visit) -> Result<(), String> {
    let mut decoder = Decoder::new();
    for chunk in chunks {
        decoder.feed_bytes(chunk);
        drain_lent(&mut decoder, visit)?;
    }
    Ok(())
}

/// Chunks and events are lent.
pub(super) fn feed_lent(chunks: &[Bytes], visit: &mut impl Visit) -> Result<(), String> {
    let mut decoder = Decoder::new();
    for chunk in chunks {
        decoder.feed(chunk);
        drain_lent(&mut decoder, visit)?;
    }
    Ok(())
}

/// A stream of chunks becomes a stream of events.
pub(super) fn stream(chunks: Vec<Bytes>, visit: &mut impl Visit) -> Result<(), String> {
    let mut events = pin!(decode_stream(crate::body(chunks), Decoder::new()));
    while let Some(event) = crate::next(events.as_mut())? {
        show(event.map_err(|error| error.to_string())?, visit);
    }
    Ok(())
}

#[inline]
fn drain(decoder: &mut Decoder, visit: &mut impl Visit) -> Result<(), String> {
    while let Some(event) = decoder.next_event().map_err(|error| error.to_string())? {
        show(event, visit);
    }
    Ok(())
}

#[inline]
fn drain_lent(decoder: &mut Decoder, visit: &mut impl Visit) -> Result<(), String> {
    while let Some(event) = decoder.next_event_ref().map_err(|error| error.to_string())? {
        black_box(&event);
        visit.event(event.event_type, event.data.as_bytes(), event.last_event_id);
    }
    Ok(())
}

#[inline]
fn show(event: Event, visit: &mut impl Visit) {
    black_box(&event);
    visit.event(&event.event_type, event.data.as_bytes(), &event.last_event_id);
}
