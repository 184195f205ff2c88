//! What `tidewater --version` tells of its build: the target and the compiler, which cargo tells to build scripts alone.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=TIDEWATER_TARGET={target}");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(rustc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    println!("cargo::rustc-env=TIDEWATER_RUSTC={}", String::from_utf8_lossy(&told).trim());
}
