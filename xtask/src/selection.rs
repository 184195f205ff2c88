//! What of the workspace is built where C cannot be, and with which features: read from the manifests.
//!
//! Cargo's `--all-features` would not do: it also takes what needs Kerberos' headers or builds OpenSSL from source.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use anyhow::{Result, bail};
use cargo_metadata::DependencyKind;

use crate::workspace;

/// Crates that come with librdkafka.
const OF_KAFKA: [&str; 2] = ["rdkafka", "rdkafka-sys"];
/// Crates that need a C compiler alone: those that come with ring (NATS, the client's and the server's TLS, authorization),
/// and zstd.
const OF_NATS: [&str; 6] = ["async-nats", "hyper-rustls", "rcgen", "ring", "tokio-rustls", "zstd"];
/// Features that are another way to build the same: for packagers.
const OTHER_WAYS: [&str; 5] = ["gssapi", "vendored", "kafka-gssapi", "kafka-vendored", "mimalloc"];

/// Packages, and for each the features to build it with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    packages: BTreeMap<String, BTreeSet<String>>,
    left_out: BTreeSet<String>,
}

impl Selection {
    /// All of the workspace that can be built with and without these.
    pub(crate) fn new(kafka: bool, nats: bool) -> Result<Self> {
        let packages = workspace::packages()?;
        let packages = packages.iter().map(|package| Package {
            name: package.name.to_string(),
            features: package.features.clone(),
            dependencies: package
                .dependencies
                .iter()
                .map(|dependency| Dependency {
                    name: dependency.name.clone(),
                    optional: dependency.optional,
                    dev: dependency.kind == DependencyKind::Development,
                    features: dependency.features.clone(),
                    default: dependency.uses_default_features,
                })
                .collect(),
        });
        Ok(Self::of(&packages.collect::<Vec<_>>(), kafka, nats))
    }

    fn of(packages: &[Package], kafka: bool, nats: bool) -> Self {
        let mut banned: Vec<&str> = Vec::new();
        if !kafka {
            banned.extend(OF_KAFKA);
        }
        if !nats {
            banned.extend(OF_NATS);
        }
        let workspace = Workspace { packages, banned };
        let mut selection = Self { packages: BTreeMap::new(), left_out: BTreeSet::new() };
        for package in packages {
            if workspace.is_tainted(package, true) {
                selection.left_out.insert(package.name.clone());
                continue;
            }
            let features = package.features.keys().filter(|name| {
                *name != "default" && !OTHER_WAYS.contains(&name.as_str()) && !workspace.taints(package, name)
            });
            selection.packages.insert(package.name.clone(), features.cloned().collect());
        }
        selection
    }

    /// Adds arguments that select these packages (all, if none is named) with their features.
    pub(crate) fn select(&self, command: &mut Command, packages: &[String]) -> Result<()> {
        command.args(self.args(packages)?);
        Ok(())
    }

    /// The arguments of [`select`](Self::select).
    pub(crate) fn args(&self, packages: &[String]) -> Result<Vec<String>> {
        let mut args = Vec::new();
        if packages.is_empty() {
            args.push("--workspace".to_owned());
            args.extend(self.left_out.iter().flat_map(|name| ["--exclude".to_owned(), name.clone()]));
        }
        for name in packages {
            if self.left_out.contains(name) {
                bail!("{name} cannot be built here: see the table above");
            }
            if !self.packages.contains_key(name) {
                let known: Vec<&str> = self.packages.keys().map(String::as_str).collect();
                bail!("no package {name}: there are {}", known.join(", "));
            }
            args.extend(["--package".to_owned(), name.clone()]);
        }
        let chosen = self.packages.iter().filter(|(name, _)| packages.is_empty() || packages.contains(name));
        let features: Vec<String> = chosen
            .flat_map(|(name, features)| features.iter().map(move |feature| format!("{name}/{feature}")))
            .collect();
        args.push("--no-default-features".to_owned());
        if !features.is_empty() {
            args.extend(["--features".to_owned(), features.join(",")]);
        }
        Ok(args)
    }
}

/// A crate of the workspace as cargo sees it.
struct Package {
    name: String,
    features: BTreeMap<String, Vec<String>>,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    optional: bool,
    dev: bool,
    features: Vec<String>,
    default: bool,
}

struct Workspace<'a> {
    packages: &'a [Package],
    banned: Vec<&'a str>,
}

