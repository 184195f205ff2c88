//! The streams that are measured: ASCII JSON in three shapes, made the same way every time.

use bytes::Bytes;

/// Bytes of events in a stream; of one that comes byte by byte.
const TOTAL: usize = 4 << 20;
const TOTAL_BY_BYTE: usize = 64 << 10;
/// Bytes of payloads that are encoded in one go.
const PAYLOADS: usize = 1 << 20;

/// A shape of events.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// How reports call it.
    pub name: &'static str,
    /// Bytes of data in each event.
    data: usize,
    make: fn(usize, usize) -> String,
}

/// All shapes.
pub const INPUTS: [Input; 3] = [
    Input { name: "json", data: 1 << 10, make: order },
    Input { name: "tokens", data: 40, make: token },
    Input { name: "multi-line", data: 64 << 10, make: lines },
];

/// The sizes of chunks, with what reports call them.
pub const CHUNKS: [(&str, usize); 3] = [("64 KiB", 64 << 10), ("1460 B", 1460), ("1 B", 1)];

/// A stream, cut into chunks.
#[derive(Debug)]
pub struct Wire {
    /// Slices of one buffer, as a connection's reads often are.
    pub chunks: Vec<Bytes>,
    /// Bytes of the stream.
    pub len: usize,
    /// Events in it.
    pub events: usize,
    /// Bytes of data in them.
    pub data: usize,
}

impl Input {
    /// A stream of these events in chunks of this many bytes.
    pub fn wire(&self, chunk: usize) -> Wire {
        let payloads = self.some(if chunk == 1 { TOTAL_BY_BYTE } else { TOTAL });
        let mut wire = String::new();
        for payload in &payloads {
            for line in payload.split('\n') {
                wire.extend(["data: ", line, "\n"]);
            }
            wire.push('\n');
        }
        let whole = Bytes::from(wire);
        let cut = |at| whole.slice(at..whole.len().min(at + chunk));
        Wire {
            chunks: (0..whole.len()).step_by(chunk).map(cut).collect(),
            len: whole.len(),
            events: payloads.len(),
            data: payloads.iter().map(String::len).sum(),
        }
    }

    /// Payloads to encode.
    pub fn payloads(&self) -> Vec<String> {
        self.some(PAYLOADS)
    }

    fn some(&self, total: usize) -> Vec<String> {
        (0..(total / self.data).max(1)).map(|n| (self.make)(n, self.data)).collect()
    }
}

/// An order of several items, on one line.
fn order(n: usize, len: usize) -> String {
    let mut json = format!(
        r#"{{"id":"ord_{:08x}","seq":{n},"placed":"2026-03-{:02}T{:02}:17:42.{:03}Z","currency":"EUR","items":["#,
        n.wrapping_mul(2_654_435_761) & 0xffff_ffff,
        1 + n % 28,
        n % 24,
        n % 1000,
    );
    for item in 0.. {
        let (sku, price) = (1000 + (n * 7 + item * 31) % 9000, (n * 13 + item * 101) % 50_000);
        let text = format!(
            r#"{{"sku":"A-{sku}","name":"Hex bolt M8 x {item}0, zinc plated","qty":{},"cents":{price}}},"#,
            1 + (n + item) % 12
        );
        if json.len() + text.len() + 32 > len {
            break;
        }
        json.push_str(&text);
    }
    json.pop();
    json.push_str(r#"],"note":""#);
    pad(&mut json, len - 2);
    json.push_str("\"}");
    json
}

/// A piece of an answer, as language models stream it.
fn token(n: usize, len: usize) -> String {
    const WORDS: [&str; 8] = ["the", "stream", "of", "events", "meets", "a", "browser", "and"];
    let mut json = format!(r#"{{"i":{},"delta":{{"text":" {}""#, n % 10_000, WORDS[n % WORDS.len()]);
    // White space that JSON allows, so that all have the same length.
    while json.len() + 2 < len {
        json.push(' ');
    }
    json.push_str("}}");
    json
}

/// A log of lines of some 80 bytes.
fn lines(n: usize, len: usize) -> String {
    let mut text = String::new();
    for line in 0.. {
        let row = n * 1000 + line;
        text += &format!(
            r#"{{"t":"2026-03-14T09:{:02}:{:02}Z","level":"info","span":"{:06x}","msg":"request {row} done"}}"#,
            row / 60 % 60,
            row % 60,
            row.wrapping_mul(40_503) & 0xff_ffff
        );
        text.push('\n');
        if text.len() + 120 > len {
            break;
        }
    }
    pad(&mut text, len);
    text
}

fn pad(text: &mut String, len: usize) {
    text.extend("left at the door, call before delivery; ".chars().cycle().take(len - text.len()));
}
