//! The licenses of what is linked in, which want their texts to come along.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{CargoOpt, MetadataCommand, Package};

use super::build::{FEATURES, Target};
use crate::{process, workspace};

/// What names of such files begin with.
const NAMES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];
/// Where C libraries lie in the packages that build them.
const LIBRARIES: [&str; 6] = [".", "c_src/mimalloc", "librdkafka", "openssl", "src/zlib", "zstd"];

/// The C library's own, which no package brings.
const MUSL: &str = "\
Copyright © 2005-2020 Rich Felker, et al.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";

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
    let mut text = "tidewater is MIT or Apache-2.0. Linked into it are Rust's standard library (MIT or Apache-2.0), and these:\n"
        .to_owned();
    let apache = workspace::root().join("LICENSE-APACHE");
    let apache = fs::read_to_string(&apache).with_context(|| apache.display().to_string())?;
    for package in packages {
        chapter(package, &apache, &mut text)?;
    }
    _ = write!(text, "\n\n==== musl (MIT)\n\n{MUSL}");
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

fn chapter(package: &Package, apache: &str, text: &mut String) -> Result<()> {
    let license = package.license.as_deref().unwrap_or("see below");
    _ = write!(text, "\n\n==== {} {} ({license})\n", package.name, package.version);
    let folder = package.manifest_path.with_file_name("");
    let begins = text.len();
    for library in LIBRARIES {
        for file in texts(&folder.as_std_path().join(library))? {
            let said = fs::read(&file).with_context(|| file.display().to_string())?;
            _ = write!(text, "\n{}\n", String::from_utf8_lossy(&said).trim_end());
        }
    }
    if text.len() == begins {
        // Some leave it out of their package. That of Apache is the same for all; MIT's names who has the copyright.
        let is_apache = license.contains("Apache-2.0");
        ensure!(is_apache, "{} {} ({license}) brings no text of its license", package.name, package.version);
        _ = write!(text, "\n{}\n", apache.trim_end());
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
        let text = told(&folder, "MIT").unwrap();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(text, "\n\n==== a 1.0.0 (MIT)\n\nthe package\n\nthe library\n");
    }

    #[test]
    fn a_package_without_a_text_has_the_one_that_is_the_same_for_all_or_is_an_error() {
        let folder = Path::new("/nowhere");
        assert_eq!(told(folder, "Apache-2.0").unwrap(), "\n\n==== a 1.0.0 (Apache-2.0)\n\nthe same\n");
        assert!(told(folder, "MIT").unwrap_err().to_string().starts_with("a 1.0.0 (MIT)"));
    }

    fn told(folder: &Path, license: &str) -> Result<String> {
        let package = serde_json::json!({
            "name": "a", "version": "1.0.0", "id": "a", "license": license, "dependencies": [], "features": {},
            "manifest_path": folder.join("Cargo.toml"), "targets": [],
        });
        let mut text = String::new();
        chapter(&serde_json::from_value(package).unwrap(), "the same\n", &mut text)?;
        Ok(text)
    }
}
