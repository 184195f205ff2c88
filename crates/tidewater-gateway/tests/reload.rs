//! SIGHUP, through the real binary: what changes, what stays, and what is said of it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fs;

#[cfg(target_os = "linux")]
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use support::{
    client::{Answer, request},
    file::File,
    gateway::{Gateway, servers},
};

const BEFORE: &str = "[channels.a]\nsource = 'memory:'\npublish = false\n[channels.b]\nsource = 'memory:'\n";

#[test]
fn an_open_stream_goes_on_while_channels_come_and_go_and_settings_change() {
    for server in servers() {
        let file = File::new(&format!("reload-{server}.toml"), BEFORE);
        let gateway = Gateway::start(&["--server", server, "--config", file.path()]);
        let status =
            |head: &str| request(&gateway.address, head, &[("origin", "https://app.example")], b"later");
        let mut stream = Answer::open(&gateway.address, "GET /channels/a", &[], b"");
        stream.until("\n\n");
        let mut ending = Answer::open(&gateway.address, "GET /channels/b", &[], b"");
        ending.until("\n\n");
        assert_eq!(status("POST /channels/a").0.status, 403, "{server}: another origin");
        assert_eq!(
            request(&gateway.address, "POST /channels/a", &[], b"x").0.status,
            403,
            "{server}: publishing is off"
        );
        assert_eq!(request(&gateway.address, "GET /channels/c", &[], b"").0.status, 404, "{server}");

        file.write(
            "[server]\nconsole = false\n[cors]\norigins = ['https://app.example']\n[channels.a]\nsource = 'memory:'\n\
             publish = true\nselect = ['topic']\n[channels.c]\nsource = 'memory:'\n",
        );
        gateway.signal(Signal::HUP);
        let told = gateway.logged(
            "reloaded: channels added: c; channels removed: b; changed: server.console, cors.origins, \
             channels.a.publish, channels.a.select, channels.a.cors.origins\n",
        );
        assert!(!told.contains("ERROR"), "{server}: {told}");

        let (answer, text) = status("POST /channels/a");
        assert_eq!(answer.status, 202, "{server}: {text}");
        assert!(stream.until("\n\n").starts_with("data: later\n"), "{server}");
        // I9, I10: its streams end as at a drain, with a time to come back; then there is nothing.
        let last = ending.rest();
        assert!(last.starts_with("retry: ") && last.ends_with("\n\n"), "{server}: {last}");
        assert_eq!(status("GET /channels/b").0.status, 404, "{server}");
        assert_eq!(status("POST /channels/c").0.status, 202, "{server}");
        assert_eq!(status("GET /").0.status, 404, "{server}");
        assert_eq!(status("GET /channels/a?key=x").0.status, 400, "{server}");
        let (_, listing) = status("GET /channels");
        assert!(
            listing.contains("\"name\":\"c\"") && !listing.contains("\"name\":\"b\""),
            "{server}: {listing}"
        );

        // A new channel's clients are drained like all others.
        let mut new = Answer::open(&gateway.address, "GET /channels/c", &[], b"");
        new.until("\n\n");
        gateway.signal(Signal::TERM);
        assert!(new.rest().starts_with("retry: ") && stream.rest().starts_with("retry: "), "{server}");
        assert_eq!(gateway.end().0, Some(0), "{server}");
    }
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_says_what_is_wrong() {
    let file = File::new("reload-wrong.toml", BEFORE);
    let gateway = Gateway::start(&["--config", file.path()]);
    let mut stream = Answer::open(&gateway.address, "GET /channels/b", &[], b"");
    stream.until("\n\n");
    for (text, told) in [
        ("[channels.c]\nsource = 'memory:'\nlisten = 5\n", ":3:1: channels.c.listen: there is no such key"),
        ("[channels.a\n", ":1:12: this is not TOML"),
        ("[channels.a]\nsource = 'memory:x?hunter2'\n", ":2:10: channels.a.source: "),
    ] {
        file.write(text);
        gateway.signal(Signal::HUP);
        let log = gateway.logged("not reloaded: everything is as it was");
        assert!(log.contains(&format!("{}{told}", file.path())) && !log.contains("hunter2"), "{log}");
        let (_, listing) = request(&gateway.address, "GET /channels", &[], b"");
        assert!(listing.contains("\"name\":\"b\"") && !listing.contains("\"name\":\"c\""), "{listing}");
    }
    fs::remove_file(&file.0).unwrap();
    gateway.signal(Signal::HUP);
    gateway.logged(":1:1: the file can't be read");
    gateway.logged("not reloaded");
    request(&gateway.address, "POST /channels/b", &[], b"still");
    assert!(stream.until("\n\n").starts_with("data: still\n"));
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let file = File::new("reload-restart.toml", BEFORE);
    let gateway = Gateway::start(&["--config", file.path()]);
    file.write(
        "[server]\nserver = 'hyper'\ndrain_timeout = '1s'\n[channels.a]\nsource = ['memory:a', 'memory:b']\npublish = false\n\
         log.age = '1m'\n[channels.b]\nsource = 'memory:'\nretry = '9s'\n",
    );
    gateway.signal(Signal::HUP);
    let told = gateway.logged("channels.b.retry\n");
    assert!(
        told.ends_with(
            "reloaded: changed: server.drain_timeout; a restart is needed for: server.server, channels.a.source, \
             channels.a.log, channels.b.retry\n"
        ),
        "{told}"
    );
    let mut stream = Answer::open(&gateway.address, "GET /channels/b", &[], b"");
    assert!(stream.until("\n\n").starts_with("retry: 2000\n"));
    // What is told once is told again: it is still not in force.
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: a restart is needed for: server.server, channels.a.source");
    file.write(BEFORE);
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: changed: server.drain_timeout\n");
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: nothing has changed\n");
}

/// Nobody writes to a pipe a second time, and a signal after that must count.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_once() {
    let file = File(std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("reload-pipe.toml"));
    fs::remove_file(&file.0).ok();
    mkfifoat(CWD, &file.0, Mode::RUSR | Mode::WUSR).unwrap();
    let writer = std::thread::spawn({
        let path = file.0.clone();
        move || fs::write(path, BEFORE).unwrap()
    });
    let gateway = Gateway::start(&["--config", file.path()]);
    writer.join().unwrap();
    gateway.signal(Signal::HUP);
    gateway.logged("it is no regular file, and can't be read twice");
    fs::remove_file(&file.0).unwrap();
    file.write(&format!("{BEFORE}[channels.c]\nsource = 'memory:'\n"));
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: channels added: c");
    let (_, listing) = request(&gateway.address, "GET /channels", &[], b"");
    assert!(listing.contains("\"name\":\"c\""), "{listing}");
}
