//! What the tests need and where it is: the table at the head of `cargo xtask test`.

use std::{fmt, path::PathBuf, process::Command};

use crate::{apt, process, services};

/// One thing that is needed.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) name: &'static str,
    pub(crate) state: State,
}

/// Where a needed thing is.
#[derive(Debug)]
pub(crate) enum State {
    /// It is here.
    Found(String),
    /// It is not here, but this run can get it; says how.
    Obtainable(String),
    /// It is neither here nor to be had; says what to do.
    Missing(String),
}

impl Need {
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.state, State::Missing(_))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.state {
            State::Found(text) => ("found", text),
            State::Obtainable(text) => ("to get", text),
            State::Missing(text) => ("MISSING", text),
        };
        write!(f, "  {:<16} {word:<8} {text}", self.name)
    }
}

/// Looks for everything that the tests need. Quick: starts no build and no download.
pub(crate) fn probe() -> Vec<Need> {
    let mut needs = vec![
        tool("C compiler", &["cc", "gcc", "clang"], "gcc", "librdkafka is built with it"),
        tool("make", &["make", "gmake"], "make", "librdkafka is built with it"),
    ];
    needs.extend(services::needs());
    needs.push(browser("browser", browser::CHROMIUM, "chromium"));
    needs.push(browser("ChromeDriver", browser::DRIVER, "chromium-driver"));
    needs
}

fn tool(name: &'static str, programs: &[&str], package: &str, why: &str) -> Need {
    let state = match first(programs) {
        Some(place) => State::Found(place.display().to_string()),
        None if apt::usable() => State::Obtainable(format!("Debian's package {package}")),
        None => State::Missing(format!("{why}; install: {}", install_command(package))),
    };
    Need { name, state }
}

fn browser(name: &'static str, programs: &[&str], package: &str) -> Need {
    tool(name, programs, package, "the browser tests drive it")
}

fn first(programs: &[&str]) -> Option<PathBuf> {
    programs.iter().find_map(|program| process::find(program))
}

/// The one command that installs a package on this system.
pub(crate) fn install_command(package: &str) -> String {
    if cfg!(target_os = "macos") {
        format!("brew install {package}")
    } else {
        format!("sudo apt-get install {package}")
    }
}

/// Installs the packages that the table promised to get and that nothing else brings.
pub(crate) fn obtain_packages() -> anyhow::Result<()> {
    let wanted: Vec<&str> = [
        (["cc", "gcc", "clang"].as_slice(), "gcc"),
        (&["make", "gmake"], "make"),
        (browser::CHROMIUM, "chromium"),
        (browser::DRIVER, "chromium-driver"),
    ]
    .into_iter()
    .filter(|(programs, _)| first(programs).is_none())
    .map(|(_, package)| package)
    .collect();
    if wanted.is_empty() { Ok(()) } else { apt::install(&wanted) }
}

/// The browser and its driver.
pub(crate) mod browser {
    use super::{Command, first, process};

    pub(super) const CHROMIUM: &[&str] =
        &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    pub(super) const DRIVER: &[&str] = &["chromedriver"];

    /// The versions of both, e.g. `Chromium 142.0.7444.59, ChromeDriver 142.0.7444.59`.
    pub(crate) fn versions() -> String {
        let versions: Vec<String> = [CHROMIUM, DRIVER]
            .into_iter()
            .filter_map(first)
            .filter_map(|program| process::output(Command::new(program).arg("--version")).ok())
            .filter_map(|text| short(&text))
            .collect();
        if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
    }

    /// The name and the number, without the build's hash and platform.
    pub(super) fn short(text: &str) -> Option<String> {
        let line = text.lines().find(|line| line.contains("Chrom"))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = words.iter().position(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        Some(words[..=number].join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_versions() {
        let driver = "ChromeDriver 142.0.7444.59 (4b8153ab-refs/branch-heads/7444@{#2})\n";
        assert_eq!(browser::short(driver).as_deref(), Some("ChromeDriver 142.0.7444.59"));
        let chromium = "Chromium 142.0.7444.59 built on Debian GNU/Linux 12 (bookworm)\n";
        assert_eq!(browser::short(chromium).as_deref(), Some("Chromium 142.0.7444.59"));
    }

    #[test]
    fn a_missing_thing_names_its_command() {
        let need = tool("it", &["no-such-program-as-this"], "it", "it is needed");
        match need.state {
            State::Obtainable(how) => assert!(how.contains("package it")),
            State::Missing(what) => assert!(what.contains("install it")),
            State::Found(place) => panic!("found {place}"),
        }
    }
}
