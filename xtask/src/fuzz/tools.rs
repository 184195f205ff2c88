//! What fuzzing needs: a nightly compiler (for coverage), cargo-fuzz, and C++ (libFuzzer is built with it).

use std::{fmt, process::Command};

use crate::{
    needs::{self, State},
    process, workspace,
};

/// A thing that is not here.
#[derive(Debug)]
pub(super) struct Lack {
    what: String,
    /// How it is got.
    fix: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<22} {}", self.what, self.fix)
    }
}

/// The nightly toolchain to use, if all that is needed is here.
pub(super) fn find() -> Result<String, Vec<Lack>> {
    let listed = process::output(Command::new("rustup").args(["toolchain", "list"])).ok();
    let toolchain = listed.as_deref().and_then(nightly);
    let fuzz = match &toolchain {
        Some(toolchain) => process::output(cargo_fuzz(toolchain).arg("--version")).is_ok(),
        None => process::find("cargo-fuzz").is_some(),
    };

    let mut lacking = Vec::new();
    let mut lack = |what: &str, fix: &str| lacking.push(Lack { what: what.into(), fix: fix.into() });
    if listed.is_none() {
        lack("rustup", "see https://rustup.rs: it keeps a nightly toolchain beside the stable one");
    }
    if toolchain.is_none() {
        lack("a nightly toolchain", "rustup toolchain install nightly --profile minimal");
    }
    if !fuzz {
        lack("cargo-fuzz", "cargo install --locked cargo-fuzz");
    }
    if let State::Missing { why, detail, fix } = needs::cxx_compiler() {
        let why = if detail.is_empty() { why } else { detail };
        lack("a C++ compiler", &format!("{why}{fix}"));
    }
    match toolchain {
        Some(toolchain) if lacking.is_empty() => Ok(toolchain),
        _ => Err(lacking),
    }
}

/// `cargo fuzz` of a toolchain, in the workspace's root.
pub(super) fn cargo_fuzz(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(workspace::root()).args(["run", toolchain, "cargo", "fuzz"]);
    // The cargo that built this program, which cargo-fuzz would take for the toolchain's.
    command.env_remove("CARGO");
    command
}

/// The newest toolchain of rustup's list that is a nightly: the one without a date, or else that of the last date.
fn nightly(listed: &str) -> Option<String> {
    let mut names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly-"))
        .collect();
    // Letters sort behind digits, and dates by their age.
    names.sort_unstable();
    names.last().map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_nightly_is_taken() {
        let listed = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                      nightly-2025-01-01-x86_64-unknown-linux-gnu\n\
                      nightly-2026-05-20-x86_64-unknown-linux-gnu\n\
                      1.95.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(nightly(listed).as_deref(), Some("nightly-2026-05-20-x86_64-unknown-linux-gnu"));
        let undated = format!("nightly-aarch64-apple-darwin (override)\n{listed}");
        assert_eq!(nightly(&undated).as_deref(), Some("nightly-aarch64-apple-darwin"));
        assert_eq!(nightly("stable-aarch64-apple-darwin\n"), None);
    }

    #[test]
    fn a_lack_says_what_brings_it() {
        let lack = Lack { what: "cargo-fuzz".into(), fix: "cargo install --locked cargo-fuzz".into() };
        assert_eq!(lack.to_string(), "cargo-fuzz             cargo install --locked cargo-fuzz");
    }
}
