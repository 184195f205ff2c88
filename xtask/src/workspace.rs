//! Where things are: the workspace's root, its target folder, the cargo that runs us.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use cargo_metadata::{MetadataCommand, Package};

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Cargo's target folder; `CARGO_TARGET_DIR` moves it.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The same cargo that built this program, standing in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The workspace's own packages, as their manifests say.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let manifest = root().join("Cargo.toml");
    let metadata =
        MetadataCommand::new().manifest_path(manifest).no_deps().exec().context("cargo metadata")?;
    Ok(metadata.packages)
}

/// Puts a binary that cargo has just built (`target/debug/NAME`) aside, as `target/xtask/PURPOSE/NAME`: the next build
/// with other features replaces it where it was.
pub(crate) fn aside(name: &str, purpose: &str) -> Result<PathBuf> {
    aside_from("debug", name, purpose)
}

/// The same, of another profile (`target/PROFILE/NAME`).
pub(crate) fn aside_from(profile: &str, name: &str, purpose: &str) -> Result<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    let built = target().join(profile).join(&file);
    let folder = target().join("xtask").join(purpose);
    let aside = folder.join(&file);
    // A new file, not new bytes in the old one: somebody may be running that.
    let fresh = folder.join(format!("{file}.{}", std::process::id()));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(&built, &fresh))
        .and_then(|_| fs::rename(&fresh, &aside))
        .with_context(|| format!("cannot copy {} to {}", built.display(), aside.display()))?;
    Ok(aside)
}
