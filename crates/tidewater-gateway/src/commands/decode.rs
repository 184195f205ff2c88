//! `tidewater decode`: what a browser would make of an event stream.

use std::io::{self, Read};

use bytes::BytesMut;
use serde::Serialize;
use tidewater::sse::{DecodeError, Decoder, Event, Item, Limits};

use crate::{failure::Failure, output::Output};

/// Read an event stream from standard input and print its events as JSON.
///
/// One object a line: {"type","data","lastEventId"}, exactly as a browser's EventSource would dispatch it (WHATWG
/// HTML, 9.2.5 and 9.2.6). Comments are passed over; a block that the end of the input cuts off is no event.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  curl -sN localhost:8080/channels/demo | tidewater decode
  printf 'id: 7\\ndata: hello\\n\\n' | tidewater decode
      {\"type\":\"message\",\"data\":\"hello\",\"lastEventId\":\"7\"}
  tidewater decode --summary < stream.txt
      the last line is {\"retry\":MILLISECONDS or null,\"lastEventId\":\"...\"}

Exit code 1: a line or an event is longer than --max-bytes; the events before it are printed.")]
pub(crate) struct Args {
    /// Print a last line {"retry","lastEventId"}: what the next connection would wait and send.
    #[arg(long)]
    summary: bool,
    /// The longest line, and the longest event, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    max_bytes: u64,
}

/// Runs `tidewater decode`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let limit = usize::try_from(args.max_bytes).unwrap_or(usize::MAX);
    let mut decoder = Decoder::with_limits(Limits { max_line_bytes: limit, max_event_bytes: limit });
    let (mut input, mut output) = (io::stdin().lock(), Output::new());
    loop {
        let mut chunk = BytesMut::zeroed(CHUNK);
        let read = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::input(&error)),
        };
        chunk.truncate(read);
        decoder.feed_bytes(chunk.freeze());
        let decoded = print_complete(&mut decoder, &mut output);
        // Events before a failure are printed, and a live stream's events at once.
        output.flush()?;
        decoded?;
    }
    if args.summary {
        output.json(&Summary { retry: decoder.retry(), last_event_id: decoder.last_event_id() })?;
    }
    output.flush()
}

/// One event as it is printed.
#[derive(Serialize)]
pub(crate) struct Printed<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    data: &'a str,
    #[serde(rename = "lastEventId")]
    last_event_id: &'a str,
}

impl<'a> From<&'a Event> for Printed<'a> {
    fn from(event: &'a Event) -> Self {
        Self { event_type: &event.event_type, data: &event.data, last_event_id: &event.last_event_id }
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    retry: Option<u64>,
    #[serde(rename = "lastEventId")]
    last_event_id: &'a str,
}

/// What is read at once.
const CHUNK: usize = 64 << 10;

fn print_complete(decoder: &mut Decoder, output: &mut Output) -> Result<(), Failure> {
    loop {
        match decoder.next_item() {
            Ok(Some(Item::Event(event))) => output.json(&Printed::from(&event))?,
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(error) => return Err(too_long(error)),
        }
    }
}

fn too_long(error: DecodeError) -> Failure {
    let (what, limit) = match error {
        DecodeError::LineTooLong { limit } => ("a line", limit),
        DecodeError::EventTooLong { limit } => ("an event", limit),
        other => return Failure::runtime(other),
    };
    Failure::runtime(format_args!(
        "{what} of the input is longer than {limit} bytes: raise --max-bytes, or check that it is an event stream"
    ))
}
