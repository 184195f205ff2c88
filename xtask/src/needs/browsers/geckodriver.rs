//! geckodriver: found, or built by cargo. Debian 12 has no package of it.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::is_snap;
use crate::{
    needs::{State, first, named},
    process, workspace,
};

pub(super) const VARIABLE: &str = "TIDEWATER_GECKODRIVER";

/// Built where none is found.
const VERSION: &str = "0.37.1";

/// geckodriver: named by its variable, on PATH, or built before.
pub(super) fn locate() -> Option<PathBuf> {
    let on_path = || first(&["geckodriver"]).filter(|file| !is_snap(file));
    let built = || Some(built()).filter(|file| file.is_file());
    named(VARIABLE).or_else(on_path).or_else(built)
}

/// The row of the table; `firefox` says whether there is or will be something to drive.
pub(super) fn state(firefox: bool) -> State {
    match locate() {
        Some(place) => State::Found(place.display().to_string()),
        None if firefox => State::Obtainable(format!("cargo install geckodriver@{VERSION}")),
        None => State::Unneeded("not needed: it would drive Firefox".into()),
    }
}

/// Finds it, or builds it. Other runs of this wait for one another: cargo locks the folder.
pub(crate) fn provide() -> Result<()> {
    if locate().is_some() {
        return Ok(());
    }
    eprintln!("\nBuilding geckodriver {VERSION} (about a minute, once)");
    let mut install = workspace::cargo();
    // Not optimized: it hands commands on, and is built in less time.
    install.args(["install", "--quiet", "--locked", "--debug", "--config", "profile.dev.debug=false"]);
    install.arg("--root").arg(folder()).arg(format!("geckodriver@{VERSION}"));
    process::run(&mut install)
        .with_context(|| format!("geckodriver cannot be built; name one by {VARIABLE}"))?;
    ensure!(built().is_file(), "`cargo install` brought no {}", built().display());
    Ok(())
}

fn built() -> PathBuf {
    folder().join("bin").join("geckodriver").with_extension(std::env::consts::EXE_EXTENSION)
}

fn folder() -> PathBuf {
    workspace::target().join("tools").join(format!("geckodriver-{VERSION}"))
}
