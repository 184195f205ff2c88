//! `tail`, of an endpoint and of a source.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Child, Stdio},
    thread,
};

use rustix::process::Signal;
use serde_json::Value;
use support::{Lines, client::request, gateway::Gateway, run, tidewater};

#[test]
fn events_of_an_endpoint_are_printed() {
    let gateway = Gateway::start(&[]);
    for path in ["/channels/demo?event=greeting", "/channels/demo"] {
        request(&gateway.address, &format!("POST {path}"), &[], b"a\nb");
    }
    let url = gateway.url("/channels/demo");
    let done = run(&["tail", &url, "--since", "earliest", "--count", "2"], b"").exits(0);
    assert_eq!(done.stdout, "greeting: a\n    b\nmessage: a\n    b\n");

    let done =
        run(&["tail", &url, "--since", "earliest", "--count", "3", "--json", "--cursors"], b"").exits(0);
    let events: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["tidewater.cursor", "greeting", "message"]);
    assert_eq!(events[1]["data"], "a\nb");

    let id = events[1]["lastEventId"].as_str().unwrap();
    let done = run(&["tail", &url, "--last-event-id", id, "--count", "1"], b"").exits(0);
    assert_eq!(done.stdout, "message: a\n    b\n");
}

/// A server that cuts its stream after every event: it sends what comes after the id that the client sends.
#[test]
fn a_stream_that_is_cut_goes_on_with_the_last_id() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x?y=1", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut asked = Vec::new();
        for number in 1..=3 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            assert_eq!(head[0], "GET /x?y=1 HTTP/1.1");
            assert!(head.iter().any(|line| line == "accept: text/event-stream"), "{head:?}");
            let id = head.iter().find_map(|line| line.strip_prefix("last-event-id: ")).unwrap_or_default();
            asked.push(id.to_owned());
            let body = format!("retry: 1\nid: {number}\ndata: {number}\n\nid: lost\ndata: cut");
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n{body}")
                .unwrap();
        }
        asked
    });
    let done = run(&["tail", &url, "--json", "--count", "3"], b"").exits(0);
    let data: Vec<Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["data"].clone())
        .collect();
    assert_eq!(data, ["1", "2", "3"]);
    assert_eq!(server.join().unwrap(), ["", "1", "2"]);
}

#[test]
fn what_is_no_stream_is_an_error_that_says_why() {
    let gateway = Gateway::start(&[]);
    for (path, code, parts) in [
        ("/channels/nope", 1, &["404", "there are: demo"][..]),
        ("/health/live", 1, &["application/json", "text/event-stream"]),
        ("/channels/demo?since=never", 1, &["400", "RFC 3339"]),
    ] {
        run(&["tail", &gateway.url(path)], b"").exits(code).says(parts);
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run(&["tail", &format!("http://{free}/")], b"").exits(1).says(&[&free.to_string(), "can't be reached"]);
    let secure = run(&["tail", &format!("https://{free}/")], b"");
    if cfg!(feature = "sse-tls") {
        secure.exits(1).says(&[&free.to_string(), "can't be reached"]);
    } else {
        secure.exits(2).says(&["sse-tls", "curl", "tidewater decode"]);
    }
    run(&["tail", "orders"], b"").exits(2).says(&["no scheme"]);
    run(&["tail", "carrier-pigeon://x"], b"").exits(2).says(&["carrier-pigeon", "memory"]);
    run(&["tail", "memory:x", "--since", "never"], b"").exits(2).says(&["never", "RFC 3339"]);
    run(&["tail", "memory:x", "--payload", "xml"], b"").exits(2).says(&["xml", "envelope"]);
}

#[test]
fn a_server_that_has_no_more_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1000]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    run(&["tail", &url], b"").exits(0);
    server.join().unwrap();
}

/// The first events of a running `tail`.
struct Tail(Child, Lines);

impl Tail {
    fn start(args: &[&str]) -> Self {
        let mut child =
            tidewater().arg("tail").args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        Self(child, stdout)
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.1.next()).unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// I1: a log in memory is gone with its process, and that is told once.
#[test]
fn a_server_that_is_restarted_is_found_again() {
    let first = Gateway::start(&[]);
    let port = first.address.clone();
    let tail = Tail::start(&[&first.url("/channels/demo"), "--json", "--cursors"]);
    assert_eq!(tail.next()["type"], "tidewater.cursor");
    request(&port, "POST /channels/demo", &[], b"before");
    assert_eq!(tail.next()["data"], "before");
    first.signal(Signal::KILL);
    drop(first.end());
    let second = Gateway::start(&["--listen", &port]);
    let mut next = tail.next();
    while next["type"] == "tidewater.cursor" {
        next = tail.next();
    }
    assert_eq!(next["type"], "tidewater.gap");
    assert!(next["data"].as_str().unwrap().contains("\"reason\":\"epoch\""), "{next}");
    request(&second.address, "POST /channels/demo", &[], b"after");
    let after =
        std::iter::repeat_with(|| tail.next()).find(|event| event["type"] != "tidewater.cursor").unwrap();
    assert_eq!(after["data"], "after");
}

#[test]
fn a_source_is_read_without_a_server() {
    let tail = Tail::start(&["memory:x", "--json", "--cursors", "--payload", "envelope"]);
    let first = tail.next();
    assert_eq!(first["type"], "tidewater.cursor");
    let id = first["lastEventId"].as_str().unwrap();
    // Of another process, so the log is another one.
    let done = run(&["tail", "memory:x", "--last-event-id", id, "--count", "1"], b"").exits(0);
    assert!(done.stdout.starts_with("tidewater.gap: {") && done.stdout.contains("epoch"), "{}", done.stdout);
}
