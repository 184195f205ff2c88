//! Other people's packages from npm, which pages under test load; `tests/npm` says which.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::env;

/// The folder of an installed package, e.g. of `axe-core`.
///
/// # Errors
/// If it is not installed.
pub fn package(name: &str) -> Result<PathBuf> {
    let folder = env::npm()?.join("node_modules").join(name);
    ensure!(folder.is_dir(), "tests/npm/package.json has no {name} (no {})", folder.display());
    Ok(folder)
}
