//! What is in the build and what is not: read from `cargo tree`, so that it holds for dependencies of dependencies.

use std::collections::BTreeSet;

use anyhow::Result;

use super::table::{BROKERS, FRAMEWORKS, STORES};
use crate::{process, selection::Selection, workspace};

/// A feature of the facade and the crates that it alone brings.
const FEATURES: &[(&str, &[&str])] = &[
    ("kafka", &["rdkafka", "rdkafka-sys", "tidewater-kafka"]),
    ("nats", &["async-nats", "tidewater-nats"]),
    ("embedded", &["fjall", "lsm-tree", "tidewater-embedded"]),
    ("warp", &["warp", "tidewater-warp"]),
    ("rocket", &["rocket", "rocket_http", "tidewater-rocket"]),
    ("salvo", &["salvo", "salvo_core", "tidewater-salvo"]),
    ("gzip", &["flate2", "zlib-rs"]),
    ("zstd", &["zstd", "zstd-safe"]),
];

/// The same, of what the facade has and the gateway has not.
const FEATURES_OF_FACADE: &[(&str, &[&str])] = &[
    ("axum", &["axum", "axum-core", "tidewater-axum"]),
    ("sse", &["iri-string", "tidewater-sse"]),
    ("direct", &["tidewater-direct"]),
];

/// Packages that compile C or look for C libraries in a build script.
const C_BUILDERS: &[&str] = &[
    "cc",
    "cmake",
    "pkg-config",
    "vcpkg",
    "bindgen",
    "autotools",
    "nasm-rs",
    "cxx-build",
    "ring",
    "aws-lc-rs",
    "openssl-src",
];

/// Packages named `-sys` that hold declarations only.
const PURE_SYS: &[&str] = &["linux-raw-sys", "windows-sys", "core-foundation-sys", "js-sys", "web-sys"];

type Tree = BTreeSet<String>;

/// The inner crates know no broker, framework or server, not even through others.
pub(super) fn check_crates() -> Result<Vec<String>> {
    let servers = ["hyper", "hyper-util", "reqwest"].as_slice();
    let http = ["http", "http-body", "tower"].as_slice();
    let mut findings = Vec::new();
    for (package, banned) in [
        ("tidewater-core", [BROKERS, STORES, FRAMEWORKS, servers, http].concat()),
        ("tidewater-hub", [BROKERS, STORES, FRAMEWORKS, servers, http].concat()),
        ("tidewater-http", [BROKERS, STORES, FRAMEWORKS, servers].concat()),
        ("tidewater-testkit", [BROKERS, STORES, FRAMEWORKS].concat()),
        ("tidewater-embedded", [BROKERS, FRAMEWORKS, servers, http].concat()),
        ("tidewater-sse", [BROKERS, FRAMEWORKS, ["reqwest", "tidewater-hub"].as_slice()].concat()),
    ] {
        findings.extend(holds(package, &tree(package, None, "normal,build")?, &banned));
    }
    Ok(findings)
}

/// Each feature brings what it is for and nothing of the others, in the facade and in the gateway.
pub(super) fn check_features() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in ["tidewater", "tidewater-gateway"] {
        let alone = features(package).map(|(name, _)| vec![*name]);
        for set in &alone.chain([vec![], vec!["nats", "warp"]]).collect::<Vec<_>>() {
            findings.extend(exclusions(package, set, &tree(package, Some(set), "normal,build")?));
        }
    }
    Ok(findings)
}

/// The gateway as it is shipped answers by itself: a framework in it would be there for nobody.
pub(super) fn check_shipped() -> Result<Vec<String>> {
    let shipped = tree("tidewater-gateway", None, "normal,build")?;
    let mut findings = holds("tidewater-gateway with its default features", &shipped, FRAMEWORKS);
    let all = tree("tidewater-gateway", Some(&["all-servers"]), "normal,build")?;
    let lacks = ["warp", "rocket", "salvo"].iter().filter(|name| !all.contains(**name));
    findings.extend(lacks.map(|name| format!("tidewater-gateway --features all-servers lacks {name}")));
    Ok(findings)
}

