//! `pipe`, as far as it goes without a broker: `tests/pipe.rs` of the workspace has those.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{run, with_variables};

#[test]
fn what_can_never_bring_anything_is_refused() {
    for (source, sink, parts) in [
        ("memory:a", "sse+http://h/x", &["memory:a", "one process's own", "sse+http://"][..]),
        ("sse+http://h/x", "memory:a", &["memory:a", "written here"]),
        ("orders", "memory:a", &["no scheme"]),
        ("carrier-pigeon://loft", "carrier-pigeon://other", &["carrier-pigeon", "memory"]),
        ("sse+http://h/x", "sse+http://h/y", &["can't be written to"]),
        ("kafka://h/a,b", "kafka://h/b", &["are the same"]),
        ("nats://h/a.>", "jetstream://h/S/a.b", &["are the same"]),
    ] {
        run(&["pipe", source, sink], b"").exits(2).says(parts);
    }
    run(&["pipe", "memory:a", "memory:b", "--from", "soon"], b"")
        .exits(2)
        .says(&["--from", "soon", "RFC 3339"]);
    run(&["pipe", "memory:a"], b"").exits(2).says(&["SINK_URL"]);
}

/// An event stream begins where its endpoint says.
#[cfg(feature = "embedded")]
#[test]
fn an_event_stream_is_asked_for_no_beginning() {
    let folder = tempfile::TempDir::new().unwrap();
    let sink = format!("embedded:{}", folder.path().join("log").display());
    let checkpoint = folder.path().join("checkpoint.json");
    for from in ["earliest", "latest", "5m"] {
        let args = [
            "pipe",
            "sse+http://127.0.0.1:1/x",
            &sink,
            "--checkpoint",
            checkpoint.to_str().unwrap(),
            "--from",
            from,
        ];
        run(&args, b"").exits(2).says(&["--from", "its endpoint"]);
    }
}

#[test]
fn secrets_are_not_shown() {
    let secret = [("SECRET", "hunter2")];
    for (source, sink) in [
        ("memory:a?x=${SECRET}", "nope://me:hunter2@h/x?token=hunter2"),
        ("nope://me:hunter2@h/x?token=hunter2", "nope://me:${SECRET}@h/y"),
        ("nope://me:hunter2@h/x", "nope://me:${SECRET}@h/x"),
        ("nope://me:hunter2@h ost/x", "nope://x"),
    ] {
        let done = with_variables(&["pipe", source, sink], &secret).exits(2);
        assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    }
    with_variables(&["pipe", "nope://${NOT_SET_AT_ALL}/x", "nope://y"], &[])
        .exits(2)
        .says(&["NOT_SET_AT_ALL"]);
}

/// What is locked, refused and left alone, with a broker that is not there.
#[cfg(feature = "kafka")]
mod checkpoints {
    use std::{
        fs,
        net::TcpListener,
        path::Path,
        process::{Child, Stdio},
    };

    use rustix::process::{Pid, Signal, kill_process};

    use super::support::{Done, Lines, end, run, tidewater};

    const SINK: &str = "kafka://127.0.0.1:1/sink";

    fn place(name: &str) -> String {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(fs::remove_file(&path));
        path.to_str().unwrap().to_owned()
    }

    /// One that waits for its source.
    fn waiting(source: &str, checkpoint: &str) -> (Child, Lines) {
        let mut child = tidewater()
            .args(["pipe", source, SINK, "--at-least-once", "--checkpoint", checkpoint])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Lines::of(child.stderr.take().unwrap());
        assert!(lines.next().starts_with("at least once: "));
        (child, lines)
    }

    fn refused(args: &[&str]) -> Done {
        run(&[&["pipe"], args].concat(), b"")
    }

