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

/// A program that is needed, under any of its names, and the package that brings it.
struct Tool {
    name: &'static str,
    programs: &'static [&'static str],
    package: &'static str,
    why: &'static str,
}

/// librdkafka is C with a C++ part that its build always makes.
const COMPILERS: [Tool; 3] = [
    Tool { name: "C compiler", programs: &["cc", "gcc", "clang"], package: "gcc", why: LIBRDKAFKA },
    Tool { name: "C++ compiler", programs: &["c++", "g++", "clang++"], package: "g++", why: LIBRDKAFKA },
    Tool { name: "make", programs: &["make", "gmake"], package: "make", why: LIBRDKAFKA },
];
const LIBRDKAFKA: &str = "librdkafka is built with it";

const BROWSER: [Tool; 2] = [
    Tool {
        name: "browser",
        programs: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
        package: "chromium",
        why: "the browser tests drive it",
    },
    Tool {
        name: "ChromeDriver",
        programs: &["chromedriver"],
        package: "chromium-driver",
        why: "the browser tests drive Chromium with it",
    },
];

/// A producer that shares no code with Tidewater.
const PRODUCER: [Tool; 1] = [Tool {
    name: "kcat",
    programs: &["kcat"],
    package: "kcat",
    why: "the end-to-end tests produce into Kafka with it",
}];

/// Looks for everything that the tests need. Quick: starts no build and no download.
pub(crate) fn probe() -> Vec<Need> {
    let mut needs: Vec<Need> = COMPILERS.iter().map(Tool::need).collect();
    needs.extend(services::needs());
    needs.extend(BROWSER.iter().chain(&PRODUCER).map(Tool::need));
    needs
}

impl Tool {
    fn need(&self) -> Need {
        let state = match first(self.programs) {
            Some(place) => State::Found(place.display().to_string()),
            None if apt::usable() => State::Obtainable(format!("Debian's package {}", self.package)),
            None => State::Missing(format!("{}; install: {}", self.why, install_command(self.package))),
        };
        Need { name: self.name, state }
    }
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
    let lacking =
        COMPILERS.iter().chain(&BROWSER).chain(&PRODUCER).filter(|tool| first(tool.programs).is_none());
    let packages: Vec<&str> = lacking.map(|tool| tool.package).collect();
    if packages.is_empty() { Ok(()) } else { apt::install(&packages) }
}

/// The versions of the browser and its driver, e.g. `Chromium 142.0.7444.59, ChromeDriver 142.0.7444.59`.
pub(crate) fn browser_versions() -> String {
    let versions: Vec<String> = BROWSER
        .iter()
        .filter_map(|tool| first(tool.programs))
        .filter_map(|program| process::output(Command::new(program).arg("--version")).ok())
        .filter_map(|text| short_version(&text))
        .collect();
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}

/// The name and the number, without the build's hash and platform.
fn short_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains("Chrom"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = words.iter().position(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(words[..=number].join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_versions() {
        let driver = "ChromeDriver 142.0.7444.59 (4b8153ab-refs/branch-heads/7444@{#2})\n";
        assert_eq!(short_version(driver).as_deref(), Some("ChromeDriver 142.0.7444.59"));
        let chromium = "Chromium 142.0.7444.59 built on Debian GNU/Linux 12 (bookworm)\n";
        assert_eq!(short_version(chromium).as_deref(), Some("Chromium 142.0.7444.59"));
    }

    #[test]
    fn a_missing_thing_names_its_command() {
        let need =
            Tool { name: "it", programs: &["no-such-program-as-this"], package: "it", why: "it is needed" }
                .need();
        match need.state {
            State::Obtainable(how) => assert!(how.contains("package it")),
            State::Missing(what) => assert!(what.contains("install it")),
            State::Found(place) => panic!("found {place}"),
        }
    }
}
