//! Help, exit codes, errors, `cursor` and `plugins`, through the real binary.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use serde_json::Value;
use support::{gateway::Gateway, run};

#[test]
fn every_command_has_help_with_examples() {
    let help = run(&["--help"], b"").exits(0).stdout;
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in:\n{help}");
        let help = run(&[command, "--help"], b"").exits(0).stdout;
        for part in ["Examples:", &format!("tidewater {command}"), "Usage:"] {
            assert!(help.contains(part), "{command}: {part:?} is not in:\n{help}");
        }
    }
    assert!(help.contains("Exit codes:"), "{help}");
}

#[test]
fn the_version_is_one_line_and_tells_the_build_in_more() {
    let first = concat!("tidewater ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["-V"], b"").exits(0).stdout, first);
    let told = run(&["--version"], b"").exits(0).stdout;
    assert!(told.starts_with(first), "{told}");
    let line = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    for (feature, built_in) in [("kafka", cfg!(feature = "kafka")), ("zstd", cfg!(feature = "zstd"))] {
        assert_eq!(line("features:").split(", ").any(|name| name == feature), built_in, "{feature}: {told}");
    }
    assert!(line("target:").contains(std::env::consts::ARCH), "{told}");
    assert!(line("compiler:").starts_with("rustc "), "{told}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    run(&[], b"").exits(2);
    run(&["sing"], b"").exits(2).says(&["sing"]);
    run(&["decode", "--fast"], b"").exits(2).says(&["--fast"]);
    run(&["--log", "a=b=c", "plugins"], b"").exits(2).says(&["\"a=b=c\"", "--log", "debug"]);
}

#[test]
fn cursor_says_in_words_what_an_id_holds() {
    // Version 1; the tag of kafka's "orders", the epoch 7, two partitions at 0 and 42.
    let done = run(&["cursor", "AZWmjTgAAAAHBAAq", "--topic", "kafka:orders"], b"").exits(0);
    assert_eq!(
        done.stdout,
        "A cursor of 1 topic, 16 characters.\n\n\
         Topic 95a68d38 (kafka:orders), epoch 00000007\n  \
         partition 0: next is offset 0, nothing delivered yet\n  \
         partition 1: next is offset 42, all up to 41 is delivered\n  \
         any other partition: from offset 0\n"
    );
    run(&["cursor", "AQ"], b"").exits(0);
    run(&["cursor", "42"], b"").exits(1).says(&["\"42\"", "not a cursor"]);
    run(&["cursor", &"x".repeat(70_000)], b"").exits(1).says(&["longer than any cursor"]);
    run(&["cursor", "AQ", "--topic", "orders"], b"").exits(2).says(&["kafka:orders"]);
}

#[test]
fn health_is_told_by_the_exit_code() {
    let gateway = Gateway::start(&[]);
    let done = run(&["health", &gateway.url("/health/ready")], b"").exits(0);
    assert!(done.stdout.contains("\"status\":\"ready\""), "{}", done.stdout);
    run(&["health", &gateway.url("/health")], b"").exits(1).says(&["answers 404"]);
    let url = gateway.url("/health/live");
    drop(gateway);
    run(&["health", &url], b"").exits(1).says(&[&url, "refused"]);
    // Whoever accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    run(&["health", &url, "--timeout", "100ms"], b"").exits(1).says(&["does not answer within 100ms"]);
    for wrong in ["https://localhost/health/ready", "localhost:9090", "http:///health"] {
        run(&["health", wrong], b"").exits(2).says(&["http://127.0.0.1:9090/health/ready"]);
    }
}

#[test]
fn plugins_lists_what_is_linked() {
    let text = run(&["plugins"], b"").exits(0).stdout;
    let listing: Value = serde_json::from_str(&run(&["plugins", "--json"], b"").exits(0).stdout).unwrap();
    let schemes: Vec<&str> = listing["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|plugin| plugin["schemes"].as_array().unwrap())
        .map(|scheme| scheme.as_str().unwrap())
        .collect();
    let mut expected = vec!["memory"];
    if cfg!(feature = "kafka") {
        expected.push("kafka");
    }
    if cfg!(feature = "nats") {
        expected.extend(["nats", "jetstream"]);
    }
    if cfg!(feature = "embedded") {
        expected.push("embedded");
    }
    for scheme in expected {
        assert!(schemes.contains(&scheme) && text.contains(scheme), "{scheme}: {listing}\n{text}");
    }
    let servers = listing["servers"].as_array().unwrap();
    for (name, built_in) in [
        ("direct", true),
        ("hyper", true),
        ("warp", cfg!(feature = "warp")),
        ("rocket", cfg!(feature = "rocket")),
        ("salvo", cfg!(feature = "salvo")),
    ] {
        assert_eq!(servers.contains(&name.into()), built_in, "{name}: {listing}");
        let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{name} "))).unwrap();
        assert_eq!(line.contains("\"all-servers\""), !built_in, "{line}");
    }
}

const COMMANDS: [&str; 8] = ["serve", "check", "tail", "cursor", "decode", "encode", "health", "plugins"];
