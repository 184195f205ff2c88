//! What `cargo xtask test` tells the tests by environment variables.
//!
//! A test that needs one of these is ignored by default. One that is run all the same without it fails and says what
//! to do: it never passes without having tested anything.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The real Kafka's bootstrap server, `127.0.0.1:PORT`.
///
/// # Errors
/// If `TIDEWATER_TEST_KAFKA` is not set.
pub fn kafka() -> Result<String> {
    variable("TIDEWATER_TEST_KAFKA", "a real Kafka, as 127.0.0.1:PORT")
}

/// The real nats-server, `nats://127.0.0.1:PORT`, with JetStream.
///
/// # Errors
/// If `TIDEWATER_TEST_NATS` is not set.
pub fn nats() -> Result<String> {
    variable("TIDEWATER_TEST_NATS", "a real nats-server, as nats://127.0.0.1:PORT")
}

/// The binary of nats-server, for tests that break one of their own.
///
/// # Errors
/// If `TIDEWATER_NATS` is not set or no file.
pub fn nats_server() -> Result<PathBuf> {
    binary("TIDEWATER_NATS", "the binary of nats-server")
}

/// The folder of Kafka's jars, for tests that run brokers of their own.
///
/// # Errors
/// If `TIDEWATER_KAFKA` is not set or holds none.
pub fn kafka_libs() -> Result<PathBuf> {
    let folder = PathBuf::from(variable("TIDEWATER_KAFKA", "the folder of a Kafka distribution")?);
    let libs = ["libs", "lib"].map(|name| folder.join(name)).into_iter().find(|libs| libs.is_dir());
    libs.with_context(|| format!("TIDEWATER_KAFKA={} holds no libs/ or lib/", folder.display()))
}

/// The gateway's binary.
///
/// # Errors
/// If `TIDEWATER_BIN` is not set or no file.
pub fn gateway() -> Result<PathBuf> {
    binary("TIDEWATER_BIN", "the gateway's binary")
}

/// The binary of xtask, which starts and kills brokers.
///
/// # Errors
/// If `TIDEWATER_XTASK` is not set or no file.
pub fn xtask() -> Result<PathBuf> {
    binary("TIDEWATER_XTASK", "xtask's binary")
}

/// Chromium's program, if `TIDEWATER_CHROMIUM` names one.
pub fn chromium() -> Option<String> {
    named("TIDEWATER_CHROMIUM")
}

/// ChromeDriver: what `TIDEWATER_CHROMEDRIVER` names, else the one on PATH.
pub fn chromedriver() -> String {
    named("TIDEWATER_CHROMEDRIVER").unwrap_or_else(|| "chromedriver".to_owned())
}

/// Firefox's program, if `TIDEWATER_FIREFOX` names one.
pub fn firefox() -> Option<String> {
    named("TIDEWATER_FIREFOX")
}

/// geckodriver: what `TIDEWATER_GECKODRIVER` names, else the one on PATH.
pub fn geckodriver() -> String {
    named("TIDEWATER_GECKODRIVER").unwrap_or_else(|| "geckodriver".to_owned())
}

/// The folder whose `node_modules` holds the packages of `tests/npm`.
///
/// # Errors
/// If `TIDEWATER_NPM` is not set.
pub fn npm() -> Result<PathBuf> {
    variable("TIDEWATER_NPM", "packages from npm").map(PathBuf::from)
}

/// nginx's program.
///
/// # Errors
/// If `TIDEWATER_NGINX` is not set or no file.
pub fn nginx() -> Result<PathBuf> {
    binary("TIDEWATER_NGINX", "nginx's program")
}

/// HAProxy's program.
///
/// # Errors
/// If `TIDEWATER_HAPROXY` is not set or no file.
pub fn haproxy() -> Result<PathBuf> {
    binary("TIDEWATER_HAPROXY", "HAProxy's program")
}

fn binary(name: &str, what: &str) -> Result<PathBuf> {
    let path = PathBuf::from(variable(name, what)?);
    ensure!(path.is_file(), "{name}={} is no file; it should be {what}", path.display());
    Ok(path)
}

fn variable(name: &str, what: &str) -> Result<String> {
    named(name).with_context(|| format!("this test needs {what}, named by {name}: run `cargo xtask test`"))
}

fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}
