//! `serve` through every web server that is built in: routes, publishing, resume, drain.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{
    client::{Answer, request},
    gateway::{Gateway, PATIENCE, servers},
};

#[test]
fn every_server_answers_the_same_routes() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server]);
        for (head, status, part) in [
            ("GET /", 200, "<title>Tidewater</title>"),
            ("GET /?x=1", 200, "<title>Tidewater</title>"),
            ("GET /channels", 200, "\"name\":\"demo\""),
            ("GET /channels", 200, "\"log\":{\"bytes\":0,\"events\":0}"),
            ("GET /health/live", 200, "live"),
            ("GET /health/ready", 200, "\"status\":\"ready\""),
            ("GET /channels/nope", 404, "there is no channel \\\"nope\\\" (there are: demo)"),
            ("POST /channels/nope", 404, "there are: demo"),
            ("GET /nothing", 404, "/channels/NAME: demo"),
            ("GET /channels/demo/more", 404, "there are: demo"),
            ("POST /", 405, "GET, HEAD"),
            ("DELETE /health/ready", 405, "GET, HEAD"),
            ("PUT /channels/demo", 405, "GET, HEAD, POST, OPTIONS"),
            ("TRACE /channels/demo", 405, "GET, HEAD, POST, OPTIONS"),
            ("GET /channels/demo?since=never", 400, "RFC 3339"),
        ] {
            let (answer, text) = request(&gateway.address, head, &[], b"");
            assert_eq!(answer.status, status, "{server}: {head}: {text}");
            assert!(text.contains(part), "{server}: {head}: {part:?} is not in {text}");
        }
        let (page, _) = request(&gateway.address, "HEAD /", &[], b"");
        assert_eq!(page.status, 200, "{server}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{server}: {policy}");
        let (cursor, _) = request(&gateway.address, "HEAD /channels/demo", &[], b"");
        assert!(cursor.status == 200 && cursor.header("tidewater-cursor").is_some(), "{server}: {cursor:?}");
        let (options, _) = request(&gateway.address, "OPTIONS /channels/demo", &[], b"");
        assert_eq!(
            (options.status, options.header("allow")),
            (204, Some("GET, HEAD, POST, OPTIONS")),
            "{server}"
        );
    }
}

#[test]
fn every_server_has_the_browser_helpers() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server, "--cors-origin", "https://app.example"]);
        let origin = ("origin", "https://app.example");
        let (answer, text) = request(&gateway.address, "GET /tidewater.js", &[origin], b"");
        assert!(answer.status == 200 && text.contains("export function source("), "{server}: {answer:?}");
        for (name, value) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
            ("access-control-allow-origin", "https://app.example"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{server}");
        }
        let tag = answer.header("etag").unwrap();
        let (shared, text) = request(&gateway.address, "GET /tidewater-shared.js", &[], b"");
        assert!(shared.status == 200 && text.contains("from \"./tidewater.js\""), "{server}: {shared:?}");
        assert_ne!(shared.header("etag"), Some(tag), "{server}");
        for known in [tag, "*", &format!("\"other\", W/{tag}")] {
            let headers = [("if-none-match", known), origin];
            let (answer, text) = request(&gateway.address, "GET /tidewater.js", &headers, b"");
            assert_eq!(
                (answer.status, &*text, answer.header("etag")),
                (304, "", Some(tag)),
                "{server}: {known}"
            );
        }
        let (answer, text) =
            request(&gateway.address, "GET /tidewater.js", &[("if-none-match", "\"other\"")], b"");
        assert!(answer.status == 200 && !text.is_empty(), "{server}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{server}");
        let (answer, _) = request(&gateway.address, "HEAD /tidewater.js", &[], b"");
        assert_eq!((answer.status, answer.header("etag")), (200, Some(tag)), "{server}");
        let (answer, _) = request(&gateway.address, "POST /tidewater.js", &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{server}");
    }
}

#[test]
fn what_is_published_is_streamed_and_resumed() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server]);
        let mut stream = Answer::open(&gateway.address, "GET /channels/demo", &[], b"");
        assert_eq!(
            (stream.head.status, stream.head.header("content-type")),
            (200, Some("text/event-stream"))
        );
        let first = stream.until("\n\n");
        assert!(first.starts_with("retry: 2000\nevent: tidewater.cursor\ndata:\nid: "), "{server}: {first}");
        let (answer, text) =
            request(&gateway.address, "POST /channels/demo?event=greeting&key=k", &[], b"hello\nyou");
        let published: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((answer.status, &published["offset"]), (202, &json!(0)), "{server}: {text}");
        let id = published["id"].as_str().unwrap();
        let event = format!("event: greeting\ndata: hello\ndata: you\nid: {id}\n\n");
        assert_eq!(stream.until("\n\n"), event, "{server}");

        request(&gateway.address, "POST /channels/demo", &[], b"later");
        assert!(stream.until("\n\n").starts_with("data: later\n"), "{server}");
        let mut resumed = Answer::open(&gateway.address, "GET /channels/demo", &[("last-event-id", id)], b"");
        assert!(resumed.until("\n\n").ends_with(&format!("id: {id}\n\n")), "{server}: the start is its own");
        assert!(resumed.until("\n\n").starts_with("data: later\n"), "{server}");
    }
}