impl Workspace<'_> {
    /// Whether the package brings a banned crate even without any feature; its own tests too, where `tests`.
    fn is_tainted(&self, package: &Package, tests: bool) -> bool {
        let always = package.dependencies.iter().filter(|one| !one.optional && (tests || !one.dev));
        always.into_iter().any(|dependency| self.is_banned(dependency))
    }

    fn is_banned(&self, dependency: &Dependency) -> bool {
        if self.banned.contains(&dependency.name.as_str()) {
            return true;
        }
        let Some(package) = self.find(&dependency.name) else { return false };
        let default = dependency.default.then_some("default");
        self.is_tainted(package, false)
            || dependency
                .features
                .iter()
                .map(String::as_str)
                .chain(default)
                .any(|name| self.taints(package, name))
    }

    /// Whether a feature brings a banned crate.
    fn taints(&self, package: &Package, feature: &str) -> bool {
        let dependency = |name: &str| package.dependencies.iter().find(|one| one.name == name);
        let Some(parts) = package.features.get(feature) else { return false };
        parts.iter().any(|part| {
            if let Some(name) = part.strip_prefix("dep:") {
                return dependency(name).is_some_and(|one| self.is_banned(one));
            }
            let Some((name, theirs)) = part.split_once('/') else { return self.taints(package, part) };
            let name = name.trim_end_matches('?');
            dependency(name).is_some_and(|one| self.is_banned(one))
                || self.find(name).is_some_and(|other| self.taints(other, theirs))
        })
    }

    fn find(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_everything_nothing_is_left_out() {
        let all = Selection::new(true, true).unwrap();
        assert!(all.left_out.is_empty());
        let gateway: Vec<&str> = all.packages["tidewater-gateway"].iter().map(String::as_str).collect();
        assert_eq!(
            gateway,
            [
                "all-servers",
                "authorization",
                "embedded",
                "gzip",
                "kafka",
                "nats",
                "otel",
                "otel-tls",
                "rocket",
                "salvo",
                "sse-tls",
                "tls",
                "warp",
                "zstd"
            ]
        );
        assert!(all.packages["tidewater-kafka"].is_empty(), "{:?}", all.packages["tidewater-kafka"]);
    }

    #[test]
    fn without_kafka_what_brings_it_is_left_out() {
        let some = Selection::new(false, true).unwrap();
        for name in ["tidewater-kafka", "axum-kafka", "warp-kafka", "bridge"] {
            assert!(some.left_out.contains(name), "{name}: {some:?}");
        }
        for name in
            ["tidewater", "tidewater-nats", "tidewater-gateway", "tidewater-tests", "xtask", "rocket-nats"]
        {
            assert!(some.packages.contains_key(name), "{name}: {some:?}");
        }
        let features = |name: &str| some.packages[name].iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            features("tidewater-gateway"),
            [
                "all-servers",
                "authorization",
                "embedded",
                "gzip",
                "nats",
                "otel",
                "otel-tls",
                "rocket",
                "salvo",
                "sse-tls",
                "tls",
                "warp",
                "zstd"
            ]
        );
        assert_eq!(features("tidewater-tests"), ["nats", "tls"]);
        let facade = [
            "authorize-url",
            "axum",
            "codec",
            "direct",
            "direct-tls",
            "embedded",
            "gzip",
            "json",
            "jwks",
            "jwt",
            "nats",
            "rocket",
            "salvo",
            "sse",
            "sse-tls",
            "warp",
            "zstd",
        ];
        assert_eq!(features("tidewater"), facade, "not `full`");
    }

    #[test]
    fn without_c_both_are_left_out() {
        let some = Selection::new(false, false).unwrap();
        assert!(some.left_out.contains("tidewater-nats") && some.left_out.contains("salvo-jetstream"));
        assert!(some.packages["tidewater-tests"].is_empty());
        assert!(some.packages["tidewater-sse"].is_empty(), "the client is there, and its TLS is not");
        assert!(some.packages["tidewater-direct"].is_empty(), "the same of the server");
        assert!(some.packages.contains_key("tidewater-sse-service"));
        let facade = Vec::from_iter(&some.packages["tidewater"]);
        assert_eq!(
            facade,
            ["axum", "codec", "direct", "embedded", "gzip", "json", "rocket", "salvo", "sse", "warp"]
        );
        let gateway = &some.packages["tidewater-gateway"];
        assert!(gateway.contains("otel") && !gateway.contains("otel-tls") && !gateway.contains("sse-tls"));
        let args = some.args(&[]).unwrap().join(" ");
        assert!(args.starts_with("--workspace --exclude axum-kafka"), "{args}");
        assert!(
            args.contains("tidewater/warp") && !args.contains("/kafka") && !args.contains("/nats"),
            "{args}"
        );
    }

    #[test]
    fn a_package_that_cannot_be_built_is_refused() {
        let some = Selection::new(false, true).unwrap();
        assert!(
            some.args(&["tidewater-kafka".into()]).unwrap_err().to_string().contains("cannot be built here")
        );
        assert!(some.args(&["tidewater-kafkaa".into()]).unwrap_err().to_string().contains("no package"));
        let one = some.args(&["tidewater-rocket".into()]).unwrap();
        assert_eq!(one, ["--package", "tidewater-rocket", "--no-default-features"]);
    }
}
