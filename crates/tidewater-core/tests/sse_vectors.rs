//! The decoder against every vector in `tests/vectors`, cut in every way: whole, byte by byte, as its origin
//! cut it, and at random places; and an independent parser against the same vectors, to know what it agrees with.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Deserialize;
use tidewater_core::sse::{Decoder, Item};

/// File, vectors of bytes, vectors of requests and responses (which are not the codec's).
const FILES: [(&str, usize, usize); 4] = [
    ("eventsource-parser.json", 42, 0),
    ("own-extras.json", 29, 0),
    ("whatwg-examples.json", 6, 0),
    ("wpt-eventsource.json", 33, 22),
];

const RANDOM_CUTS: u64 = 12;

#[test]
fn every_vector_is_there() {
    for (file, bytes, http) in FILES {
        let all = load(file);
        assert_eq!(
            all.iter().filter(|vector| vector.http).count(),
            http,
            "{file}: request and response vectors"
        );
        assert_eq!(all.iter().filter(|vector| !vector.http).count(), bytes, "{file}: byte stream vectors");
    }
    let known: BTreeSet<String> = FILES
        .iter()
        .map(|(file, ..)| *file)
        .chain(["encoder-attack-inputs.json"])
        .map(String::from)
        .collect();
    let found: BTreeSet<String> = std::fs::read_dir(vectors_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(found, known, "a file of vectors that no test reads");
}

#[test]
fn the_sample_in_the_docs_is_the_vector() {
    let page = std::fs::read_to_string(vectors_dir().join("../../docs/sse.md")).unwrap();
    let (_, after) = page.split_once("\"the sample of docs/sse.md\"").unwrap();
    let (_, after) = after.split_once("```text\n").unwrap();
    let (sample, _) = after.split_once("```").unwrap();
    let vector = vectors().into_iter().find(|vector| vector.name == "the sample of docs/sse.md").unwrap();
    assert_eq!(vector.single.input.as_deref(), Some(sample));
}

#[test]
fn whole() {
    check_all(|stream| vec![stream.whole()]);
}

#[test]
fn byte_by_byte() {
    check_all(|stream| stream.whole().chunks(1).map(<[u8]>::to_vec).collect());
}

#[test]
fn byte_by_byte_with_nothing_in_between() {
    check_all(|stream| stream.whole().iter().flat_map(|byte| [vec![], vec![*byte]]).collect());
}

#[test]
fn as_the_origin_cut_it() {
    check_all(Response::chunks);
    let cut = vectors().iter().flat_map(|vector| vector.responses()).filter(|r| r.chunks().len() > 1).count();
    assert_eq!(cut, 22, "streams that their origin cut");
}

#[test]
fn at_random_places() {
    for seed in 0..RANDOM_CUTS {
        let mut random = fastrand::Rng::with_seed(seed);
        check_all(|stream| cut_at_random(&stream.whole(), &mut random));
    }
}

/// Lines that lie whole in a chunk that is long enough are read in place; most vectors are too short for that.
#[test]
fn behind_long_lines_in_the_same_chunk() {
    const BEHIND: usize = 300;
    let before = format!(":\n:{}\n", "x".repeat(BEHIND));
    for vector in vectors() {
        let responses = vector.responses();
        if responses.iter().any(|response| response.whole().starts_with("\u{feff}".as_bytes())) {
            continue;
        }
        let mut outcome = decode(&responses, |stream| vec![[before.as_bytes(), &stream.whole()].concat()]);
        outcome.comments.retain(|comment| !comment.is_empty() && comment.len() < BEHIND);
        let mut vector = vector;
        if let Some(comments) = &mut vector.expected_comments {
            comments.retain(|comment| !comment.is_empty());
        }
        vector.check(&outcome, "behind long lines");
    }
}

#[test]
fn between_every_two_bytes_once() {
    for vector in vectors() {
        let responses = vector.responses();
        let longest = responses.iter().map(|response| response.whole().len()).max().unwrap();
        for at in 0..longest.min(2_000) {
            let cut = |stream: &Response| {
                let whole = stream.whole();
                let (left, right) = whole.split_at(at.min(whole.len()));
                vec![left.to_vec(), right.to_vec()]
            };
            vector.check(&decode(&responses, cut), &format!("cut at {at}"));
        }
    }
}

#[test]
fn one_decoder_restarted_is_as_good_as_one_for_each_connection() {
    let several: Vec<Vector> = vectors().into_iter().filter(|vector| vector.responses().len() > 1).collect();
    assert_eq!(several.len(), 14);
    for vector in several {
        let mut outcome = Outcome::default();
        let mut decoder = Decoder::new();
        for response in vector.responses() {
            decoder.restart();
            outcome.requests.push(decoder.last_event_id().to_string());
            decoder.feed(&response.whole());
            drain(&mut decoder, &mut outcome);
        }
        outcome.close(&decoder);
        vector.check(&outcome, "restarted");
    }
}

/// `eventsource-stream` is right on all but these; the reasons were read in its source.
#[test]
fn an_independent_parser_agrees_but_where_it_is_wrong() {
    let (mut agreed, mut panics, mut wrong) = (0, 0, BTreeSet::new());
    for vector in vectors().iter().filter(|vector| vector.connections.is_empty()) {
        let bytes = vector.responses()[0].whole();
        // It cuts a byte order mark off as if it were one byte long, which panics.
        if bytes.starts_with("\u{feff}".as_bytes()) {
            panics += 1;
            continue;
        }
        let wanted: Vec<_> = vector.expected_events.iter().map(Expected::fields).collect();
        if oracle(bytes).as_ref() == Some(&wanted) {
            agreed += 1;
        } else {
            wrong.insert(vector.name.clone());
        }
    }
    let known: BTreeSet<String> = ORACLE_IS_WRONG.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(wrong, known);
    assert_eq!((agreed, panics), (79, 7));
}

const ORACLE_IS_WRONG: [&str; 10] = [
    // A CR at the end of the input is no line end to it: the event that it completes waits for one more byte.
    "CR only",
    "CR CR LF LF: three line ends",
    // Bytes that are not UTF-8 make it wait for ever, then fail; the standard replaces them.
    "UTF-16 BOM is not special",
    "incomplete BOM is data",
    "ill-formed split over chunks",
    "ill-formed: above U+10FFFF gives four U+FFFD",
    "ill-formed: overlong slash gives two U+FFFD",
    "ill-formed: surrogate half gives three U+FFFD",
    "ill-formed: truncated 3-byte then ASCII",
    "ill-formed: truncated 4-byte before LF",
];

/// What the other parser makes of a stream; nothing if it fails.
fn oracle(bytes: Vec<u8>) -> Option<Vec<(String, String, String)>> {
    let chunks = stream::iter([Ok::<_, std::io::Error>(bytes)]);
    let events: Vec<_> = chunks.eventsource().collect().now_or_never().unwrap();
    events.into_iter().map(|event| event.ok().map(|event| (event.event, event.data, event.id))).collect()
}

fn check_all(mut cut: impl FnMut(&Response) -> Vec<Vec<u8>>) {
    for vector in vectors() {
        let outcome = decode(&vector.responses(), &mut cut);
        vector.check(&outcome, "");
    }
}

/// One client over several responses, a decoder for each.
fn decode(responses: &[Response], mut cut: impl FnMut(&Response) -> Vec<Vec<u8>>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut decoder = Decoder::new();
    for response in responses {
        decoder = Decoder::new().with_last_event_id(decoder.last_event_id()).with_retry(decoder.retry());
        outcome.requests.push(decoder.last_event_id().to_string());
        for chunk in cut(response) {
            decoder.feed(&chunk);
            drain(&mut decoder, &mut outcome);
        }
    }
    outcome.close(&decoder);
    outcome
}

fn drain(decoder: &mut Decoder, outcome: &mut Outcome) {
    while let Some(item) = decoder.next_item().unwrap() {
        match item {
            Item::Event(event) => {
                let fields = (event.event_type.into(), event.data.into(), event.last_event_id.into());
                outcome.events.push(fields);
            }
            Item::Comment(comment) => outcome.comments.push(comment.into()),
            Item::Retry(millis) => outcome.retries.push(millis),
            other => panic!("what is {other:?}?"),
        }
    }
}

#[derive(Debug, Default)]
struct Outcome {
    events: Vec<(String, String, String)>,
    comments: Vec<String>,
    retries: Vec<u64>,
    requests: Vec<String>,
    retry: Option<u64>,
    last_event_id: String,
}

impl Outcome {
    fn close(&mut self, decoder: &Decoder) {
        self.retry = decoder.retry();
        self.last_event_id = decoder.last_event_id().to_string();
        assert_eq!(self.retries.last().copied(), self.retry);
    }
}

#[derive(Debug, Deserialize)]
struct Vector {
    #[serde(default)]
    name: String,
    #[serde(default)]
    http: bool,
    #[serde(default)]
    connections: Vec<Response>,
    #[serde(flatten)]
    single: Response,
    #[serde(default)]
    expected_events: Vec<Expected>,
    expected_retry: Option<u64>,
    expected_last_event_id: Option<String>,
    expected_request_last_event_id: Option<Vec<String>>,
    expected_comments: Option<Vec<String>>,
}

impl Vector {
    fn responses(&self) -> Vec<Response> {
        if self.connections.is_empty() { vec![self.single.clone()] } else { self.connections.clone() }
    }

    fn check(&self, outcome: &Outcome, how: &str) {
        let name = &self.name;
        let wanted: Vec<_> = self.expected_events.iter().map(Expected::fields).collect();
        assert_eq!(outcome.events, wanted, "events of {name:?} {how}");
        assert_eq!(outcome.retry, self.expected_retry, "retry of {name:?} {how}");
        if let Some(wanted) = &self.expected_last_event_id {
            assert_eq!(&outcome.last_event_id, wanted, "last event id of {name:?} {how}");
        }
        if let Some(wanted) = &self.expected_request_last_event_id {
            assert_eq!(&outcome.requests, wanted, "Last-Event-ID of the requests of {name:?} {how}");
        }
        if let Some(wanted) = &self.expected_comments {
            assert_eq!(&outcome.comments, wanted, "comments of {name:?} {how}");
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Expected {
    r#type: String,
    data: String,
    #[serde(rename = "lastEventId")]
    last_event_id: String,
}

impl Expected {
    fn fields(&self) -> (String, String, String) {
        (self.r#type.clone(), self.data.clone(), self.last_event_id.clone())
    }
}

/// A response's body, in one of the four forms that vectors give it.
#[derive(Clone, Debug, Deserialize)]
struct Response {
    input: Option<String>,
    input_b64: Option<String>,
    chunks: Option<Vec<String>>,
    chunks_b64: Option<Vec<String>>,
}

impl Response {
    fn chunks(&self) -> Vec<Vec<u8>> {
        let base64 = |text: &String| STANDARD.decode(text).unwrap();
        let utf8 = |text: &String| text.clone().into_bytes();
        match self {
            Self { input: Some(text), .. } => vec![utf8(text)],
            Self { input_b64: Some(text), .. } => vec![base64(text)],
            Self { chunks: Some(chunks), .. } => chunks.iter().map(utf8).collect(),
            Self { chunks_b64: Some(chunks), .. } => chunks.iter().map(base64).collect(),
            _ => panic!("a response without a body: {self:?}"),
        }
    }

    fn whole(&self) -> Vec<u8> {
        self.chunks().concat()
    }
}

fn cut_at_random(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let longest = [1, 3, 17, 200][random.usize(..4)];
    let mut rest = bytes;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(random.usize(0..=longest).min(rest.len()));
        chunks.push(chunk.to_vec());
        rest = after;
    }
    chunks
}

/// The vectors of byte streams.
fn vectors() -> Vec<Vector> {
    FILES.iter().flat_map(|(file, ..)| load(file)).filter(|vector| !vector.http).collect()
}

fn load(file: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(vectors_dir().join(file)).unwrap();
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(entries[0].get("_meta").is_some(), "{file} does not say where it is from");
    entries.into_iter().skip(1).map(|entry| serde_json::from_value(entry).unwrap()).collect()
}

fn vectors_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}
