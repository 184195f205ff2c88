//! A file of settings.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{fs, path::PathBuf};

/// A file in a directory of the tests.
pub(crate) struct File(pub(crate) PathBuf);

impl File {
    /// Of this name, which no other test has.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let file = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
        file.write(text);
        file
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}
