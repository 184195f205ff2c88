//! The dependency table: which crate may name which.

use std::path::{Path, PathBuf};

use anyhow::Result;
use cargo_metadata::DependencyKind;

use crate::workspace;

/// What a crate of the workspace may depend on.
struct Row {
    name: &'static str,
    /// Crates of this workspace.
    own: &'static [&'static str],
    /// Guarded crates of others: see [`is_guarded`].
    foreign: &'static [&'static str],
    /// Guarded crates that must be optional, behind a feature.
    optional: &'static [&'static str],
}

const CORE: &str = "tidewater-core";
const HUB: &str = "tidewater-hub";
const HTTP: &str = "tidewater-http";
const TESTKIT: &str = "tidewater-testkit";
const SECURE_KAFKA: &str = "tidewater-secure-kafka";
const SECURE_NATS: &str = "tidewater-secure-nats";

/// The types and traits of HTTP, and what serves it.
const HTTP_TYPES: &[&str] = &["http", "http-body", "http-body-util", "tower", "tower-service", "tower-layer"];
const HTTP_SERVING: &[&str] =
    &["http", "http-body", "http-body-util", "tower", "tower-service", "tower-layer", "hyper", "hyper-util"];

/// What asks for it.
const HTTP_CLIENT: &[&str] = &["http", "http-body", "http-body-util", "tower-service", "hyper", "hyper-util"];

/// One row a crate. A crate without a row is a finding: whoever adds one says what it may know.
const TABLE: &[Row] = &[
    Row { name: CORE, own: &[], foreign: &[], optional: &[] },
    Row { name: HUB, own: &[CORE], foreign: &[], optional: &[] },
    Row { name: HTTP, own: &[CORE, HUB], foreign: HTTP_TYPES, optional: &["hyper-util"] },
    Row { name: "tidewater-kafka", own: &[CORE], foreign: &["rdkafka", "rdkafka-sys"], optional: &[] },
    Row { name: "tidewater-nats", own: &[CORE], foreign: &["async-nats"], optional: &[] },
    Row { name: "tidewater-embedded", own: &[CORE], foreign: STORES, optional: &[] },
    Row { name: "tidewater-sse", own: &[CORE], foreign: HTTP_CLIENT, optional: &[] },
    Row { name: "tidewater-direct", own: &[CORE, HUB, HTTP], foreign: HTTP_SERVING, optional: &[] },
    Row { name: "tidewater-axum", own: &[CORE, HUB, HTTP], foreign: with_http::AXUM, optional: &[] },
    Row { name: "tidewater-warp", own: &[CORE, HUB, HTTP], foreign: with_http::WARP, optional: &[] },
    Row { name: "tidewater-rocket", own: &[CORE, HUB, HTTP], foreign: with_http::ROCKET, optional: &[] },
    Row { name: "tidewater-salvo", own: &[CORE, HUB, HTTP], foreign: with_http::SALVO, optional: &[] },
    Row {
        name: "tidewater",
        own: &[
            CORE,
            HUB,
            HTTP,
            "tidewater-kafka",
            "tidewater-nats",
            "tidewater-embedded",
            "tidewater-direct",
            "tidewater-axum",
            "tidewater-warp",
            "tidewater-rocket",
            "tidewater-salvo",
            "tidewater-sse",
        ],
        foreign: &[],
        optional: &[],
    },
    Row {
        name: "tidewater-gateway",
        own: &["tidewater"],
        foreign: HTTP_SERVING,
        optional: &["warp", "rocket", "salvo"],
    },
    Row { name: TESTKIT, own: &[CORE, HUB, HTTP], foreign: HTTP_SERVING, optional: &[] },
    Row { name: SECURE_KAFKA, own: &[TESTKIT], foreign: &[], optional: &[] },
    Row { name: SECURE_NATS, own: &[SECURE_KAFKA, TESTKIT], foreign: &[], optional: &[] },
    Row { name: "tidewater-sse-service", own: &["tidewater-sse"], foreign: HTTP_SERVING, optional: &[] },
    Row { name: "xtask", own: &[], foreign: &[], optional: &[] },
];

/// The HTTP crates and one framework.
mod with_http {
    pub(super) const AXUM: &[&str] =
        &["axum", "http", "http-body", "http-body-util", "tower", "tower-service", "hyper", "hyper-util"];
    pub(super) const WARP: &[&str] =
        &["warp", "http", "http-body", "http-body-util", "tower", "tower-service", "hyper", "hyper-util"];
    pub(super) const ROCKET: &[&str] =
        &["rocket", "http", "http-body", "http-body-util", "tower", "tower-service", "hyper", "hyper-util"];
    pub(super) const SALVO: &[&str] =
        &["salvo", "http", "http-body", "http-body-util", "tower", "tower-service", "hyper", "hyper-util"];
}

/// Clients of brokers.
pub(super) const BROKERS: &[&str] =
    &["rdkafka", "rdkafka-sys", "async-nats", "nats", "lapin", "pulsar", "redis", "rumqttc", "rskafka"];
/// Stores in a process.
pub(super) const STORES: &[&str] = &["fjall", "lsm-tree"];
/// Web frameworks.
pub(super) const FRAMEWORKS: &[&str] =
    &["warp", "rocket", "salvo", "salvo_core", "axum", "actix-web", "poem", "tide", "ntex"];

/// Whether only some rows may name this crate.
fn is_guarded(name: &str) -> bool {
    [BROKERS, STORES, FRAMEWORKS, HTTP_SERVING].iter().any(|names| names.contains(&name)) || name == "reqwest"
}

