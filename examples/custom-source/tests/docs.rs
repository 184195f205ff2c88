//! The code in the documentation is code that is built: each block stands somewhere in the examples.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The text of every Rust file below a folder.
fn sources(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The blocks of Rust in a page of Markdown.
fn blocks(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let blocks = text.split("```rust\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_block_of_rust_stands_in_an_example() {
    let mut code = Vec::new();
    sources(&root().join("examples"), &mut code);
    for page in ["README.md", "docs/adapters.md"] {
        let blocks = blocks(page);
        assert!(!blocks.is_empty(), "{page} has no code");
        for block in blocks {
            assert!(code.iter().any(|file| file.contains(&block)), "{page} has code of its own:\n{block}");
        }
    }
}
