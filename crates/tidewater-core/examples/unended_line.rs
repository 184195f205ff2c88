//! A line that never ends, byte by byte, up to the decoder's bound: time for each byte at a bound of 1 MiB and of 64 MiB.
//!
//! ```console
//! $ cargo run --release --package tidewater-core --example unended_line
//! ```
//!
//! Linear time is a ratio near 1. (What is left is the system's: memory that is touched for the first time.)

use std::time::Instant;

use tidewater_core::sse::{DecodeError, Decoder, Limits};

const SMALL: usize = 1 << 20;
const LARGE: usize = 64 << 20;
const ROUNDS: usize = 7;

fn main() {
    println!("| line | 1 MiB | 64 MiB | ratio | held at most |\n|---|--:|--:|--:|--:|");
    for begin in ["data: ", "unknown", ": "] {
        let mut rounds: Vec<_> =
            (0..ROUNDS).map(|_| (time_of(begin, SMALL), time_of(begin, LARGE))).collect();
        rounds.sort_by(|one, other| (one.1.0 / one.0.0).total_cmp(&(other.1.0 / other.0.0)));
        let ((small, _), (large, held)) = rounds[ROUNDS / 2];
        println!("| `{begin}…` | {small:.2} ns | {large:.2} ns | {:.2} | {held} bytes |", large / small);
    }
}

/// Nanoseconds for each byte, and the most that was held.
fn time_of(begin: &str, bound: usize) -> (f64, usize) {
    let mut decoder = Decoder::with_limits(Limits { max_line_bytes: bound, max_event_bytes: bound });
    decoder.feed(begin.as_bytes());
    let (mut bytes, mut held) = (begin.len(), 0);
    let began = Instant::now();
    let ended = loop {
        decoder.feed(b"x");
        bytes += 1;
        match decoder.next_event() {
            Ok(None) if bytes % 4096 == 0 => held = held.max(decoder.buffered()),
            Ok(None) => {}
            other => break other,
        }
    };
    let each = began.elapsed().as_secs_f64() * 1e9 / bytes as f64;
    // A `data` line's value comes to the bound of the event, with its LF still to come, or to that of the line.
    assert!(matches!(ended, Err(DecodeError::LineTooLong { .. } | DecodeError::EventTooLong { .. })));
    assert!(bytes > bound && bytes <= bound + begin.len() + 1 && held <= bound, "{bytes} bytes, {held} held");
    (each, held)
}
