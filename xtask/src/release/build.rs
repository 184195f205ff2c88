//! The gateway as a static binary of one target.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
};

use anyhow::{Result, ensure};

use crate::{group::Group, process, workspace};

/// What binaries are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// x86-64
    Amd64,
    /// ARM, 64 bits
    Arm64,
}

/// Beside the default ones. OpenSSL has to be linked in; musl's allocator is slow; and whoever wants traces builds nothing.
pub(super) const FEATURES: &str = "kafka-vendored,mimalloc,otel-tls";

/// Builds it; says where it is.
pub(super) fn gateway(target: Target, commit: Option<&str>) -> Result<PathBuf> {
    let lacking = "cargo-zigbuild is not on PATH: pip install cargo-zigbuild ziglang";
    ensure!(process::find("cargo-zigbuild").is_some(), "{lacking}");
    eprintln!("Building the gateway for {target} (many minutes from nothing)");
    let zig = |tool: &str| format!("cargo-zigbuild zig {tool} --");
    let mut command = workspace::cargo();
    command.args([
        "zigbuild",
        "--locked",
        "--release",
        "--package",
        "tidewater-gateway",
        "--bin",
        "tidewater",
    ]);
    command.args(["--target", target.triple(), "--features", FEATURES]);
    command
        // librdkafka's configure knows these names alone; whatever asks for the target's compiler is told by
        // cargo-zigbuild, and whatever is built for this machine by HOST_CC.
        .env("CC", format!("{} -target {}", zig("cc"), target.zig()))
        .env("CXX", format!("{} -target {}", zig("c++"), target.zig()))
        .env("AR", zig("ar"))
        .env("RANLIB", zig("ranlib"))
        .env("HOST_CC", env::var_os("HOST_CC").unwrap_or_else(|| "cc".into()))
        // Its shared library, which nobody takes, exports names that are not there.
        .env("LDFLAGS", "-Wl,--undefined-version")
        // What this machine has installed is of another target.
        .env("PKG_CONFIG", "false")
        // What backtraces name stays; the lines of the standard library go.
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .env("CARGO_ENCODED_RUSTFLAGS", remapped());
    match commit {
        Some(commit) => command.env("TIDEWATER_COMMIT", commit),
        None => command.env_remove("TIDEWATER_COMMIT"),
    };
    let status = Group::spawn(command.stdin(Stdio::null()))?.wait()?;
    ensure!(status.success(), "the gateway does not build: see above");
    Ok(workspace::target().join(target.triple()).join("release").join("tidewater"))
}

/// Panics name the places of their code: not where this machine keeps it. (Cargo names ours from the workspace's root.)
fn remapped() -> String {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    cargo.map(|cargo| format!("--remap-path-prefix={}=/cargo", cargo.display())).unwrap_or_default()
}

impl Target {
    pub(super) const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Rust's name of it.
    pub(super) const fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// zig's.
    const fn zig(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-musl",
            Self::Arm64 => "aarch64-linux-musl",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::triple);
        let found = Self::ALL.into_iter().find(|target| target.triple() == text);
        found.ok_or_else(|| format!("there are {}", known.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_known_by_rusts_name() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        assert!(
            "x86_64-pc-windows-msvc".parse::<Target>().unwrap_err().contains("aarch64-unknown-linux-musl")
        );
    }
}
