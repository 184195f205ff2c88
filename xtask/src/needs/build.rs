//! What compiles C: librdkafka (by the feature `kafka`) and ring (by `nats`).
//!
//! A C compiler that is here is tried: the linker that Rust needs is one by name, but without an assembler, headers or
//! `ar` it builds nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{Fix, Need, Part, State, first};
use crate::{process, workspace};

const LIBRDKAFKA: &str = "librdkafka is built with it";
const RING: &str = "ring and librdkafka are built with it";

/// By Debian's names, as the rows below.
#[cfg(test)]
pub(super) const PACKAGES: [&str; 6] = ["gcc", "g++", "make", "bash", "pkg-config", "libssl-dev"];

/// The rows of the table.
pub(super) fn needs(obtains: bool) -> Vec<Need> {
    let kafka = || vec![Part::Kafka, Part::OwnKafka];
    let all = vec![Part::Kafka, Part::OwnKafka, Part::Nats, Part::OwnNats];
    let row = |name, state, purpose, parts| Need { name, state, purpose, parts, builds: true };
    vec![
        row("C compiler", state(c(), "no C compiler", &["gcc"], obtains), RING, all),
        row("C++ compiler", cxx_compiler(obtains), LIBRDKAFKA, kafka()),
        row("make", state(program(&["make", "gmake"]), "no make", &["make"], obtains), LIBRDKAFKA, kafka()),
        row(
            "bash",
            state(program(&["bash"]), "no bash", &["bash"], obtains),
            "librdkafka's configure runs in it",
            kafka(),
        ),
        row(
            "OpenSSL",
            state(openssl(), "no OpenSSL with headers", &["pkg-config", "libssl-dev"], obtains),
            "Kafka's TLS is by it",
            kafka(),
        ),
    ]
}

/// The C++ compiler's state.
pub(super) fn cxx_compiler(obtains: bool) -> State {
    state(cxx(), "no C++ compiler", &["g++"], obtains)
}

/// Packages of what is not here.
pub(super) fn lacking() -> Vec<&'static str> {
    let mut packages = Vec::new();
    for need in needs(false) {
        if let State::Missing { fix: Fix::Packages(names), .. } = need.state {
            packages.extend(names);
        }
    }
    // What gcc alone does not bring: headers.
    if packages.contains(&"gcc") {
        packages.push("libc6-dev");
    }
    packages
}

/// Found (with where), not there at all, or there and of no use.
type Probed = Result<Option<String>>;

fn state(probed: Probed, why: &str, packages: &'static [&'static str], obtains: bool) -> State {
    match probed {
        Ok(Some(place)) => State::Found(place),
        Ok(None) | Err(_) if obtains => {
            State::Obtainable(format!("Debian's packages {}", packages.join(" ")))
        }
        Ok(None) => State::missing(why, packages),
        Err(error) => State::missing_as(why, format!("{error:#}"), packages),
    }
}

fn program(names: &[&str]) -> Probed {
    Ok(first(names).map(|place| place.display().to_string()))
}

fn c() -> Probed {
    let Some(compiler) = compiler("CC", "cc") else { return Ok(None) };
    compiles(
        &compiler,
        "probe.c",
        "#include <stdlib.h>\n#include <assert.h>\nint probe(void) { return 0; }\n",
    )?;
    if process::find(&env::var("AR").unwrap_or_else(|_| "ar".into())).is_none() {
        bail!("{} is here, and no ar", compiler.display());
    }
    Ok(Some(compiler.display().to_string()))
}

fn cxx() -> Probed {
    let Some(compiler) = compiler("CXX", "c++") else { return Ok(None) };
    compiles(&compiler, "probe.cpp", "#include <string>\nstd::string probe() { return \"\"; }\n")?;
    Ok(Some(compiler.display().to_string()))
}

/// What the build scripts would take: what the variable names (its first word), else the one of this name.
fn compiler(variable: &str, name: &str) -> Option<PathBuf> {
    let named = env::var(variable).ok().filter(|named| !named.trim().is_empty());
    process::find(named.as_deref().and_then(|named| named.split_whitespace().next()).unwrap_or(name))
}

/// Compiles a file of two lines to an object.
fn compiles(compiler: &Path, name: &str, text: &str) -> Result<()> {
    let folder = workspace::target().join("xtask").join(format!("probe-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(folder.join(name), text)?;
    let object = folder.join(name).with_extension("o");
    let tried =
        process::output(Command::new(compiler).arg("-c").arg(folder.join(name)).arg("-o").arg(&object));
    drop(fs::remove_dir_all(&folder));
    if let Err(error) = tried {
        // The compiler's own first complaint says more than its exit status.
        let text = format!("{error:#}");
        let told = text.lines().find(|line| line.contains("error")).unwrap_or_default();
        let told = told.rsplit("error: ").next().unwrap_or_default();
        bail!("{} compiles nothing: {}", compiler.display(), if told.is_empty() { &text } else { told });
    }
    Ok(())
}

/// OpenSSL's headers and library, where openssl-sys looks for them.
fn openssl() -> Probed {
    if let Some(dir) = env::var_os("OPENSSL_DIR") {
        return Ok(Some(format!("OPENSSL_DIR={}", dir.display())));
    }
    let brew = ["/opt/homebrew/opt/openssl@3", "/usr/local/opt/openssl@3"];
    if let Some(dir) = brew.iter().find(|dir| Path::new(dir).join("include/openssl/ssl.h").is_file()) {
        return Ok(Some((*dir).to_owned()));
    }
    let Some(pkg_config) = first(&["pkg-config", "pkgconf"]) else { bail!("no pkg-config, which finds it") };
    let version = process::output(Command::new(&pkg_config).args(["--modversion", "openssl"]));
    Ok(version.ok().map(|version| format!("OpenSSL {}, by {}", version.trim(), pkg_config.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_compiles_nothing_is_missing() {
        // A program that is here wherever these tests are built, and no C compiler.
        let told = compiles(Path::new(env!("CARGO")), "probe.c", "int probe;\n").unwrap_err();
        assert!(told.to_string().contains("compiles nothing"), "{told:#}");
        match state(Err(told), "no C compiler", &["gcc"], false) {
            State::Missing { why, detail, .. } => {
                assert!(why == "no C compiler" && detail.contains("compiles nothing"), "{why}: {detail}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_here_is_missing_or_obtainable() {
        let nothing = || program(&["no-such-program-as-this"]);
        assert!(
            matches!(state(nothing(), "no it", &["make"], true), State::Obtainable(how) if how.contains("make"))
        );
        assert!(
            matches!(state(nothing(), "no it", &["make"], false), State::Missing { why, .. } if why == "no it")
        );
    }
}
