//! Checks of single files: length, `unsafe`, inherited lints.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::code;
use crate::workspace;

/// A file past this says more than one thing.
const MOST_LINES: usize = 600;
/// The one module with unsafe code: topic ids, which rdkafka has no safe call for.
const UNSAFE_MODULE: &str = "crates/tidewater-kafka/src/topic_ids.rs";
/// Folders with Rust code of ours.
const FOLDERS: [&str; 5] = ["crates", "examples", "fuzz", "tests", "xtask"];

/// No `.rs` file past 600 lines, `unsafe` in one module only.
pub(super) fn check_files() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (name, path) in files("rs")? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        findings.extend(length(&name, &text));
        findings.extend(unsafe_code(&name, &text));
    }
    Ok(findings)
}

/// Every manifest says `[lints] workspace = true`.
pub(super) fn check_lints() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (name, path) in files("toml")? {
        if name.ends_with("/Cargo.toml") {
            findings.extend(lints(&name, &fs::read_to_string(path)?));
        }
    }
    Ok(findings)
}

fn length(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MOST_LINES).then(|| format!("{name} has {lines} lines: split it ({MOST_LINES} at most)"))
}

fn unsafe_code(name: &str, text: &str) -> Vec<String> {
    if name == UNSAFE_MODULE {
        return Vec::new();
    }
    let code = code::without_comments_and_strings(text);
    let lines = code.lines().enumerate();
    let found = lines.filter(|(_, line)| words(line).any(|word| word == "unsafe") || allows_unsafe(line));
    found.map(|(at, _)| format!("{name}:{} has unsafe code: only {UNSAFE_MODULE} may", at + 1)).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn allows_unsafe(line: &str) -> bool {
    words(line).any(|word| word == "unsafe_code")
        && words(line).any(|word| word == "allow" || word == "expect")
}

fn lints(name: &str, text: &str) -> Option<String> {
    let (_, section) = text.split_once("\n[lints]\n").unwrap_or_default();
    let inherits = section.lines().take_while(|line| !line.starts_with('[')).any(|line| {
        let line: String = line.split_whitespace().collect();
        line == "workspace=true"
    });
    // A virtual manifest has no code, and so no lints to inherit.
    let is_package = text.lines().any(|line| line.trim() == "[package]");
    (is_package && !inherits).then(|| format!("{name} lacks `[lints]` with `workspace = true`"))
}

/// All files of ours with this extension: their names from the workspace's root, with `/`, and their paths.
fn files(extension: &str) -> Result<Vec<(String, PathBuf)>> {
    let root = workspace::root();
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push((name(&root, &path), path));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn name(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        assert!(length("a.rs", &"x\n".repeat(600)).is_none());
        assert!(length("a.rs", &"x\n".repeat(601)).is_some());
    }

    #[test]
    fn unsafe_code_is_found_outside_its_module() {
        let text = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(
            unsafe_code("crates/x/src/lib.rs", text),
            ["crates/x/src/lib.rs:2 has unsafe code: only crates/tidewater-kafka/src/topic_ids.rs may"]
        );
        assert!(unsafe_code(UNSAFE_MODULE, text).is_empty());
        assert_eq!(unsafe_code("a.rs", "#![allow(unsafe_code)]").len(), 1);
        assert!(unsafe_code("a.rs", "#![deny(unsafe_code)] // unsafe\nlet a = \"unsafe\";").is_empty());
    }

    #[test]
    fn a_manifest_that_inherits_no_lints_is_found() {
        assert!(lints("a", "[package]\nname = 'a'\n\n[lints]\nworkspace = true\n").is_none());
        assert!(lints("a", "[package]\nname = 'a'\n\n[lints]\n\n[x]\nworkspace = true\n").is_some());
        assert!(lints("a", "[package]\nname = 'a'\n").is_some());
        assert!(lints("a", "[workspace]\n").is_none());
    }

    #[test]
    fn files_are_found() {
        let files = files("rs").unwrap();
        assert!(files.iter().any(|(name, _)| name == "xtask/src/tidy/sources.rs"));
    }
}
