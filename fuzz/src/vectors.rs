//! The vectors of `tests/vectors`, as far as they are about bytes; its README says what the fields mean.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};

/// Files of streams.
const STREAMS: [&str; 4] =
    ["eventsource-parser.json", "own-extras.json", "whatwg-examples.json", "wpt-eventsource.json"];

/// A stream, or the streams of one client, and what is to be read of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Vector {
    /// Which case of its origin it is.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    http: bool,
    #[serde(default)]
    connections: Vec<Body>,
    #[serde(flatten)]
    single: Body,
    /// Every event, in order.
    #[serde(default)]
    pub expected_events: Vec<ExpectedEvent>,
    /// The reconnection time at the end.
    pub expected_retry: Option<u64>,
    /// What a further request would send.
    pub expected_last_event_id: Option<String>,
    /// The texts of comments, where the origin looks at them.
    pub expected_comments: Option<Vec<String>>,
}

/// An event that is to be read.
#[derive(Clone, Debug, Deserialize)]
pub struct ExpectedEvent {
    /// The event's type.
    pub r#type: String,
    /// Its data.
    pub data: String,
    /// The last event id when it is dispatched.
    #[serde(rename = "lastEventId")]
    pub last_event_id: String,
}

/// What goes into the encoder.
#[derive(Clone, Debug, Deserialize)]
pub struct Attack {
    /// Which case it is.
    pub name: String,
    /// The fields.
    pub fields: AttackFields,
}

/// The fields of an [`Attack`].
#[derive(Clone, Debug, Deserialize)]
pub struct AttackFields {
    /// The event's name.
    pub event: Option<String>,
    /// The payload; one that is no text never reaches the encoder, and is not here.
    pub data: Option<String>,
    /// The id.
    pub id: Option<String>,
    /// The comment.
    pub comment: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Body {
    input: Option<String>,
    input_b64: Option<String>,
    chunks: Option<Vec<String>>,
    chunks_b64: Option<Vec<String>>,
}

impl Vector {
    /// The streams, in the order in which one client reads them.
    pub fn streams(&self) -> Vec<Vec<u8>> {
        match &self.connections[..] {
            [] => vec![self.single.bytes()],
            several => several.iter().map(Body::bytes).collect(),
        }
    }
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        let base64 = |text: &String| STANDARD.decode(text).expect("a vector's base64");
        match self {
            Self { input: Some(text), .. } => text.clone().into_bytes(),
            Self { input_b64: Some(text), .. } => base64(text),
            Self { chunks: Some(chunks), .. } => chunks.concat().into_bytes(),
            Self { chunks_b64: Some(chunks), .. } => chunks.iter().flat_map(base64).collect(),
            _ => panic!("a vector without bytes: {self:?}"),
        }
    }
}

/// All vectors of streams.
///
/// # Errors
/// Files that cannot be read.
///
/// # Panics
/// If they are not what they should be.
pub fn streams() -> io::Result<Vec<Vector>> {
    let mut vectors: Vec<Vector> = Vec::new();
    for file in STREAMS {
        vectors.extend(load(file)?);
    }
    vectors.retain(|vector| !vector.http);
    Ok(vectors)
}

/// All inputs that made other encoders forge events.
///
/// # Errors
/// A file that cannot be read.
pub fn attacks() -> io::Result<Vec<Attack>> {
    load("encoder-attack-inputs.json")
}

/// All of a file's entries but the first, which says where they are from.
fn load<T: DeserializeOwned>(file: &str) -> io::Result<Vec<T>> {
    let entries: Vec<serde_json::Value> = serde_json::from_str(&fs::read_to_string(folder().join(file))?)?;
    entries.into_iter().skip(1).map(|entry| Ok(serde_json::from_value(entry)?)).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}