    #[test]
    fn a_checkpoint_is_one_pipes_and_a_signal_ends_it() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (source, checkpoint) = (format!("sse+http://{nobody}/x"), place("pipe-one.json"));
        let (mut child, lines) = waiting(&source, &checkpoint);
        let told = lines.next();
        assert!(told.contains("is away") && told.contains(&nobody.to_string()), "{told}");
        refused(&[&source, SINK, "--checkpoint", &checkpoint])
            .exits(1)
            .says(&["another pipe has", &checkpoint]);
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
        assert_eq!(end(&mut child), Some(0));
        let last = lines.next();
        assert!(last.contains("stopped: 0 messages"), "{last}");
        assert!(!Path::new(&checkpoint).exists(), "there was nothing to remember");
        refused(&[&source, SINK, "--checkpoint", &checkpoint, "--until-caught-up"])
            .exits(2)
            .says(&["--until-caught-up", "where its end is"]);
        refused(&[&source, SINK, "--checkpoint", &checkpoint, "--id", "a b"]).exits(2).says(&["--id", "a b"]);
    }

    #[test]
    fn the_checkpoint_of_another_is_refused_and_left_alone() {
        let checkpoint = place("pipe-other.json");
        let there = format!(
            r#"{{"version":1,"id":"mine","source":"sse://h/a","sink":"{SINK}","promise":"at least once","cursor":"AQ",
            "complete":true,"at":"2026-01-31T12:00:00Z","messages":1,"bytes":1,"gaps":0,"rejected":0}}"#
        );
        fs::write(&checkpoint, &there).unwrap();
        for (args, parts) in [
            (&["sse+http://h/b", SINK][..], &["its source is sse://h/a", "sse://h/b"][..]),
            (&["sse+http://h/a", "kafka://127.0.0.1:1/x"], &["its sink is", "/sink", "/x"]),
            (&["sse+http://h/a", SINK, "--id", "yours"], &["\"mine\"", "\"yours\""]),
        ] {
            refused(&[args, &["--checkpoint", &checkpoint]].concat()).exits(2).says(parts);
        }
        fs::write(&checkpoint, &there[..40]).unwrap();
        refused(&["sse+http://h/a", SINK, "--checkpoint", &checkpoint])
            .exits(2)
            .says(&["can't be read", "EOF"]);
        assert_eq!(fs::read_to_string(&checkpoint).unwrap(), there[..40]);
    }
}

/// From one folder into another: the whole of it, without a broker.
#[cfg(feature = "embedded")]
mod embedded {
    use std::{
        process::{Child, Stdio},
        thread,
        time::Duration,
    };

    use rustix::process::Signal;
    use serde_json::Value;
    use tempfile::TempDir;

    use super::support::{Lines, client::request, end, gateway::Gateway, run, tidewater};

    const MESSAGES: usize = 300;

    /// Where the channel is.
    fn cursor(gateway: &Gateway) -> String {
        let now = request(&gateway.address, "GET /channels/demo", &[("accept", "application/json")], b"").1;
        serde_json::from_str::<Value>(&now).unwrap()["cursor"].as_str().unwrap().to_owned()
    }

    /// Two folders for logs, and what they are called.
    struct Folders(TempDir);

    impl Folders {
        fn new() -> Self {
            Self(TempDir::new().unwrap())
        }

        fn url(&self, name: &str) -> String {
            format!("embedded:{}?sync=os", self.path(name))
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }

        /// Publishes numbers through a gateway, which has ended then. The id of a client that has got them.
        fn publish(&self, numbers: std::ops::Range<usize>) -> String {
            let gateway = Gateway::start(&["--channel", &format!("demo={}", self.url("from"))]);
            for number in numbers {
                let (head, answer) = request(
                    &gateway.address,
                    "POST /channels/demo?key=k",
                    &[],
                    number.to_string().as_bytes(),
                );
                assert_eq!(head.status, 202, "{answer}");
            }
            let id = cursor(&gateway);
            gateway.signal(Signal::TERM);
            assert_eq!(gateway.end().0, Some(0));
            id
        }

        fn command(&self, more: &[&str]) -> Vec<String> {
            let fixed =
                ["pipe", &self.url("from"), &self.url("to"), "--checkpoint", &self.path("checkpoint.json")];
            fixed.iter().chain(more).map(ToString::to_string).collect()
        }

        #[track_caller]
        fn catch_up(&self) -> String {
            let command = self.command(&["--until-caught-up"]);
            run(&command.iter().map(String::as_str).collect::<Vec<_>>(), b"").exits(0).stderr
        }

        fn spawn(&self, more: &[&str]) -> Child {
            tidewater().args(self.command(more)).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        }

