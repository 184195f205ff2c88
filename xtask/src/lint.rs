//! `cargo xtask lint`: clippy and rustdoc, with every feature that is built here and with none.
//!
//! With `--all-features` they would want Kerberos' headers and build OpenSSL from source, for code that has no line
//! more.

use std::{
    process::{ExitCode, Stdio},
    time::Instant,
};

use anyhow::Result;

use crate::{
    group::{self, Group},
    selection::Selection,
    workspace,
};

/// Packages that have features to be without.
const LEAN: [&str; 4] = ["tidewater", "tidewater-gateway", "tidewater-sse", "tidewater-tests"];

/// Runs `cargo xtask lint`.
pub(crate) fn run() -> Result<ExitCode> {
    group::catch_interrupts()?;
    let selection = Selection::new(true, true)?;
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "--quiet", "--all-targets"]);
    selection.select(&mut clippy, &[])?;
    clippy.args(["--", "-D", "warnings"]);

    let mut lean = workspace::cargo();
    lean.args(["clippy", "--quiet", "--all-targets", "--no-default-features"]);
    lean.args(LEAN.iter().flat_map(|name| ["--package", name])).args(["--", "-D", "warnings"]);

    let mut doc = workspace::cargo();
    doc.args(["doc", "--quiet", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    selection.select(&mut doc, &[])?;

    for (name, mut command) in [("clippy", clippy), ("clippy without features", lean), ("rustdoc", doc)] {
        let start = Instant::now();
        let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
        println!(
            "{} {name} ({} s)",
            if status.success() { "ok  " } else { "FAIL" },
            start.elapsed().as_secs()
        );
        if !status.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
