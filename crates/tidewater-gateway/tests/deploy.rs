//! What `docs/deploy` hands out is right: configurations, command lines, and times that have to fit each other.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fs;

use support::{Done, run, with_variables};

/// A file of `docs/deploy`.
fn path(name: &str) -> String {
    format!("{}/../../docs/deploy/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `tidewater check`, with the secrets that are there.
fn check(args: &[&str]) -> Done {
    let secret = "x".repeat(32);
    with_variables(&[&["check"], args].concat(), &[("JWT_SECRET", &secret), ("KAFKA_PASSWORD", "x")])
}

#[cfg(all(feature = "kafka", feature = "nats", feature = "authorization"))]
#[test]
fn every_configuration_is_right() {
    for name in ["compose/tidewater.toml", "kubernetes/tidewater.toml"] {
        check(&["--config", &path(name)]).exits(0);
    }
}

#[test]
fn the_image_lacks_a_channel_and_nothing_else() {
    let file = path("container/tidewater.toml");
    let done = check(&["--config", &file]).exits(2).says(&["channel"]);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    check(&["--config", &file, "--channel", "demo=memory:"]).exits(0);
}

/// They are tried where there is no such file, and nobody listens: what is at stake is what the program is told.
#[test]
fn command_lines_are_right() {
    let (unit, image) = (read("tidewater.service"), read("../../Dockerfile"));
    let deployment = read("kubernetes/deployment.yaml");
    for (line, told) in [
        (after(&unit, "ExecReload=/usr/local/bin/tidewater"), "/tidewater.toml:1:1: the file can't be read"),
        (after(&unit, "ExecStart=/usr/local/bin/tidewater"), "/tidewater.toml:1:1: the file can't be read"),
        (after(&deployment, "args:"), "/tidewater.toml:1:1: the file can't be read"),
        (after(&image, "CMD [\"/usr/local/bin/tidewater\","), "http://127.0.0.1:1/health/ready: "),
    ] {
        // A gateway may well be installed here, and run.
        assert!(line.contains("/etc/tidewater/tidewater.toml") || line.contains(":9090/"), "{line}");
        let line = line.replace("/etc/tidewater/", "/nowhere/").replace(":9090/", ":1/");
        let words = line.replace(['[', ']', '"', ','], " ");
        let args: Vec<_> = words.split_whitespace().collect();
        run(&args, b"").says(&[told]);
    }
}

/// kustomize adds labels to selectors that are there, and a budget without one is for no pod.
#[test]
fn the_budget_and_the_policy_are_for_the_pods() {
    let label = "app.kubernetes.io/name: tidewater";
    assert!(read("kubernetes/kustomization.yaml").contains(label));
    let budget = read("kubernetes/poddisruptionbudget.yaml");
    assert!(budget.contains(&format!("  selector:\n    matchLabels:\n      {label}")), "{budget}");
    let policy = read("kubernetes/networkpolicy.yaml");
    assert!(policy.contains(&format!("  podSelector:\n    matchLabels:\n      {label}")), "{policy}");
}

/// What the crates link to has to come along into the image's build.
#[cfg(unix)]
#[test]
fn the_image_is_built_with_all_that_the_crates_link_to() {
    let root = fs::canonicalize(path("../..")).unwrap();
    let kept = fs::read_to_string(root.join(".dockerignore")).unwrap();
    let mut folders = vec![root.join("crates")];
    let mut links = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && entry.file_name() != "target" {
                folders.push(entry.path());
            } else if kind.is_symlink() {
                let to = fs::canonicalize(entry.path()).unwrap();
                let top = to.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap();
                let keeps = |line: &str| match line.strip_suffix('*') {
                    Some(begins) => format!("!{top}").starts_with(begins) && begins.starts_with('!'),
                    None => line == format!("!{top}"),
                };
                assert!(kept.lines().any(keeps), "{}", to.display());
                links += 1;
            }
        }
    }
    assert!(links > 0);
}

/// Who ends it waits until it has drained.
#[test]
fn nobody_kills_it_while_it_drains() {
    let deployment = read("kubernetes/deployment.yaml");
    let (_, pre_stop) = deployment.split_once("preStop:").unwrap();
    let patience = number(after(&deployment, "terminationGracePeriodSeconds:"));
    let drain = number(after(&read("kubernetes/tidewater.toml"), "drain_timeout ="));
    assert!(patience > number(after(pre_stop, "seconds:")) + drain, "{patience} s in Kubernetes");

    let shown = check(&["--channel", "demo=memory:", "--show"]).exits(0).stdout;
    let default = number(after(&shown, "drain_timeout ="));
    assert!(default > 0 && number(after(&read("tidewater.service"), "TimeoutStopSec=")) > default);
    assert!(number(after(&read("compose/compose.yaml"), "stop_grace_period:")) > default);
}

/// What follows on this line.
#[track_caller]
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("no {mark:?} in:\n{text}"));
    rest.lines().next().unwrap_or_default()
}

/// The first number in it.
#[track_caller]
fn number(text: &str) -> u64 {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty());
    digits.unwrap_or_else(|| panic!("no number in {text:?}")).parse().unwrap()
}
