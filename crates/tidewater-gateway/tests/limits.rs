//! Limits of streams, connections and publishing, through the real binary.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    io::Read,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use support::{
    client::{Answer, request},
    file::File,
    gateway::{Gateway, PATIENCE, servers},
};

/// What the health check says of limits.
fn limits(gateway: &Gateway) -> Value {
    let (answer, text) = request(&gateway.address, "GET /health/ready", &[], b"");
    assert_eq!(answer.status, 200, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["limits"].take()
}

/// Waits until so many streams are open.
#[track_caller]
fn open(gateway: &Gateway, streams: u64) {
    let until = Instant::now() + PATIENCE;
    while limits(gateway)["streams"]["open"] != streams {
        assert!(Instant::now() < until, "{}", limits(gateway));
        thread::sleep(Duration::from_millis(5));
    }
}

/// A stream that has begun.
fn stream(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let mut answer = Answer::open(&gateway.address, "GET /channels/demo", headers, b"");
    assert_eq!(answer.head.status, 200);
    assert!(answer.until("\n\n").contains("event: tidewater.cursor"));
    answer
}

/// Who finds no place: 200, a time to come back, and the end (I10).
#[track_caller]
fn is_turned_away(gateway: &Gateway, headers: &[(&str, &str)]) {
    let (answer, text) = request(&gateway.address, "GET /channels/demo", headers, b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let retry = text.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
    assert!(retry.is_some_and(|retry| retry.parse::<u64>().unwrap() >= 500), "{text}");
}

#[test]
fn i10_streams_over_a_limit_are_told_when_to_come_back() {
    for server in servers() {
        let gateway =
            Gateway::start(&["--server", server, "--max-streams", "3", "--streams-per-address", "2"]);
        let first = stream(&gateway, &[]);
        let _second = stream(&gateway, &[]);
        is_turned_away(&gateway, &[]);
        assert_eq!(limits(&gateway)["streams"]["refused_by_address"], 1, "{server}");
        drop(first);
        // A server notices when a client has gone.
        request(&gateway.address, "POST /channels/demo", &[], b"x");
        open(&gateway, 1);
        stream(&gateway, &[]);
    }
}

#[test]
fn who_publishes_too_often_waits_and_a_channel_with_a_rate_of_its_own_counts_for_itself() {
    let file = File::new(
        "limits-rate.toml",
        "[channels.demo]\nsource = 'memory:'\n[channels.own]\nsource = 'memory:'\nlimits.publish = '1/h'\n",
    );
    let gateway = Gateway::start(&["--config", file.path(), "--publish-rate", "2/h"]);
    for (channel, status) in [("demo", 202), ("own", 202), ("own", 429), ("demo", 202), ("demo", 429)] {
        let (answer, text) = request(&gateway.address, &format!("POST /channels/{channel}"), &[], b"x");
        assert_eq!(answer.status, status, "{channel}: {text}");
        let wait = answer.header("retry-after").map(|wait| wait.parse::<u64>().unwrap());
        assert_eq!(wait.is_some_and(|wait| wait > 1000), status == 429, "{wait:?}");
    }
    assert_eq!(limits(&gateway)["refused_publishes"], 2);
}

#[test]
fn a_trusted_proxy_says_whose_request_it_is_and_one_that_was_forgotten_is_told() {
    let args = ["--streams-per-address", "1"];
    let of = |address| [("x-forwarded-for", address)];
    let trusting = Gateway::start(&[&args[..], &["--trusted-proxy", "127.0.0.0/8"]].concat());
    let _a = stream(&trusting, &of("203.0.113.1"));
    let _b = stream(&trusting, &of("203.0.113.2"));
    is_turned_away(&trusting, &of("203.0.113.1"));
    is_turned_away(&trusting, &of("198.51.100.9, 203.0.113.2"));
    assert!(limits(&trusting)["warning"].is_null());

    let gateway = Gateway::start(&args);
    let _c = stream(&gateway, &of("203.0.113.1"));
    gateway.logged("sends x-forwarded-for and no proxy is trusted");
    let _d = stream(&gateway, &of("203.0.113.1"));
    let told = limits(&gateway)["warning"].as_str().unwrap().to_owned();
    assert!(told.contains("[proxies] trusted = [\"127.0.0.1\"]"), "{told}");
}

#[test]
fn connections_of_one_address_are_bounded_and_slow_heads_given_up() {
    let file = File::new(
        "limits-connections.toml",
        "[server]\nhead_timeout = '1s'\nadmin_listen = '127.0.0.1:0'\n[limits]\nconnections_per_address = 1\n\
         [channels.demo]\nsource = 'memory:'\n",
    );
    for server in ["direct", "hyper"] {
        let gateway = Gateway::start(&["--server", server, "--config", file.path()]);
        let _stream = stream(&gateway, &[]);
        is_turned_away(&gateway, &[]);
        let (answer, _) = request(&gateway.address, "POST /channels/demo", &[], b"x");
        assert_eq!(answer.status, 503, "{server}");
        drop(_stream);

        let until = Instant::now() + PATIENCE;
        while request(&gateway.address, "POST /channels/demo", &[], b"x").0.status != 202 {
            assert!(Instant::now() < until, "{server}: its place is not free again");
        }
        // One that says nothing is closed.
        let mut silent = TcpStream::connect(&gateway.address).unwrap();
        silent.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        silent.read_to_end(&mut rest).unwrap();
    }
}

#[test]
fn a_reload_changes_limits_and_what_is_open_stays_counted() {
    let config = |streams: &str, publish: &str| {
        format!(
            "[limits]\nstreams_per_address = {streams}\npublish = '{publish}'\n[channels.demo]\nsource = 'memory:'\n"
        )
    };
    let file = File::new("limits-reload.toml", &config("1", "1/h"));
    let gateway = Gateway::start(&["--config", file.path()]);
    let publish = || request(&gateway.address, "POST /channels/demo", &[], b"x").0.status;
    let mut first = stream(&gateway, &[]);
    is_turned_away(&gateway, &[]);
    assert_eq!((publish(), publish()), (202, 429));
    assert!(first.until("\n\n").starts_with("data: x\n"));

    file.write(&config("2", "2/h"));
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: changed: limits.streams_per_address, limits.publish\n");
    let _second = stream(&gateway, &[]);
    is_turned_away(&gateway, &[]);
    assert_eq!((publish(), publish(), publish()), (202, 202, 429));
    // It is still the same stream.
    assert!(first.until("\n\n").starts_with("data: x\n"));

    file.write(&config("1", "2/h"));
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: changed: limits.streams_per_address\n");
    is_turned_away(&gateway, &[]);
    assert_eq!(publish(), 429, "a rate that stays goes on");
    let told = limits(&gateway);
    assert_eq!(
        (&told["streams"]["open"], &told["streams"]["refused_by_address"]),
        (&2.into(), &3.into()),
        "{told}"
    );
}