/// Crates that stand at the end of the way and may know everything: the end-to-end tests and the examples.
fn is_free(name: &str, folder: &Path) -> bool {
    name == "tidewater-tests" || folder.starts_with("examples")
}

/// A crate as cargo sees it.
struct Crate {
    name: String,
    /// From the workspace's root.
    folder: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    own: bool,
    dev: bool,
    optional: bool,
}

/// Checks the workspace's manifests.
pub(super) fn check() -> Result<Vec<String>> {
    let packages = workspace::packages()?;
    let crates = packages.iter().map(|package| Crate {
        name: package.name.to_string(),
        folder: package
            .manifest_path
            .as_std_path()
            .strip_prefix(workspace::root())
            .unwrap_or(Path::new(""))
            .into(),
        dependencies: package
            .dependencies
            .iter()
            .map(|dependency| Dependency {
                name: dependency.name.clone(),
                own: dependency.path.is_some(),
                dev: dependency.kind == DependencyKind::Development,
                optional: dependency.optional,
            })
            .collect(),
    });
    Ok(findings(crates))
}

fn findings(crates: impl Iterator<Item = Crate>) -> Vec<String> {
    let mut findings = Vec::new();
    for found in crates.filter(|found| !is_free(&found.name, &found.folder)) {
        let Some(row) = TABLE.iter().find(|row| row.name == found.name) else {
            findings.push(format!(
                "{} has no row in xtask/src/tidy/table.rs: say what it may depend on",
                found.name
            ));
            continue;
        };
        findings.extend(found.dependencies.iter().filter_map(|dependency| row.objection(dependency)));
    }
    findings
}

impl Row {
    fn objection(&self, dependency: &Dependency) -> Option<String> {
        let name = dependency.name.as_str();
        let kind = if dependency.dev { " for its tests" } else { "" };
        if dependency.own {
            let for_tests = [TESTKIT, SECURE_KAFKA, SECURE_NATS, self.name];
            let allowed = self.own.contains(&name) || (dependency.dev && for_tests.contains(&name));
            return (!allowed).then(|| {
                let may = if self.own.is_empty() {
                    "no crate of this workspace".into()
                } else {
                    self.own.join(", ")
                };
                format!("{} depends on {name}{kind}; it may depend on: {may}", self.name)
            });
        }
        if !is_guarded(name) || self.foreign.contains(&name) {
            return None;
        }
        if self.optional.contains(&name) {
            return (!dependency.optional && !dependency.dev)
                .then(|| format!("{} depends on {name}, which must be optional there", self.name));
        }
        // Tests may speak HTTP everywhere; the facade's show it with a framework, and the server that has any of them as
        // its fallback is tried with each.
        let beside_frameworks = ["tidewater", "tidewater-direct"].contains(&self.name);
        let test = dependency.dev && (HTTP_SERVING.contains(&name) || beside_frameworks);
        (!test).then(|| format!("{} depends on {name}{kind}; it must not know it", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(name: &str, own: bool) -> Dependency {
        Dependency { name: name.into(), own, dev: false, optional: false }
    }

    fn one(name: &str, dependency: Dependency) -> Vec<String> {
        let folder = Path::new("crates").join(name);
        findings([Crate { name: name.into(), folder, dependencies: vec![dependency] }].into_iter())
    }

    #[test]
    fn what_the_table_allows_is_no_finding() {
        assert!(one("tidewater-http", on("tidewater-hub", true)).is_empty());
        assert!(one("tidewater-kafka", on("rdkafka", false)).is_empty());
        assert!(one("tidewater-core", on("bytes", false)).is_empty());
        assert!(one("tidewater-kafka", Dependency { dev: true, ..on("tidewater-testkit", true) }).is_empty());
        assert!(one("tidewater-gateway", Dependency { optional: true, ..on("warp", false) }).is_empty());
        assert!(one("tidewater-hub", Dependency { dev: true, ..on("hyper", false) }).is_empty());
    }

    #[test]
    fn what_it_does_not_is_one() {
        let cases = [
            ("tidewater-core", on("tidewater-hub", true)),
            ("tidewater-core", on("http", false)),
            ("tidewater-hub", on("rdkafka", false)),
            ("tidewater-hub", Dependency { dev: true, ..on("warp", false) }),
            ("tidewater-kafka", on("async-nats", false)),
            ("tidewater-kafka", on("tidewater-nats", true)),
            ("tidewater-axum", on("warp", false)),
            ("tidewater-warp", on("salvo", false)),
            ("tidewater-warp", on("tidewater-rocket", true)),
            ("tidewater-http", on("hyper", false)),
            ("tidewater-gateway", on("warp", false)),
            ("tidewater-gateway", on("rdkafka", false)),
            ("tidewater-testkit", on("tidewater-kafka", true)),
            ("xtask", on("tidewater", true)),
        ];
        for (name, dependency) in cases {
            let what = format!("{name} on {}", dependency.name);
            let found = one(name, dependency);
            assert_eq!(found.len(), 1, "{what}");
            assert!(found[0].starts_with(name), "{what}: {found:?}");
        }
    }

    #[test]
    fn an_unknown_crate_is_a_finding_and_an_example_is_free() {
        assert!(one("tidewater-new", on("bytes", false))[0].contains("no row"));
        let folder = "examples/warp-kafka/Cargo.toml".into();
        let example = Crate { name: "warp-kafka".into(), folder, dependencies: vec![on("warp", false)] };
        assert!(findings([example].into_iter()).is_empty());
    }
}