/// Features that `package` has.
fn features(package: &str) -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
    let more = if package == "tidewater" { FEATURES_OF_FACADE } else { &[] };
    FEATURES.iter().chain(more)
}

/// The client and the server compile C for their TLS alone: ring, and not aws-lc, which takes cmake besides.
pub(super) fn check_tls() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (plain, tls) in [("sse", "sse-tls"), ("direct", "direct-tls")] {
        let without = tree("tidewater", Some(&[plain]), "normal,build")?;
        findings.extend(c_builders(&format!("tidewater --features {plain}"), &without));
        let with = tree("tidewater", Some(&[tls]), "normal,build")?;
        let shown = format!("tidewater --features {tls}");
        findings.extend(holds(&shown, &with, &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "cmake"]));
        if !with.contains("ring") {
            findings.push(format!("{shown} lacks ring"));
        }
    }
    Ok(findings)
}

/// Authorization that asks nobody and checks no signature brings nothing; the rest brings ring, and not aws-lc.
pub(super) fn check_authorization() -> Result<Vec<String>> {
    let plain = tree("tidewater", Some(&[]), "normal,build")?;
    let all = tree("tidewater", Some(&["jwks", "authorize-url"]), "normal,build")?;
    let shown = "tidewater --features jwks,authorize-url";
    let mut findings =
        holds("tidewater without features", &plain, &["hyper-rustls", "hyper-util", "ring", "spki"]);
    findings.extend(holds(
        shown,
        &all,
        &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "cmake", "rsa", "jsonwebtoken"],
    ));
    findings.extend(
        ["ring", "hyper-rustls"]
            .iter()
            .filter(|name| !all.contains(**name))
            .map(|name| format!("{shown} lacks {name}")),
    );
    Ok(findings)
}

/// Traces bring nothing unless they are chosen, and then neither C nor what the SDK would send them with by itself.
pub(super) fn check_traces() -> Result<Vec<String>> {
    const OF_TRACES: [&str; 3] = ["opentelemetry", "opentelemetry_sdk", "prost"];
    let shipped = tree("tidewater-gateway", None, "normal,build")?;
    let mut findings = holds("tidewater-gateway with its default features", &shipped, &OF_TRACES);
    let shown = "tidewater-gateway --features otel";
    let with = tree("tidewater-gateway", Some(&["otel"]), "normal,build")?;
    findings.extend(c_builders(shown, &with));
    findings.extend(holds(shown, &with, &["reqwest", "tonic", "hyper-rustls"]));
    let lacks = OF_TRACES.iter().filter(|name| !with.contains(**name));
    findings.extend(lacks.map(|name| format!("{shown} lacks {name}")));
    let all = tree("tidewater-gateway", Some(&["otel-tls"]), "normal,build")?;
    findings.extend(holds(
        "tidewater-gateway --features otel-tls",
        &all,
        &["aws-lc-rs", "openssl-sys", "cmake"],
    ));
    Ok(findings)
}

/// Rust and the linker that it needs are enough for `cargo xtask demo`: for the gateway that it builds, for one with `embedded:`
/// besides, and for itself.
pub(super) fn check_no_c() -> Result<Vec<String>> {
    let gateway = tree("tidewater-gateway", Some(&["embedded"]), "normal,build")?;
    let xtask = tree("xtask", None, "normal,build")?;
    let shown = "tidewater-gateway --no-default-features --features embedded";
    Ok([c_builders(shown, &gateway), c_builders("xtask", &xtask)].concat())
}

