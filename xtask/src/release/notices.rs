//! The licenses of what is linked in, which want their texts to come along.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cargo_metadata::{CargoOpt, MetadataCommand, Package};

use super::build::{FEATURES, Target};
use crate::{process, workspace};

/// What names of such files begin with.
const NAMES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];
/// Where C libraries lie in the packages that build them.
const LIBRARIES: [&str; 6] = [".", "c_src/mimalloc", "librdkafka", "openssl", "src/zlib", "zstd"];

/// All of them, a chapter for each package.
pub(super) fn of(target: Target) -> Result<String> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), target.triple().to_owned()])
        .exec()
        .context("cargo metadata")?;
    let linked = linked(target)?;
    let mut packages: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some())
        .filter(|package| linked.contains(&format!("{} v{}", package.name, package.version)))
        .collect();
    packages.sort_by_key(|package| (&package.name, &package.version));
    let mut text =
        "tidewater is MIT or Apache-2.0. Linked into it are musl (MIT) and Rust's standard library (MIT or \
                    Apache-2.0), and these:\n"
            .to_owned();
    for package in packages {
        chapter(package, &mut text)?;
    }
    Ok(text)
}

/// `name vVERSION` of all packages in the build, and of those that build C for it.
fn linked(target: Target) -> Result<BTreeSet<String>> {
    let mut command = workspace::cargo();
    command.args(["tree", "--quiet", "--locked", "--package", "tidewater-gateway", "--features", FEATURES]);
    command.args(["--target", target.triple(), "--edges", "normal,build", "--prefix", "none"]);
    let tree = process::output(&mut command)?;
    let name = |line: &str| Some(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    Ok(tree.lines().filter_map(name).collect())
}

fn chapter(package: &Package, text: &mut String) -> Result<()> {
    let license = package.license.as_deref().unwrap_or("see below");
    _ = write!(text, "\n\n==== {} {} ({license})\n", package.name, package.version);
    let folder = package.manifest_path.with_file_name("");
    for library in LIBRARIES {
        for file in texts(&folder.as_std_path().join(library))? {
            let said = fs::read(&file).with_context(|| file.display().to_string())?;
            _ = write!(text, "\n{}\n", String::from_utf8_lossy(&said).trim_end());
        }
    }
    Ok(())
}

/// The files of licenses in this folder, if there is one.
fn texts(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let is_one = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        path.is_file() && NAMES.iter().any(|begins| name.starts_with(begins))
    };
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| is_one(path));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_has_the_texts_of_the_package_and_of_the_library_in_it() {
        let folder = std::env::temp_dir().join(format!("xtask-notices-{}", std::process::id()));
        for (file, said) in [
            ("LICENSE", "the package\n"),
            ("librdkafka/LICENSES.txt", "the library\n"),
            ("librdkafka/src/license.c", "no license\n"),
            ("README.md", "none either\n"),
        ] {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), said).unwrap();
        }
        let package = serde_json::json!({
            "name": "rdkafka-sys", "version": "4.10.0", "id": "a", "license": "MIT", "dependencies": [], "features": {},
            "manifest_path": folder.join("Cargo.toml"), "targets": [],
        });
        let mut text = String::new();
        chapter(&serde_json::from_value(package).unwrap(), &mut text).unwrap();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(text, "\n\n==== rdkafka-sys 4.10.0 (MIT)\n\nthe package\n\nthe library\n");
    }
}
