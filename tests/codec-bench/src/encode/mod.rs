//! The encoders, all through one door: payloads in, every piece of the wire shown to a sink.

mod ours;
mod peers;
mod plain;

use std::hint::black_box;

/// One that encodes.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// How reports call it: `ours: …`, `peer: …` or `framework: …` (the name of the crate), `plain: …`, `floor: …`.
    pub id: &'static str,
    /// Encodes, and counts the bytes of the wire.
    pub run: Run,
    /// Encodes, and keeps the wire.
    pub wire: fn(&'static [String]) -> Result<Vec<u8>, String>,
}

/// How an encoder takes its payloads.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// As `&str`. They live for ever, as a framework's stream of events may not borrow.
    Lent(fn(&'static [String]) -> Result<usize, String>),
    /// As a `String` each, which its event keeps: they are made before the clock starts.
    Given(fn(Vec<String>) -> Result<usize, String>),
}

macro_rules! encoder {
    ($id:literal, $run:ident, $encode:path $(, $owned:ident)?) => {
        Encoder {
            id: $id,
            run: Run::$run(|payloads| {
                let mut len = 0;
                $encode(payloads, &mut |piece| len += black_box(piece).len())?;
                Ok(len)
            }),
            wire: |payloads| {
                let mut wire = Vec::new();
                $encode(payloads$(.$owned())?, &mut |piece| wire.extend_from_slice(piece))?;
                Ok(wire)
            },
        }
    };
}

/// All that are measured.
pub const ENCODERS: [Encoder; 11] = [
    encoder!("ours: encode_into", Lent, ours::encode_into),
    encoder!("ours: to_bytes", Lent, ours::to_bytes),
    encoder!("plain: a Vec each", Lent, plain::lines),
    encoder!("peer: async-sse", Lent, peers::async_sse),
    encoder!("peer: sse-codec", Given, peers::sse_codec, to_vec),
    encoder!("peer: sse-stream", Given, peers::sse_stream, to_vec),
    encoder!("framework: axum", Lent, peers::axum),
    encoder!("framework: rocket", Given, peers::rocket::encode, to_vec),
    encoder!("framework: salvo", Given, peers::salvo, to_vec),
    encoder!("framework: warp", Given, peers::warp, to_vec),
    encoder!("floor: memchr2 and copy", Lent, plain::floor),
];
