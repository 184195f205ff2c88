//! `cargo xtask release`: what is handed out of a version, as static Linux binaries.
//!
//! ```text
//! target/xtask/release/tidewater-0.1.0-x86_64-unknown-linux-musl.tar.gz
//! target/xtask/release/tidewater-0.1.0-aarch64-unknown-linux-musl.tar.gz
//! target/xtask/release/SHA256SUMS
//! ```
//!
//! musl, because a binary with glibc inside still wants the system's glibc for names and users. zig compiles the C parts for
//! each target and links, so that no target needs a toolchain of its own.

mod archive;
mod build;
mod notices;

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

use self::{
    archive::{Archive, checksums},
    build::Target,
};
use crate::{group, process, workspace};

/// Arguments of `cargo xtask release`.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask release                                       both targets, with their checksums
  cargo xtask release --target aarch64-unknown-linux-musl   one of them
  cargo xtask release --binary --target x86_64-unknown-linux-musl --output /out
      the binary alone, as the Dockerfile wants it

Needs: rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
       pip install cargo-zigbuild ziglang
       make, perl, bash and a C compiler (OpenSSL and librdkafka are built from source)

Who packs an archive, and when, is not in it; the folder of the build is in OpenSSL. TIDEWATER_COMMIT and
SOURCE_DATE_EPOCH are git's, unless they are set.")]
pub(crate) struct Args {
    /// For which target (repeatable); all of them, if none is named.
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<Target>,
    /// The binary alone, without an archive: for one target.
    #[arg(long)]
    binary: bool,
    /// Where to put it; target/xtask/release, if it is not said.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs `cargo xtask release`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let targets = if args.targets.is_empty() { &Target::ALL[..] } else { &args.targets };
    ensure!(!args.binary || targets.len() == 1, "--binary is for one target: --target {}", Target::ALL[0]);
    group::catch_interrupts()?;
    let folder = args.output.clone().unwrap_or_else(|| workspace::target().join("xtask").join("release"));
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let commit = git("TIDEWATER_COMMIT", &["rev-parse", "HEAD"]);
    if !args.binary {
        // Told before what takes long.
        time()?;
    }
    let mut archives = Vec::new();
    for target in targets {
        let binary = build::gateway(*target, commit.as_deref())?;
        if args.binary {
            let to = folder.join("tidewater");
            fs::copy(&binary, &to).with_context(|| to.display().to_string())?;
            println!("{}", to.display());
            return Ok(ExitCode::SUCCESS);
        }
        let (time, notices) = (time()?, notices::of(*target)?);
        archives.push(Archive { target: *target, binary, notices, time }.write(&folder)?);
    }
    checksums(&folder, &archives)?;
    Ok(ExitCode::SUCCESS)
}

/// When all files of an archive were changed, in seconds since 1970: when the commit was made.
fn time() -> Result<u64> {
    let time = git("SOURCE_DATE_EPOCH", &["log", "-1", "--format=%ct"]);
    let time = time.and_then(|time| time.parse().ok());
    time.context("there is no commit here: set SOURCE_DATE_EPOCH, in seconds")
}

/// What the environment says, else git.
fn git(variable: &str, args: &[&str]) -> Option<String> {
    let said = env::var(variable).ok().filter(|said| !said.is_empty());
    said.or_else(|| {
        let told = process::output(Command::new("git").current_dir(workspace::root()).args(args)).ok()?;
        Some(told.trim().to_owned())
    })
}
