//! What a line says of a request and of a stream: bounded, and nothing that is a secret.

use std::{net::IpAddr, time::Duration};

use http::{HeaderName, Version, header};
use serde_json::{Value, json};
use tidewater::{
    Ended,
    http::{Answered, Exchange, Peer},
};

/// A name and what it is. One that is null is left out.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// The most bytes of anything that comes from outside: a path, an id, the name of a browser.
const MOST: usize = 256;

/// By which the lines of one request find each other over several servers.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is known of a request as soon as it is answered.
pub(super) fn request(number: u64, exchange: &Exchange<'_>, answered: &Answered) -> Fields {
    let request = exchange.request;
    let header = |name: HeaderName| {
        request.headers.get(name).map(|value| short(&String::from_utf8_lossy(value.as_bytes())))
    };
    let query: Vec<_> = exchange.known_query().map(|(name, value)| format!("{name}={value}")).collect();
    let query = (!query.is_empty()).then(|| short(&query.join("&")));
    let (begins, sent_away) = match answered.stream {
        Some(Ok(begins)) => (Some(begins.as_str()), None),
        Some(Err(why)) => (None, Some(why.as_str())),
        None => (None, None),
    };
    vec![
        ("request", json!(number)),
        ("client", client(exchange.client, request.extensions.get())),
        ("subject", json!(exchange.subject.map(short))),
        ("method", json!(short(request.method.as_str()))),
        ("path", json!(short(request.uri.path()))),
        ("query", json!(query)),
        ("http", json!(version(request.version))),
        ("status", json!(answered.status.as_u16())),
        ("channel", json!(exchange.channel)),
        ("last_event_id", json!(exchange.last_event_id().map(|id| short(&id)))),
        ("start", json!(begins)),
        ("sent_away", json!(sent_away)),
        ("agent", json!(header(header::USER_AGENT))),
        ("request_id", json!(header(REQUEST_ID))),
        ("traceparent", json!(header(TRACEPARENT))),
    ]
}

/// How long the answer took.
pub(super) fn answered(took: Duration) -> Fields {
    vec![("seconds", seconds(took))]
}

/// What a stream came to.
pub(super) fn ended(ended: &Ended) -> Fields {
    let cursor = ended.cursor.as_ref().map(|cursor| short(&cursor.to_string()));
    vec![
        ("ended", json!(ended.why.as_str())),
        ("seconds", seconds(ended.lasted)),
        ("events", json!(ended.events)),
        ("bytes", json!(ended.bytes)),
        ("cursor", json!(cursor)),
    ]
}

/// As limits see it; of what comes over a Unix socket without a word about its client, that.
fn client(address: Option<IpAddr>, peer: Option<&Peer>) -> Value {
    match (address, peer) {
        (Some(address), _) => json!(address.to_string()),
        (None, Some(Peer::Unix)) => json!(Peer::Unix.to_string()),
        (None, _) => Value::Null,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> Value {
    json!(time.as_millis() as f64 / 1000.0)
}

/// As much of it as a line may hold.
fn short(text: &str) -> String {
    match text.len() {
        0..=MOST => text.to_owned(),
        _ => format!("{}…", &text[..text.floor_char_boundary(MOST)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_bounded() {
        assert_eq!(short(&"a".repeat(MOST)), "a".repeat(MOST));
        let long = short(&"é".repeat(MOST));
        assert!(long.len() <= MOST + '…'.len_utf8() && long.ends_with("é…"), "{long}");
    }

    #[test]
    fn times_are_told_to_the_millisecond() {
        assert_eq!(seconds(Duration::from_micros(1_234_567)).to_string(), "1.234");
        assert_eq!(seconds(Duration::ZERO).to_string(), "0.0");
    }
}
