//! `tidewater encode`: JSON lines into an event stream.

use std::io::{self, BufRead, BufReader, Read};

use bytes::BytesMut;
use serde::Deserialize;
use tidewater::sse::{EventName, Frame};

use crate::{failure::Failure, output::Output};

/// Read JSON lines from standard input and write them as an event stream.
///
/// One object a line: {"event"?,"id"?,"data"?,"comment"?,"retry"?}, all optional, texts but for "retry", which is a
/// number of milliseconds. Data may hold line ends: a browser reads each CR, LF and CRLF in it as LF. A name or an id
/// that holds CR, LF or NUL would forge other fields, so it is refused. Empty lines are passed over.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"event\":\"price\",\"id\":\"7\",\"data\":\"12.50\"}' | tidewater encode
  echo '{\"comment\":\"still here\",\"retry\":3000}' | tidewater encode
  tidewater encode < events.jsonl | tidewater decode

Exit code 1: a line is not such an object or can't be encoded; the error names the line, and the lines before it are
written.")]
pub(crate) struct Args {
    /// The longest line, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    max_bytes: u64,
}

/// Runs `tidewater encode`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (mut input, mut output) = (BufReader::with_capacity(CHUNK, io::stdin().lock()), Output::new());
    let (mut line, mut wire) = (Vec::new(), BytesMut::new());
    for number in 1_u64.. {
        line.clear();
        // One byte past the bound tells a line that fits from one that goes on.
        let read = (&mut input).take(args.max_bytes + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| Failure::input(&error))? == 0 {
            break;
        }
        let encoded = if line.len() as u64 > args.max_bytes {
            Err(format!("it is longer than {} bytes: raise --max-bytes", args.max_bytes))
        } else {
            encode(&line, &mut wire)
        };
        if let Err(why) = encoded {
            output.flush()?;
            return Err(Failure::runtime(format_args!("line {number}: {why}")));
        }
        output.bytes(&wire.split())?;
        // A producer that writes now and then is passed on at once; one that floods, in large pieces.
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    output.flush()
}

/// One line of the input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    event: Option<String>,
    id: Option<String>,
    data: Option<String>,
    comment: Option<String>,
    retry: Option<u64>,
}

/// What is read at once.
const CHUNK: usize = 64 << 10;

fn encode(line: &[u8], wire: &mut BytesMut) -> Result<(), String> {
    match line.trim_ascii().first() {
        None => return Ok(()),
        Some(b'{') => {}
        // An array would be taken for the fields in their order.
        Some(_) => return Err(r#"it is not a JSON object such as {"event":"price","data":"12.50"}"#.into()),
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| {
        // The line's number stands before it; serde's own is always 1.
        let text = error.to_string();
        match text.rsplit_once(" at line ") {
            Some((what, _)) => format!("{what} (column {})", error.column()),
            None => text,
        }
    })?;
    let name = line.event.as_deref().map(EventName::new).transpose().map_err(|error| error.to_string())?;
    let mut frame = Frame::new();
    if let Some(comment) = &line.comment {
        frame = frame.comment(comment);
    }
    if let Some(millis) = line.retry {
        frame = frame.retry(millis);
    }
    if let Some(name) = &name {
        frame = frame.event(name);
    }
    if let Some(data) = &line.data {
        frame = frame.data(data);
    }
    if let Some(id) = &line.id {
        frame = frame.id(id);
    }
    frame.encode_into(wire).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(line: &str) -> Result<String, String> {
        let mut wire = BytesMut::new();
        encode(line.as_bytes(), &mut wire).map(|()| String::from_utf8(wire.to_vec()).unwrap())
    }

    #[test]
    fn fields_go_out_in_the_codecs_order() {
        assert_eq!(
            encoded(r#"{"data":"a\nb","id":"1","event":"e","retry":5,"comment":"c"}"#).unwrap(),
            ": c\nretry: 5\nevent: e\ndata: a\ndata: b\nid: 1\n\n"
        );
        assert_eq!(encoded("{}").unwrap(), "");
        assert_eq!(encoded("  \r\n").unwrap(), "");
    }

    #[test]
    fn what_is_refused_says_why() {
        for (line, what) in [
            (r#"{"event":"a\nb"}"#, "line feed"),
            (r#"{"id":"a\u0000"}"#, "NUL"),
            (r#"{"dat":"x"}"#, "unknown field `dat`"),
            (r#"{"data":"x","data":"y"}"#, "duplicate field"),
            (r#"{"retry":-1}"#, "invalid value"),
            (r#"{"data":1}"#, "invalid type"),
            (r#"["a",null,null,null,null]"#, "JSON object"),
            ("data: x", "JSON object"),
            ("{", "column"),
        ] {
            let error = encoded(line).unwrap_err();
            assert!(error.contains(what), "{line}: {error}");
        }
    }
}