        /// What is in the sink, with keys.
        #[track_caller]
        fn has(&self, count: usize) {
            let count_text = (count + 1).to_string();
            // One more than there is would wait for ever; so one is added, and is the last.
            let gateway = Gateway::start(&["--channel", &format!("demo={}", self.url("to"))]);
            request(&gateway.address, "POST /channels/demo?key=k", &[], b"the end");
            let url = gateway.url("/channels/demo");
            let done = run(&["tail", &url, "--since", "earliest", "--count", &count_text], b"").exits(0);
            let expected: String = (0..count).map(|number| format!("message: {number}\n")).collect();
            assert_eq!(done.stdout, expected + "message: the end\n");
        }
    }

    #[test]
    fn every_message_is_there_once_and_the_next_run_goes_on() {
        let folders = Folders::new();
        folders.publish(0..5);
        let told = folders.catch_up();
        assert!(told.starts_with("exactly once: ") && told.contains("caught up: 5 messages"), "{told}");
        folders.publish(5..7);
        // The sink knows where it is without the file.
        std::fs::remove_file(folders.path("checkpoint.json")).unwrap();
        assert!(folders.catch_up().contains("caught up: 2 messages"));
        assert!(folders.catch_up().contains("caught up: 0 messages"));
        folders.has(7);
    }

    /// Another log in the same place is another source, and what the sink knows was of the one before.
    #[test]
    fn a_position_of_another_log_is_refused_where_no_checkpoint_tells() {
        let folders = Folders::new();
        folders.publish(0..5);
        folders.catch_up();
        std::fs::remove_file(folders.path("checkpoint.json")).unwrap();
        std::fs::remove_dir_all(folders.path("from")).unwrap();
        folders.publish(5..7);
        let command = folders.command(&["--until-caught-up", "--skip-gaps"]);
        run(&command.iter().map(String::as_str).collect::<Vec<_>>(), b"")
            .exits(2)
            .says(&["another source", "--id"]);
        folders.has(5);
    }

    #[test]
    fn killed_whenever_it_is_there_once() {
        let folders = Folders::new();
        folders.publish(0..MESSAGES);
        for wait in (0..20).map(|round| 5 + 7 * round) {
            let mut pipe = folders.spawn(&[]);
            thread::sleep(Duration::from_millis(wait));
            pipe.kill().unwrap();
            pipe.wait().unwrap();
        }
        folders.catch_up();
        folders.has(MESSAGES);
    }

    #[test]
    fn it_is_asked_to_end_and_tells_what_it_did() {
        let folders = Folders::new();
        folders.publish(0..3);
        let mut pipe = folders.spawn(&[]);
        let lines = Lines::of(pipe.stderr.take().unwrap());
        assert!(lines.next().starts_with("exactly once: "));
        let checkpoint = folders.path("checkpoint.json");
        let there =
            || std::fs::read_to_string(&checkpoint).is_ok_and(|text| text.contains("\"messages\": 3"));
        while !there() {
            thread::sleep(Duration::from_millis(5));
        }
        let pid = rustix::process::Pid::from_raw(pipe.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(end(&mut pipe), Some(0));
        assert!(lines.next().contains("stopped: 3 messages"));
        assert!(std::fs::read_to_string(&checkpoint).unwrap().contains("\"complete\": true"));
    }

    /// docs/pipe.md says so: nothing in such an id tells that it was this channel's.
    #[test]
    fn an_id_of_the_old_log_says_nothing_to_the_channel_on_the_new_one() {
        let folders = Folders::new();
        let id = folders.publish(0..3);
        folders.catch_up();
        let gateway = Gateway::start(&["--channel", &format!("demo={}", folders.url("to"))]);
        let url = gateway.url("/channels/demo");
        let args = ["tail", &url, "--last-event-id", &id, "--count", "1", "--cursors", "--json"];
        let first: Value = serde_json::from_str(&run(&args, b"").exits(0).stdout).unwrap();
        assert_eq!(first["type"], "tidewater.cursor");
        let now = request(&gateway.address, "GET /channels/demo", &[("accept", "application/json")], b"").1;
        assert_eq!(
            serde_json::from_str::<Value>(&now).unwrap()["cursor"],
            first["lastEventId"],
            "it is at the end"
        );
    }
}
