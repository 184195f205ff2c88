//! The console, as the real binary answers it: the page's files, and the feed that it follows.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::{
    client::{Answer, request},
    file::File,
    gateway::{Gateway, servers},
};

#[test]
fn every_server_has_the_page_s_files() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server]);
        for (path, content_type, part) in [
            ("/", "text/html; charset=utf-8", "src=\"console/main.js\""),
            ("/console/style.css", "text/css; charset=utf-8", "light-dark("),
            ("/console/main.js", "text/javascript; charset=utf-8", "import "),
            ("/console/icon.svg", "image/svg+xml", "<svg"),
        ] {
            let (answer, text) = request(&gateway.address, &format!("GET {path}"), &[], b"");
            assert_eq!(answer.status, 200, "{server}: {path}");
            assert_eq!(answer.header("content-type"), Some(content_type), "{server}: {path}");
            assert!(text.contains(part), "{server}: {path}");
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'")
                    && !policy.contains("unsafe"),
                "{server}: {policy}"
            );
            let tag = answer.header("etag").unwrap();
            let (answer, text) =
                request(&gateway.address, &format!("GET {path}"), &[("if-none-match", tag)], b"");
            assert_eq!((answer.status, text.as_str()), (304, ""), "{server}: {path}");
        }
        for (head, status) in
            [("GET /console", 404), ("GET /console/nothing.js", 404), ("POST /console/main.js", 405)]
        {
            assert_eq!(request(&gateway.address, head, &[], b"").0.status, status, "{server}: {head}");
        }
    }
}

#[test]
fn the_feed_tells_all_of_each_channel_and_goes_with_the_configuration() {
    for server in servers() {
        let file = File::new(
            &format!("console-{server}.toml"),
            "[channels.a]\nsource = 'memory:'\n[channels.b]\nsource = 'memory:'\n",
        );
        let gateway = Gateway::start(&["--server", server, "--config", file.path()]);
        let mut feed = Feed::open(&gateway);
        assert_eq!(feed.next()["name"], "a", "{server}");
        let b = feed.next();
        assert_eq!((&b["name"], &b["source"]), (&"b".into(), &"memory:b".into()), "{server}");
        assert!(
            b["at"].as_u64() > Some(0) && b["publish"] == true && b["upstream"].is_string(),
            "{server}: {b}"
        );
        // It is counted nowhere, and listed nowhere.
        let mut stream = Answer::open(&gateway.address, "GET /channels/b", &[], b"");
        stream.until("\n\n");
        request(&gateway.address, "POST /channels/b", &[], b"x");
        feed.until(|told| told["name"] == "b" && told["clients"] == 1 && told["log"]["events"] == 1);
        feed.until(|told| told["in"]["events"] == 1 && told["out"]["events"] == 1 && told["name"] == "b");
        feed.until(|told| told["name"] == "a" && told["clients"] == 0);
        for path in ["/channels", "/health/ready"] {
            let (_, text) = request(&gateway.address, &format!("GET {path}"), &[], b"");
            assert!(!text.contains("console"), "{server}: {text}");
        }

        file.write("[channels.b]\nsource = 'memory:'\n[channels.c]\nsource = 'memory:'\n");
        gateway.signal(Signal::HUP);
        feed.stream.until("event: tidewater.tombstone\ndata: a\n");
        feed.until(|told| told["name"] == "c");

        // It is for nobody any more, whoever follows it.
        file.write("[server]\nconsole = false\n[channels.b]\nsource = 'memory:'\n");
        gateway.signal(Signal::HUP);
        gateway.logged("changed: server.console");
        let last = feed.stream.rest();
        assert!(last.ends_with("\n\n") && last.contains("retry: "), "{server}: {last:?}");
        for path in ["/", "/console/main.js", "/console/status"] {
            let (answer, _) = request(&gateway.address, &format!("GET {path}"), &[], b"");
            assert_eq!(answer.status, 404, "{server}: {path}");
        }
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.end().0, Some(0), "{server}");
    }
}

#[test]
fn i9_the_feed_drains_with_the_channels() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server]);
        let mut feed = Feed::open(&gateway);
        feed.next();
        gateway.signal(Signal::TERM);
        let last = feed.stream.rest();
        assert!(last.ends_with("\n\n") && last.contains("retry: "), "{server}: {last:?}");
        assert_eq!(gateway.end().0, Some(0), "{server}");
    }
}

/// Who could see all, when all could, does not go on seeing it.
#[cfg(feature = "authorization")]
#[test]
fn who_sees_all_is_asked_anew_when_authorization_comes() {
    let file = File::new("console-closes.toml", "[channels.a]\nsource = 'memory:'\n");
    let gateway = Gateway::start(&["--config", file.path()]);
    let mut feed = Feed::open(&gateway);
    assert_eq!(feed.next()["source"], "memory:a");
    file.write(&format!(
        "[authorization.jwt]\nsecret = '{:064}'\naudience = 'tidewater'\n[channels.a]\nsource = 'memory:'\n\
         public = true\n[channels.secrets]\nsource = 'memory:'\n[[authorization.rules]]\nchannels = 'secrets'\n\
         require = {{ sub = 'ada' }}\n",
        std::process::id()
    ));
    gateway.signal(Signal::HUP);
    gateway.logged("channels added: secrets");
    let last = feed.stream.rest();
    assert!(last.contains("retry: ") && !last.contains("secrets"), "{last:?}");
    let mut feed = Feed::open(&gateway);
    let told = feed.next();
    assert!(told["name"] == "a" && told.get("source").is_none(), "{told}");
}

/// A viewer's page comes back with the id that it has, like any client.
#[test]
fn the_feed_goes_on_behind_an_id() {
    let gateway = Gateway::start(&["--channel", "a=memory:"]);
    let mut feed = Feed::open(&gateway);
    feed.next();
    let id = feed.stream.until("\n\n");
    let id = id.trim().strip_prefix("id: ").unwrap();
    drop(feed);
    let headers = [("last-event-id", id)];
    let mut stream = Answer::open(&gateway.address, "GET /console/status", &headers, b"");
    let seen = stream.until("data: {");
    assert!(!seen.contains("tidewater.gap"), "{seen}");
}

struct Feed {
    stream: Answer,
}

impl Feed {
    fn open(gateway: &Gateway) -> Self {
        let stream = Answer::open(&gateway.address, "GET /console/status", &[], b"");
        assert_eq!(
            (stream.head.status, stream.head.header("content-type")),
            (200, Some("text/event-stream"))
        );
        Self { stream }
    }

    /// What it tells next of a channel.
    fn next(&mut self) -> Value {
        self.stream.until("data: {");
        serde_json::from_str(&format!("{{{}", self.stream.until("\n"))).unwrap()
    }

    fn until(&mut self, is: impl Fn(&Value) -> bool) {
        while !is(&self.next()) {}
    }
}
