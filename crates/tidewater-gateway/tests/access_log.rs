//! The access log, through the real binary and every web server.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use rustix::process::Signal;
#[cfg(feature = "authorization")]
use serde_json::{Value, json};
#[cfg(feature = "authorization")]
use support::token;
use support::{
    client::{Answer, request},
    end,
    file::File,
    gateway::{Gateway, servers},
    text, tidewater,
};

/// A line of JSON, without what differs from run to run.
#[cfg(feature = "authorization")]
fn line(gateway: &Gateway, secrets: &[&str]) -> Value {
    let text = gateway.stdout.next();
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let mut line: Value = serde_json::from_str(&text).unwrap();
    let fields = line.as_object_mut().unwrap();
    let time = fields.remove("time").unwrap();
    assert!(humantime::parse_rfc3339(time.as_str().unwrap()).is_ok(), "{text}");
    assert!(fields.remove("seconds").unwrap().as_f64().unwrap() < 600.0, "{text}");
    for varies in ["bytes", "cursor"] {
        assert_eq!(fields.remove(varies).is_some(), fields.contains_key("ended"), "{text}");
    }
    line
}

/// The same request is the same line, whoever answers it, and no secret of it is in there.
#[cfg(feature = "authorization")]
#[test]
fn every_server_writes_the_same_lines_and_no_secret() {
    let secret = format!("{:064}", std::process::id());
    let file = File::new(
        "access-log.toml",
        &format!(
            "[server]\naccess_log = 'json'\n[proxies]\ntrusted = '127.0.0.1'\n[authorization.jwt]\nsecret = '{secret}'\n\
             audience = 'tidewater'\ncookie = 'session'\nquery = 'ticket'\n[[authorization.rules]]\nchannels = 'orders'\n\
             require = {{ sub = 'ada' }}\npublish = true\n[channels.orders]\nsource = 'memory:'\npublish = true\n"
        ),
    );
    let token = token(&secret, "ada");
    let signature = token.rsplit('.').next().unwrap();
    let secrets = [secret.as_str(), token.as_str(), signature, "the-payload", "another-cookie", "bad-token"];
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for server in servers() {
        let gateway = Gateway::start(&["--server", server, "--config", file.path()]);
        let headers = [
            ("x-forwarded-for", "203.0.113.9"),
            ("user-agent", "Mozilla/5.0 \" status=500"),
            ("cookie", "a=another-cookie"),
            ("traceparent", trace),
            ("x-request-id", "r-1"),
        ];
        let asks = format!(
            "GET /channels/orders?ticket={token}&{signature}&topic=orders&other={signature}&last_event_id=a%0Ab"
        );
        let mut stream = Answer::open(&gateway.address, &asks, &headers, b"");
        assert_eq!(stream.head.status, 200, "{server}");
        let mut opened = json!({
            "what": "answered", "request": 1, "client": "203.0.113.9", "subject": "ada", "method": "GET",
            "path": "/channels/orders", "query": "topic=orders", "http": "1.1", "status": 200, "channel": "orders",
            "last_event_id": "a\nb", "start": "gap", "agent": "Mozilla/5.0 \" status=500", "request_id": "r-1",
            "traceparent": trace,
        });
        assert_eq!(line(&gateway, &secrets), opened, "{server}");
        stream.until("event: tidewater.cursor");

        let bearer = format!("Bearer {token}");
        let posted = |authorization: &str| {
            let headers = [("authorization", authorization), ("user-agent", "curl/8")];
            request(&gateway.address, "POST /channels/orders?key=k", &headers, b"the-payload").0.status
        };
        assert_eq!((posted(&bearer), posted("Bearer bad-token")), (202, 401), "{server}");
        let mut published = json!({
            "what": "answered", "request": 2, "client": "127.0.0.1", "subject": "ada", "method": "POST",
            "path": "/channels/orders", "query": "key=k", "http": "1.1", "status": 202, "channel": "orders",
            "agent": "curl/8",
        });
        assert_eq!(line(&gateway, &secrets), published, "{server}");
        let refused = published.as_object_mut().unwrap();
        refused.remove("subject");
        refused.extend([("request".to_owned(), json!(3)), ("status".to_owned(), json!(401))]);
        assert_eq!(line(&gateway, &secrets), published, "{server}");

        stream.until("data: the-payload\n");
        gateway.signal(Signal::TERM);
        stream.rest();
        let ended = opened.as_object_mut().unwrap();
        let end = [("what", json!("ended")), ("ended", json!("drained")), ("events", json!(1))];
        ended.extend(end.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(line(&gateway, &secrets), opened, "{server}");
        assert_eq!(gateway.end().0, Some(0), "{server}");
    }
}

#[test]
fn a_client_that_leaves_is_told_in_words() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server, "--access-log", "text"]);
        let mut stream = Answer::open(&gateway.address, "GET /channels/demo", &[], b"");
        stream.until("\n\n");
        let opened = gateway.stdout.next();
        assert!(opened.starts_with("time=") && opened.contains(" what=answered "), "{server}: {opened}");
        assert!(opened.contains(" status=200 channel=demo start=latest seconds="), "{server}: {opened}");
        drop(stream);
        // Some notice it when they have something to write.
        let ended = loop {
            request(&gateway.address, "POST /channels/demo", &[], b"x");
            let line = gateway.stdout.next();
            if line.contains(" what=ended ") {
                break line;
            }
        };
        assert!(ended.contains(" request=1 ") && ended.contains(" ended=left "), "{server}: {ended}");
    }
}

#[test]
fn a_reload_turns_it_on_and_off() {
    let config =
        |format: &str| format!("[server]\naccess_log = '{format}'\n[channels.demo]\nsource = 'memory:'\n");
    let file = File::new("access-log-reload.toml", &config("off"));
    let gateway = Gateway::start(&["--config", file.path()]);
    let publish = || assert_eq!(request(&gateway.address, "POST /channels/demo", &[], b"x").0.status, 202);
    publish();
    for (format, begins) in [("text", Some("time=")), ("off", None), ("json", Some("{\"time\":"))] {
        file.write(&config(format));
        gateway.signal(Signal::HUP);
        gateway.logged("reloaded: changed: server.access_log\n");
        publish();
        // While it is off nothing is written: the next line is the next format's.
        if let Some(begins) = begins {
            let line = gateway.stdout.next();
            assert!(line.starts_with(begins) && line.contains("POST"), "{line}");
        }
    }
}

/// A gateway whose standard output is read by nobody from its first line on.
fn unread() -> (Child, String, BufReader<ChildStdout>) {
    let mut child = tidewater()
        .args(["serve", "--listen", "127.0.0.1:0", "--access-log", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("Serving on http://").unwrap().trim_end_matches('/').to_owned();
    (child, address, stdout)
}

/// Asks until more is written than a pipe holds.
fn ask_often(address: &str) {
    let agent = "x".repeat(200);
    for _ in 0..400 {
        assert_eq!(request(address, "HEAD /channels/demo", &[("user-agent", &agent)], b"").0.status, 200);
    }
}

#[test]
fn it_answers_and_ends_when_nobody_reads_the_log() {
    for is_open in [true, false] {
        let (mut child, address, stdout) = unread();
        let stderr = text(child.stderr.take().unwrap());
        let stdout = is_open.then_some(stdout);
        ask_often(&address);
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(end(&mut child), Some(0));
        drop(stdout);
        let stderr = stderr.join().unwrap();
        let is_told = stderr.contains("the access log ends: nobody takes it any more");
        assert_eq!(is_told, !is_open, "{stderr}");
    }
}
