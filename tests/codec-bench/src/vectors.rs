//! What each decoder makes of the vectors in `tests/vectors`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::decode::{DECODERS, Decoder, Events};

/// The files, in the order of reports. `encoder-attack-inputs.json` is for encoders.
const FILES: [&str; 4] = ["whatwg-examples", "wpt-eventsource", "eventsource-parser", "own-extras"];

/// How many bytes a chunk has.
const CUTS: [(&str, usize); 3] = [("all in one", usize::MAX), ("1 byte", 1), ("7 bytes", 7)];

/// What a decoder made of a file.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The decoder's id.
    pub decoder: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// Vectors of which every chunking gave the expected events.
    pub passed: usize,
    /// The others.
    pub failed: Vec<Failure>,
}

/// A vector that came out wrong.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The vector's name.
    pub name: String,
    /// The chunkings that it was wrong in: `1 byte` gave other events, `1 byte: error` and `1 byte: panic` none or some.
    pub how: Vec<String>,
}

/// Runs every decoder that is not made for the measured streams only.
///
/// # Errors
///
/// A file that cannot be read, or is not what the vectors' README says.
pub fn run() -> Result<Vec<Verdict>, String> {
    // What panics is told in the verdict.
    std::panic::set_hook(Box::new(|_| ()));
    let mut verdicts = Vec::new();
    for file in FILES {
        let vectors = load(file)?;
        for decoder in DECODERS.iter().filter(|decoder| !decoder.id.starts_with("plain")) {
            let failed: Vec<Failure> = vectors
                .iter()
                .filter_map(|vector| vector.check(decoder).transpose())
                .collect::<Result<_, _>>()?;
            let passed = vectors.len() - failed.len();
            verdicts.push(Verdict { decoder: decoder.id, file, passed, failed });
        }
    }
    Ok(verdicts)
}

/// One body with what should come of it. Those of several connections in turn ask for a client, not for a parser.
#[derive(Debug, Deserialize)]
struct Vector {
    name: String,
    #[serde(default)]
    http: bool,
    connections: Option<serde::de::IgnoredAny>,
    input: Option<String>,
    input_b64: Option<String>,
    chunks: Option<Vec<String>>,
    chunks_b64: Option<Vec<String>>,
    #[serde(default)]
    expected_events: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    r#type: String,
    data: String,
    #[serde(rename = "lastEventId")]
    last_event_id: String,
}

fn load(file: &str) -> Result<Vec<Vector>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(file).with_extension("json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    let vectors: Vec<Vector> = entries
        .into_iter()
        .filter(|entry| entry.get("_meta").is_none())
        .map(|entry| serde_json::from_value(entry).map_err(|error| format!("{file}: {error}")))
        .collect::<Result<_, _>>()?;
    Ok(vectors.into_iter().filter(|vector| !vector.http && vector.connections.is_none()).collect())
}

impl Vector {
    fn check(&self, decoder: &Decoder) -> Result<Option<Failure>, String> {
        let body = Bytes::from(self.body()?);
        let expected: Events = self
            .expected_events
            .iter()
            .map(|e| (e.r#type.clone(), e.data.clone(), e.last_event_id.clone()))
            .collect();
        let mut how = Vec::new();
        for (name, cut) in CUTS {
            let chunks: Vec<Bytes> = body.chunks(cut).map(|chunk| body.slice_ref(chunk)).collect();
            match catch_unwind(AssertUnwindSafe(|| decoder.events.over(&chunks))) {
                Ok(Ok(events)) if events == expected => {}
                Ok(Ok(_)) => how.push(name.to_owned()),
                Ok(Err(_)) => how.push(format!("{name}: error")),
                Err(_) => how.push(format!("{name}: panic")),
            }
        }
        Ok(Some(Failure { name: self.name.clone(), how }).filter(|failure| !failure.how.is_empty()))
    }

    fn body(&self) -> Result<Vec<u8>, String> {
        let base64 = |text: &String| STANDARD.decode(text).map_err(|error| format!("{}: {error}", self.name));
        match self {
            Self { input: Some(text), .. } => Ok(text.clone().into_bytes()),
            Self { input_b64: Some(text), .. } => base64(text),
            Self { chunks: Some(chunks), .. } => Ok(chunks.concat().into_bytes()),
            Self { chunks_b64: Some(chunks), .. } => {
                Ok(chunks.iter().map(base64).collect::<Result<Vec<_>, _>>()?.concat())
            }
            _ => Err(format!("{} has no body", self.name)),
        }
    }
}
