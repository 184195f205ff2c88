//! Debian's packages, where we are root and may install them.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Whether packages can be installed without asking anybody.
pub(crate) fn usable() -> bool {
    process::find("apt-get").is_some() && is_root()
}

/// Installs packages (updating the lists first).
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    eprintln!("installing Debian packages: {}", packages.join(" "));
    process::run(apt_get().args(["-qq", "update"]))?;
    process::run(apt_get().args(["-qq", "install", "-y", "--no-install-recommends"]).args(packages))
        .with_context(|| format!("Debian packages {}", packages.join(" ")))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether this program may do anything.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}
