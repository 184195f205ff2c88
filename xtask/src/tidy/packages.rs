//! What is published says what it is: what registries show, the licenses' texts, and how docs.rs builds it.

use anyhow::Result;
use cargo_metadata::{Package, TargetKind};

use crate::workspace;

/// Texts that each package has beside its manifest.
const LICENSES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
/// What docs.rs gives rustdoc, so that it says which feature an item is of.
const DOCSRS: [&str; 2] = ["--cfg", "docsrs"];
/// Features that docs.rs can't build: they want headers that it may not have, or build OpenSSL from source.
const NOT_ON_DOCSRS: [&str; 4] = ["gssapi", "kafka-gssapi", "kafka-vendored", "vendored"];

/// Checks the packages that are published: those in `crates/`.
pub(super) fn check() -> Result<Vec<String>> {
    let packages = workspace::packages()?;
    let crates = workspace::root().join("crates");
    let published = packages.iter().filter(|package| package.manifest_path.starts_with(&crates));
    Ok(published.flat_map(|package| [shown(package), licenses(package), docsrs(package)].concat()).collect())
}

/// What crates.io asks for, or shows.
fn shown(package: &Package) -> Vec<String> {
    let lacks = [
        ("description", package.description.is_none()),
        ("license", package.license.is_none()),
        ("repository", package.repository.is_none()),
        ("readme", package.readme.is_none()),
        ("rust-version", package.rust_version.is_none()),
        ("keywords", package.keywords.is_empty()),
        ("categories", package.categories.is_empty()),
    ];
    let lacks = lacks.into_iter().filter(|(_, lacks)| *lacks);
    lacks.map(|(what, _)| format!("{} has no {what}", package.name)).collect()
}

fn licenses(package: &Package) -> Vec<String> {
    let folder = package.manifest_path.with_file_name("");
    let absent = LICENSES.iter().filter(|name| !folder.join(name).is_file());
    absent.map(|name| format!("{} has no {name}: link it to the workspace's", package.name)).collect()
}

/// Libraries are shown with all that docs.rs can build.
fn docsrs(package: &Package) -> Vec<String> {
    let is_library = |kinds: &[TargetKind]| kinds.contains(&TargetKind::Lib);
    if !package.targets.iter().any(|target| is_library(&target.kind)) {
        return Vec::new();
    }
    let told = &package.metadata["docs"]["rs"];
    let mut findings = Vec::new();
    if told["rustdoc-args"] != serde_json::json!(DOCSRS) {
        findings
            .push(format!("{} lacks rustdoc-args = {DOCSRS:?} in [package.metadata.docs.rs]", package.name));
    }
    let impossible = NOT_ON_DOCSRS.iter().find(|name| package.features.contains_key(**name));
    if let Some(name) = impossible
        && told["all-features"] == true
    {
        findings.push(format!("{} has all-features for docs.rs, which can't build {name}", package.name));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A package in the folder of xtask, which has no license's text.
    fn package(more: serde_json::Value) -> Package {
        let mut package = json!({
            "name": "a", "version": "1.0.0", "id": "a", "dependencies": [], "features": { "vendored": [] },
            "manifest_path": workspace::root().join("xtask/Cargo.toml"),
            "targets": [{ "name": "a", "kind": ["lib"], "crate_types": ["lib"], "src_path": "/a/src/lib.rs" }],
        });
        package.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(package).unwrap()
    }

    #[test]
    fn what_a_package_lacks_is_found() {
        let bare = package(json!({}));
        assert_eq!(shown(&bare).len(), 7, "{:?}", shown(&bare));
        assert_eq!(licenses(&bare).len(), 2);
        let whole = json!({
            "description": "A.", "license": "MIT", "repository": "https://a.example", "readme": "README.md",
            "rust_version": "1.95", "keywords": ["a"], "categories": ["b"],
        });
        assert!(shown(&package(whole)).is_empty());
    }

    #[test]
    fn what_docsrs_cannot_build_is_found() {
        let of = |rs: serde_json::Value| docsrs(&package(json!({ "metadata": { "docs": { "rs": rs } } })));
        assert_eq!(of(json!({ "all-features": true })).len(), 2);
        assert_eq!(of(json!({ "all-features": true, "rustdoc-args": DOCSRS })).len(), 1);
        assert!(of(json!({ "rustdoc-args": DOCSRS })).is_empty());
    }
}
