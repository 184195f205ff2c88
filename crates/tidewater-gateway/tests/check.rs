//! `check`, and `serve` with a file, through the real binary.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{client::request, file::File, gateway::Gateway, run, with_variables};

/// A file of this name and text, in a directory of the tests.
fn file(name: &str, text: &str) -> String {
    File::new(name, text).path().to_owned()
}

#[test]
fn everything_that_is_wrong_is_a_line_and_exit_code_2() {
    let path =
        file("wrong.toml", "[server]\nlisen = 'x'\n[channels.a]\nsource = 'memory:'\nreplay = 'soon'\n");
    let args = ["check", "--config", &path, "--drain-timeout", "never"];
    let done = with_variables(&args, &[("TIDEWATER_SERVER__CONSOLE", "yes")]).exits(2);
    let lines: Vec<_> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{}", done.stderr);
    let told = done.says(&[
        &format!("{path}:2:1: server.lisen: there is no such key; did you mean \"listen\"?\n"),
        &format!("{path}:5:10: channels.a.replay: \"soon\": it is no limit"),
        "TIDEWATER_SERVER__CONSOLE: \"yes\": it is neither true nor false\n",
        "--drain-timeout never: \"never\": it is not a duration",
    ]);
    assert!(told.stdout.is_empty(), "{}", told.stdout);
    // And serve starts nothing with it.
    assert_eq!(with_variables(&["serve", "--config", &path], &[]).exits(2).stderr.lines().count(), 2);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    run(&["check", "--config", "/no/such/file.toml"], b"")
        .exits(2)
        .says(&["/no/such/file.toml:1:1: the file can't be read"]);
}

#[test]
fn what_is_right_is_shown_with_its_place_and_without_its_secrets() {
    let path = file(
        "right.toml",
        "[channels.a]\nsource = 'memory:me:hunter2@x?events=5'\nevent = 'header:${SECRET}'\nlinger = '5ms'\n",
    );
    let variables =
        [("SECRET", "hunter2"), ("TIDEWATER_SERVER__CONSOLE", "false"), ("TIDEWATER_CONFIG", path.as_str())];
    with_variables(&["check"], &variables)
        .exits(0)
        .stdout
        .contains("right (channels: a)")
        .then_some(())
        .unwrap();
    let shown = with_variables(&["check", "--show", "--listen", "localhost:0"], &variables).exits(0);
    for part in [
        "listen = \"localhost:0\"                          # --listen localhost:0\n",
        "console = false                                 # TIDEWATER_SERVER__CONSOLE\n",
        &format!("linger = \"5ms\"                                  # {path}:4:10\n"),
        "heartbeat = \"15s\"                               # default\n",
        "event = \"header:${SECRET}\" ",
    ] {
        assert!(shown.stdout.contains(part), "{part:?} is not in\n{}", shown.stdout);
    }
    assert!(!shown.stdout.contains("hunter2"), "{}", shown.stdout);
    let asked = with_variables(&["check", "--connect"], &variables).exits(0);
    assert!(asked.stdout.contains("a: ") && asked.stdout.contains("(1 partition)"), "{}", asked.stdout);
}

#[cfg(feature = "nats")]
#[test]
fn a_broker_that_does_not_answer_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("a=nats://me:hunter2@{free}/s");
    let done = run(&["check", "--connect", "--channel", &url], b"")
        .exits(1)
        .says(&["error: a: ", &free.to_string()]);
    assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
}

#[test]
fn a_channel_of_several_sources_has_what_comes_from_all() {
    let path = file(
        "several.toml",
        "[channels.a]\nsource = 'memory:'\n[channels.b]\nsource = 'memory:'\n[channels.both]\nsource = ['memory:a', 'memory:b']\n",
    );
    let gateway = Gateway::start(&["--config", &path]);
    for (name, status) in [("a", 202), ("b", 202), ("both", 403)] {
        let (answer, text) =
            request(&gateway.address, &format!("POST /channels/{name}"), &[], name.as_bytes());
        assert_eq!(answer.status, status, "{text}");
    }
    let mut stream =
        support::client::Answer::open(&gateway.address, "GET /channels/both?since=earliest", &[], b"");
    let mut seen: Vec<_> = (0..2).map(|_| stream.until("\ndata: ") + &stream.until("\n")).collect();
    seen.sort();
    let (listing, text) = request(&gateway.address, "GET /channels", &[], b"");
    assert!(listing.status == 200 && text.contains("\"source\":\"memory:a + memory:b\""), "{text}");
}

#[test]
fn it_serves_what_the_file_says() {
    let path = file(
        "serve.toml",
        "[server]\nconsole = false\n[cors]\norigins = ['https://app.example']\n[limits]\nmax_body = 4\n[channels.a]\n\
         source = 'memory:'\nretry = '7s'\nevent = 'topic'\nselect = ['topic']\n[channels.b]\nsource = 'memory:'\npublish = false\n\
         limits.max_body = 9\ncors.origins = []\n",
    );
    let gateway = Gateway::start(&["--config", &path]);
    for (head, body, status, part) in [
        ("GET /", "", 404, "there is nothing at /"),
        ("POST /channels/a", "1234", 202, ""),
        ("POST /channels/a", "12345", 413, ""),
        ("POST /channels/b", "1", 403, "publishing"),
        ("POST /channels/a?event=x", "1", 400, "have their names from elsewhere (topic)"),
        ("GET /channels/a?key=x", "", 400, "?key=: nobody can select by that here (there is: ?topic=)"),
    ] {
        let (answer, text) = request(&gateway.address, head, &[], body.as_bytes());
        assert_eq!(answer.status, status, "{head}: {text}");
        assert!(text.contains(part), "{head}: {text}");
    }
    for (path, allowed) in [("HEAD /channels/a", true), ("HEAD /channels/b", false)] {
        let (answer, _) = request(&gateway.address, path, &[("origin", "https://app.example")], b"");
        assert_eq!(answer.header("access-control-allow-origin").is_some(), allowed, "{path}");
    }
    let mut stream = support::client::Answer::open(&gateway.address, "GET /channels/a", &[], b"");
    assert!(stream.until("\n\n").starts_with("retry: 7000\n"));
    request(&gateway.address, "POST /channels/a", &[], b"new");
    assert!(stream.until("\n\n").starts_with("event: a\ndata: new\n"));
}