#[test]
fn posts_are_refused_by_origin_and_size() {
    for server in servers() {
        let gateway =
            Gateway::start(&["--server", server, "--cors-origin", "https://app.example", "--max-body", "10"]);
        let own = format!("http://{}", gateway.address);
        for (origin, body, status) in [
            ("https://evil.example", "x", 403),
            ("null", "x", 403),
            ("https://app.example", "x", 202),
            (own.as_str(), "x", 202),
            (own.as_str(), "01234567890", 413),
        ] {
            let headers = [("origin", origin)];
            let (answer, text) = request(&gateway.address, "POST /channels/demo", &headers, body.as_bytes());
            assert_eq!(answer.status, status, "{server}: {origin} {body}: {text}");
            let allowed = (origin == "https://app.example").then_some(origin);
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{server}: {origin}");
        }
        let big = vec![b'x'; 3 << 20];
        let (answer, _) = request(&gateway.address, "POST /channels/demo", &[], &big);
        assert_eq!(answer.status, 413, "{server}");
        let headers = [("origin", "https://app.example")];
        let (listing, _) = request(&gateway.address, "GET /channels", &headers, b"");
        assert_eq!(listing.header("access-control-allow-origin"), Some("https://app.example"), "{server}");
    }
}

#[test]
fn channels_have_their_own_logs() {
    let gateway =
        Gateway::start(&["--channel", "a=memory:", "--channel", "b=memory:", "--channel", "c=memory:a"]);
    request(&gateway.address, "POST /channels/a", &[], b"in a");
    for (name, expected) in [("a", true), ("b", false), ("c", true)] {
        request(&gateway.address, &format!("POST /channels/{name}"), &[], b"last");
        let mut stream =
            Answer::open(&gateway.address, &format!("GET /channels/{name}?since=earliest"), &[], b"");
        let text = stream.until("data: last\n");
        assert_eq!(text.contains("data: in a\n"), expected, "{name}: {text}");
    }
}

/// I9.
#[test]
fn a_signal_drains_and_ends_it() {
    for server in servers() {
        for signal in [Signal::TERM, Signal::INT] {
            let gateway = Gateway::start(&["--server", server]);
            let mut streams: Vec<Answer> =
                (0..5).map(|_| Answer::open(&gateway.address, "GET /channels/demo", &[], b"")).collect();
            for stream in &mut streams {
                stream.until("\n\n");
            }
            gateway.signal(signal);
            for stream in &mut streams {
                let last = stream.rest();
                let retry: u64 = last.strip_prefix("retry: ").unwrap().trim_end().parse().unwrap();
                assert!(retry >= 500 && last.ends_with("\n\n"), "{server}: {last:?}");
            }
            let (code, stderr) = gateway.end();
            assert_eq!(code, Some(0), "{server}: {signal:?}: {stderr}");
        }
    }
}

/// What collects the logs may end first. Nothing that logs may fail by it: neither serving nor the end.
#[test]
fn it_serves_and_ends_when_nobody_takes_its_logs() {
    for server in servers() {
        let gateway = Gateway::start_unread(&["--server", server, "--log", "trace"]);
        let (answer, text) = request(&gateway.address, "POST /channels/demo", &[], b"hello");
        assert_eq!(answer.status, 202, "{server}: {text}");
        let mut stream = Answer::open(&gateway.address, "GET /channels/demo?since=earliest", &[], b"");
        assert!(stream.until("hello\n").contains("data: hello\n"), "{server}");
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.end().0, Some(0), "{server}");
    }
}

/// I9, I10: while one client doesn't read, those that come are told when to come back, and no load balancer sends more.
#[test]
fn while_it_drains_it_is_not_ready_and_sends_clients_away() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server, "--drain-timeout", "3s", "--max-body", "9000000"]);
        let mut stuck = Answer::open_narrow(&gateway.address, "GET /channels/demo");
        stuck.until("\n\n");
        // More than the sockets' buffers take.
        let (answer, text) = request(&gateway.address, "POST /channels/demo", &[], &vec![b'x'; 8 << 20]);
        assert_eq!(answer.status, 202, "{text}");
        stuck.begun();
        gateway.signal(Signal::TERM);
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let (ready, text) = request(&gateway.address, "GET /health/ready", &[], b"");
            if ready.status == 503 {
                assert!(text.contains("\"status\":\"draining\""), "{server}: {text}");
                break;
            }
            assert!(std::time::Instant::now() < until, "{server}: {text}");
        }
        let (live, _) = request(&gateway.address, "GET /health/live", &[], b"");
        assert_eq!(live.status, 200, "{server}");
        let (answer, text) = request(&gateway.address, "GET /channels/demo", &[], b"");
        assert!(answer.status == 200 && text.starts_with("retry: "), "{server}: {text}");
        let (code, stderr) = gateway.end();
        assert_eq!(code, Some(0), "{server}: {stderr}");
        assert!(stderr.contains("did not end in time"), "{server}: {stderr}");
    }
}
