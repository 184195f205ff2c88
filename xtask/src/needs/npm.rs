//! Packages from npm that the browser tests load (frameworks, a checker of accessibility): installed from the lock file
//! of `tests/npm` into the target folder, without running anything of theirs.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result};

use super::{Need, Part, State, first};
use crate::{process, workspace};

/// The folder whose `node_modules` holds them.
const VARIABLE: &str = "TIDEWATER_NPM";

/// What says which they are.
const MANIFESTS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// The row of the table.
pub(super) fn need(obtains: bool) -> Need {
    let state = match (usable(), first(&["npm"])) {
        (Some(folder), _) => State::Found(folder.display().to_string()),
        (None, Some(npm)) => State::Obtainable(format!("{} ci, from tests/npm", npm.display())),
        (None, None) if obtains => State::Obtainable("Debian's package npm".into()),
        (None, None) => State::missing("no npm", &["npm"]),
    };
    let purpose = "it installs what browser tests load beside Tidewater";
    Need { name: "npm", state, purpose, parts: vec![Part::Npm], builds: false }
}

/// Packages of what is not here.
pub(super) fn lacking() -> Option<&'static str> {
    (usable().is_none() && first(&["npm"]).is_none()).then_some("npm")
}

/// What the tests are told, if it is here.
pub(super) fn exports() -> Option<(&'static str, PathBuf)> {
    Some((VARIABLE, locate()?))
}

/// Finds them, or installs them: some seconds, once for each lock file.
pub(crate) fn provide() -> Result<()> {
    if locate().is_some() {
        return Ok(());
    }
    let npm = first(&["npm"]).context("no npm")?;
    let folder = folder()?;
    eprintln!("\nInstalling tests/npm/package.json into {}", folder.display());
    // Aside until it is whole: another run of this may do the same.
    let fresh = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    for name in MANIFESTS {
        fs::copy(manifests().join(name), fresh.join(name)).with_context(|| format!("tests/npm/{name}"))?;
    }
    let mut install = Command::new(npm);
    install.current_dir(&fresh).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let installed = process::run(&mut install).context("the packages of tests/npm cannot be installed");
    let installed = installed.and_then(|()| match fs::rename(&fresh, &folder) {
        Err(error) if !folder.is_dir() => Err(error).context("cannot put the packages in their place"),
        _ => Ok(()),
    });
    drop(fs::remove_dir_all(&fresh));
    installed
}

/// Where they are, if there is what runs those of them that are programs.
fn usable() -> Option<PathBuf> {
    first(&["node"]).and_then(|_| locate())
}

/// Where they are: named by the variable, or installed before.
fn locate() -> Option<PathBuf> {
    let named = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let installed = folder().ok();
    [named, installed].into_iter().flatten().find(|folder| folder.join("node_modules").is_dir())
}

/// The target folder's own, of these very manifests.
fn folder() -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    for name in MANIFESTS {
        fs::read(manifests().join(name)).with_context(|| format!("tests/npm/{name}"))?.hash(&mut hasher);
    }
    Ok(workspace::target().join("tools").join(format!("npm-{:016x}", hasher.finish())))
}

fn manifests() -> PathBuf {
    workspace::root().join("tests").join("npm")
}