/// Without make or a C compiler `cargo xtask test` builds the rest: nothing in it brings librdkafka, or any C. So xtask,
/// the testkit and the end-to-end tests have the brokers' clients by feature only.
pub(super) fn check_left_out() -> Result<Vec<String>> {
    const OF_LIBRDKAFKA: [&str; 4] = ["rdkafka", "rdkafka-sys", "openssl-sys", "tidewater-kafka"];
    let mut findings = Vec::new();
    for (nats, shown) in [(true, "the workspace without kafka"), (false, "the workspace without C")] {
        let mut command = workspace::cargo();
        command.args(["tree", "--quiet", "--prefix", "none", "--edges", "normal,build,dev"]);
        Selection::new(false, nats)?.select(&mut command, &[])?;
        let tree = names(&process::output(&mut command)?);
        for name in ["xtask", "tidewater-testkit", "tidewater-tests", "tidewater-gateway"] {
            if !tree.contains(name) {
                findings.push(format!(
                    "{shown} lacks {name}: it needs a broker's client even without its features"
                ));
            }
        }
        findings.extend(holds(shown, &tree, &OF_LIBRDKAFKA));
        if !nats {
            findings.extend(c_builders(shown, &tree));
        }
    }
    Ok(findings)
}

fn exclusions(package: &str, chosen: &[&str], tree: &Tree) -> Vec<String> {
    let shown = format!("{package} --no-default-features --features '{}'", chosen.join(","));
    let mut findings = Vec::new();
    for (feature, crates) in features(package) {
        if chosen.contains(feature) {
            let absent = crates.iter().filter(|name| !tree.contains(**name));
            findings.extend(
                absent.map(|name| format!("{shown} lacks {name}, which the feature {feature} brings")),
            );
        } else {
            findings.extend(holds(&shown, tree, crates));
        }
    }
    findings
}

fn c_builders(shown: &str, tree: &Tree) -> Vec<String> {
    let sys = tree.iter().filter(|name| name.ends_with("-sys") && !PURE_SYS.contains(&name.as_str()));
    let builders = tree.iter().filter(|name| C_BUILDERS.contains(&name.as_str()));
    builders.chain(sys).map(|name| format!("{shown} holds {name}, which compiles or seeks C")).collect()
}

fn holds(shown: &str, tree: &Tree, banned: &[&str]) -> Vec<String> {
    let found = banned.iter().filter(|name| tree.contains(**name));
    found.map(|name| format!("{shown} holds {name} (cargo tree -i {name} tells why)")).collect()
}

/// Names of all packages in a package's build, for this machine's target.
fn tree(package: &str, features: Option<&[&str]>, edges: &str) -> Result<Tree> {
    let mut command = workspace::cargo();
    command.args(["tree", "--quiet", "--package", package, "--edges", edges, "--prefix", "none"]);
    if let Some(features) = features {
        command.args(["--no-default-features", "--features", &features.join(",")]);
    }
    Ok(names(&process::output(&mut command)?))
}

/// The first word of each line.
fn names(text: &str) -> Tree {
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Tree {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_feature_that_brings_another_is_found() {
        let clean = set(&["tidewater", "async-nats", "tidewater-nats"]);
        assert!(exclusions("tidewater", &["nats"], &clean).is_empty());
        let leaky = set(&["tidewater", "async-nats", "tidewater-nats", "salvo_core"]);
        assert_eq!(exclusions("tidewater", &["nats"], &leaky).len(), 1);
        let empty = set(&["tidewater"]);
        assert_eq!(exclusions("tidewater", &["nats"], &empty).len(), 2, "both of its crates are lacking");
    }

    #[test]
    fn what_compiles_c_is_found() {
        assert!(c_builders("x", &set(&["libc", "linux-raw-sys", "windows-sys"])).is_empty());
        assert_eq!(c_builders("x", &set(&["cc"])).len(), 1);
        assert_eq!(c_builders("x", &set(&["rdkafka-sys"])).len(), 1);
    }

    #[test]
    fn a_banned_package_is_found() {
        assert_eq!(holds("x", &set(&["bytes", "hyper"]), &["hyper"]).len(), 1);
        assert!(holds("x", &set(&["bytes"]), &["hyper"]).is_empty());
    }

    #[test]
    fn trees_are_read() {
        let xtask = tree("xtask", None, "normal").unwrap();
        assert!(xtask.contains("clap") && xtask.contains("xtask"));
    }
}
