//! `decode` and `encode` against the vectors of the event stream format, through the real binary.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{fs, io::Write, path::PathBuf, process::Stdio};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use support::{Lines, end, run, tidewater};

#[test]
fn decode_gives_what_every_vector_expects() {
    let mut checked = 0;
    for file in ["eventsource-parser.json", "own-extras.json", "whatwg-examples.json", "wpt-eventsource.json"]
    {
        for vector in vectors(file) {
            let Some(bytes) = stream(&vector) else { continue };
            let done = run(&["decode", "--summary"], &bytes).exits(0);
            let mut lines: Vec<Value> =
                done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let summary = lines.pop().unwrap();
            let name = &vector["name"];
            assert_eq!(Value::Array(lines), vector["expected_events"], "{file}: {name}");
            if let Some(retry) = vector.get("expected_retry") {
                assert_eq!(summary["retry"], *retry, "{file}: {name}");
            }
            if let Some(id) = vector.get("expected_last_event_id") {
                assert_eq!(summary["lastEventId"], *id, "{file}: {name}");
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 96, "streams of one connection among the vectors");
}

#[test]
fn encode_survives_every_attack() {
    let (mut refused, mut encoded) = (0, 0);
    for vector in vectors("encoder-attack-inputs.json") {
        let fields = vector["fields"].as_object().unwrap();
        // JSON has no bytes that are not UTF-8: those are the codec's own tests.
        if fields.contains_key("data_b64") {
            continue;
        }
        let line = Value::Object(fields.clone()).to_string();
        let done = run(&["encode"], line.as_bytes());
        if done.code == Some(1) {
            assert!(done.stdout.is_empty() && done.stderr.starts_with("error: line 1: "), "{done:?}");
            refused += 1;
            continue;
        }
        let wire = done.exits(0).stdout;
        let decoded = run(&["decode"], wire.as_bytes()).exits(0).stdout;
        let events: Vec<Value> = decoded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text = |name: &str| fields.get(name).map(|value| value.as_str().unwrap());
        let expected = json!({
            "type": text("event").unwrap_or("message"),
            "data": text("data").unwrap_or_default().replace("\r\n", "\n").replace('\r', "\n"),
            "lastEventId": text("id").unwrap_or_default(),
        });
        assert_eq!(events, [expected], "{}", vector["name"]);
        encoded += 1;
    }
    assert!(refused > 5 && encoded > 5, "{refused} refused, {encoded} encoded");
}

#[test]
fn what_is_encoded_is_decoded_to_the_same() {
    let lines = concat!(
        "{\"event\":\"e\",\"id\":\"1\",\"data\":\" leading\\n\\nlines\\n\"}\n",
        "\n",
        "{\"comment\":\"c\",\"retry\":1234}\n",
        "{\"data\":\"täg \\u0000\"}", // the last line may lack its end
    );
    let wire = run(&["encode"], lines.as_bytes()).exits(0).stdout;
    let events = run(&["decode", "--summary"], wire.as_bytes()).exits(0).stdout;
    assert_eq!(
        events,
        concat!(
            "{\"type\":\"e\",\"data\":\" leading\\n\\nlines\\n\",\"lastEventId\":\"1\"}\n",
            "{\"type\":\"message\",\"data\":\"täg \\u0000\",\"lastEventId\":\"1\"}\n",
            "{\"retry\":1234,\"lastEventId\":\"1\"}\n",
        )
    );
}

#[test]
fn encode_names_the_line_it_refuses_and_writes_those_before() {
    for (bad, parts) in [
        ("{\"id\":\"1\\ndata: forged\"}", &["line 3: ", "the event id", "line feed"][..]),
        ("{\"event\":\"\"}", &["line 3: ", "empty"]),
        ("{\"daat\":\"x\"}", &["line 3: ", "unknown field `daat`"]),
        ("{\"data\":", &["line 3: ", "column"]),
        ("[1]", &["line 3: ", "JSON object"]),
    ] {
        let input = format!("{{\"data\":\"a\"}}\n\n{bad}\n{{\"data\":\"b\"}}\n");
        let done = run(&["encode"], input.as_bytes()).exits(1).says(parts);
        assert_eq!(done.stdout, "data: a\n\n");
    }
}

#[test]
fn both_have_bounds() {
    let stream = b"data: a\n\ndata: 0123456789\n\n";
    let done = run(&["decode", "--max-bytes", "12"], stream).exits(1).says(&["12 bytes", "--max-bytes"]);
    assert_eq!(done.stdout.lines().count(), 1);
    let lines = b"{\"data\":\"a\"}\n{\"data\":\"0123456789\"}\n";
    let done =
        run(&["encode", "--max-bytes", "13"], lines).exits(1).says(&["line 2: ", "13 bytes", "--max-bytes"]);
    assert_eq!(done.stdout, "data: a\n\n");
}

#[test]
fn both_pass_on_at_once_what_is_complete() {
    for (command, input, expected) in [
        ("decode", "data: a\n\nda", "{\"type\":\"message\",\"data\":\"a\",\"lastEventId\":\"\"}"),
        ("encode", "{\"data\":\"a\"}\n", "data: a"),
    ] {
        let mut child =
            tidewater().arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        let line = lines.next();
        assert_eq!(line, expected, "while the input is still open");
        drop(stdin);
        assert_eq!(end(&mut child), Some(0));
    }
}

#[test]
fn a_reader_that_stops_ends_it_quietly() {
    for (command, input) in [("decode", "data: a\n\n"), ("encode", "{\"data\":\"a\"}\n")] {
        let mut child = tidewater()
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        // More than any buffer; the write fails once the command is gone.
        drop(stdin.write_all(input.repeat(1 << 16).as_bytes()));
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{command}");
    }
}

fn vectors(file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(file);
    let all: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    all.into_iter().filter(|vector| vector.get("_meta").is_none()).collect()
}

/// The bytes of a vector of one stream; `None` for requests, responses and several connections.
fn stream(vector: &Value) -> Option<Vec<u8>> {
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
            one => vec![one.as_str().unwrap().to_owned()],
        }
    };
    for name in ["input", "chunks"] {
        if let Some(value) = vector.get(name) {
            return Some(texts(value).concat().into_bytes());
        }
    }
    for name in ["input_b64", "chunks_b64"] {
        if let Some(value) = vector.get(name) {
            return Some(texts(value).iter().flat_map(|text| STANDARD.decode(text).unwrap()).collect());
        }
    }
    None
}
