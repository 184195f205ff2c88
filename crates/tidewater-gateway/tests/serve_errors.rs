//! What `serve` refuses, and what it goes on with.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::TcpListener;

use support::{gateway::servers, run};

#[test]
fn a_wrong_configuration_is_exit_code_2_and_says_what_to_write() {
    for (args, parts) in [
        (&["--channel", "orders"][..], &["--channel orders=kafka://"][..]),
        (&["--channel", "orders=orders"], &["--channel orders", "no scheme", "memory:demo"]),
        (&["--channel", "a=carrier-pigeon://loft"], &["carrier-pigeon", "there are:", "memory"]),
        (&["--channel", "a=memory:x?size=3"], &["--channel a", "\"size\"", "events, bytes"]),
        (&["--channel", "a/b=memory:"], &["\"a/b\"", "letters, digits"]),
        (&["--channel", "a=memory:", "--channel", "a=memory:b"], &["\"a\" is given twice"]),
        (&["--allow-publish", "orders"], &["orders", "there are: demo"]),
        (&["--cors-origin", "https://app.example/"], &["--cors-origin", "slash at the end"]),
        (&["--cors-origin", "*"], &["--cors-origin", "\"*\""]),
        (&["--server", "apache"], &["apache", "hyper, warp, rocket, salvo"]),
        (&["--listen", "here"], &["--listen here", "127.0.0.1:8080"]),
        (&["--listen", "127.0.0.1:99999"], &["--listen 127.0.0.1:99999", "127.0.0.1:8080"]),
        (&["--drain-timeout", "soon"], &["--drain-timeout", "500ms"]),
        (&["--max-body", "0"], &["--max-body"]),
    ] {
        let done = run(&[&["serve"][..], args].concat(), b"");
        done.exits(2).says(parts);
    }
}

#[cfg(not(feature = "warp"))]
#[test]
fn a_server_that_is_not_built_in_names_its_feature() {
    run(&["serve", "--server", "warp"], b"").exits(2).says(&[
        "direct, hyper",
        "\"all-servers\"",
        "--features all-servers",
    ]);
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_scheme_that_is_not_built_in_names_its_feature() {
    run(&["serve", "--channel", "a=kafka://h/t"], b"").exits(2).says(&["feature \"kafka\""]);
}

#[test]
fn no_secret_of_a_url_is_shown() {
    for url in ["carrier-pigeon://me:hunter2@loft/x?token=hunter2", "memory:x?hunter2"] {
        let done = run(&["serve", "--channel", &format!("a={url}")], b"").exits(2);
        assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    }
}

#[test]
fn a_port_that_is_taken_is_exit_code_3_and_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for server in servers() {
        let done = run(&["serve", "--listen", &address.to_string(), "--server", server], b"").exits(3);
        let port = format!("port {}", address.port());
        done.says(&[&address.to_string(), "in use", &port, "--listen 127.0.0.1:PORT"]);
    }
}

#[test]
fn an_address_beyond_loopback_prints_what_anyone_can_do() {
    // Of a network that nobody has (RFC 5737), so that nothing is really exposed.
    let args = ["serve", "--listen", "192.0.2.1:80", "--channel", "a=memory:", "--channel", "b=memory:"];
    let done = run(&args, b"").exits(3);
    done.says(&["warning: 192.0.2.1:80", "read:  a, b", "write: a, b", "no such address"]);
}

#[cfg(feature = "nats")]
#[test]
fn a_broker_that_is_away_is_degraded_and_named_but_ready() {
    use std::time::Instant;
    use support::{
        client::request,
        gateway::{Gateway, PATIENCE},
    };

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = ["--channel", &format!("far=nats://{free}/s"), "--channel", "near=memory:"];
    let gateway = Gateway::start(&args);
    let until = Instant::now() + PATIENCE;
    let told = loop {
        let (answer, text) = request(&gateway.address, "GET /health/ready", &[], b"");
        assert_eq!(answer.status, 200, "{text}");
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        if told["status"] == "degraded" {
            break told;
        }
        assert!(Instant::now() < until, "{told}");
    };
    assert_eq!(told["degraded"], serde_json::json!(["far"]));
    assert!(told["channels"]["far"]["error"].as_str().unwrap().contains(&free.to_string()), "{told}");
    assert_eq!(told["channels"]["near"]["upstream"], "live");
    // I10: a page that comes is told to come back, not sent away for good.
    let (answer, text) = request(&gateway.address, "GET /channels/far", &[], b"");
    assert!(answer.status == 200 && text.starts_with("retry: "), "{text}");
    let (answer, _) = request(&gateway.address, "POST /channels/far", &[], b"x");
    assert_eq!(answer.status, 403, "publishing is off");
}

#[cfg(feature = "nats")]
#[test]
fn publishing_to_a_source_that_cannot_be_written_is_refused_at_the_start() {
    let args = ["serve", "--channel", "a=nats://127.0.0.1:1/a.*", "--allow-publish", "a"];
    run(&args, b"").exits(2).says(&["--allow-publish a", "can be read"]);
}

#[test]
fn a_gateway_whose_output_nobody_reads_serves_on() {
    use std::process::Stdio;
    use support::{client::request, tidewater};

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut child = tidewater()
        .args(["serve", "--listen", &port])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let until = std::time::Instant::now() + support::gateway::PATIENCE;
    while std::net::TcpStream::connect(&port).is_err() {
        assert!(std::time::Instant::now() < until && child.try_wait().unwrap().is_none());
    }
    assert_eq!(request(&port, "GET /health/live", &[], b"").0.status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}
