//! Programs that the tests start: a producer of another make, proxies, browsers and what drives them.

use std::path::PathBuf;

use super::{Need, Part, State, browsers, first, named, npm};

/// A program that is found, or comes with a package of its name.
struct Program {
    name: &'static str,
    /// What it is called on PATH, and in Debian.
    command: &'static str,
    missing: &'static str,
    packages: &'static [&'static str],
    purpose: &'static str,
    parts: &'static [Part],
    /// By which it can be named, and by which the tests are told.
    variable: Option<&'static str>,
}

const PROGRAMS: [Program; 3] = [
    // No code of ours shares anything with it.
    Program {
        name: "kcat",
        command: "kcat",
        missing: "no kcat",
        packages: &["kcat"],
        purpose: "the end-to-end tests produce into Kafka with it",
        parts: &[Part::Kafka, Part::OwnKafka],
        variable: None,
    },
    Program {
        name: "nginx",
        command: "nginx",
        missing: "no nginx",
        packages: &["nginx"],
        purpose: "the tests behind a proxy start it",
        parts: &[Part::Nginx],
        variable: Some("TIDEWATER_NGINX"),
    },
    Program {
        name: "HAProxy",
        command: "haproxy",
        missing: "no HAProxy",
        packages: &["haproxy"],
        purpose: "the tests behind a proxy start it",
        parts: &[Part::Haproxy],
        variable: Some("TIDEWATER_HAPROXY"),
    },
];

/// Every package, by Debian's name, that some row of the table may ask for.
#[cfg(test)]
pub(super) fn packages() -> Vec<&'static str> {
    let mut packages = vec!["default-jdk-headless", "maven", "golang-go", "docker", "npm"];
    packages.extend(PROGRAMS.iter().flat_map(|program| program.packages));
    packages.extend(browsers::PACKAGES);
    packages.extend(super::build::PACKAGES);
    packages
}

/// The rows of the table.
pub(super) fn needs(obtains: bool) -> Vec<Need> {
    let mut needs: Vec<Need> = PROGRAMS.iter().map(|program| program.need(obtains)).collect();
    needs.push(npm::need(obtains));
    needs.extend(browsers::needs(obtains));
    needs
}

/// Packages of what is not here.
pub(super) fn lacking() -> Vec<&'static str> {
    let missing = PROGRAMS.iter().filter(|program| program.locate().is_none());
    let mut packages: Vec<_> = missing.flat_map(|program| program.packages).copied().collect();
    packages.extend(npm::lacking());
    packages.extend(browsers::lacking());
    packages
}

/// What the tests are told, as far as it is here: a variable for each program.
pub(super) fn exports() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let own = PROGRAMS.iter().filter_map(|program| Some((program.variable?, program.locate()?)));
    own.chain(npm::exports()).chain(browsers::exports())
}

impl Program {
    fn need(&self, obtains: bool) -> Need {
        let state = match self.locate() {
            Some(place) => State::Found(place.display().to_string()),
            None if obtains => State::Obtainable(format!("Debian's package {}", self.packages.join(" "))),
            None => State::missing(self.missing, self.packages),
        };
        Need { name: self.name, state, purpose: self.purpose, parts: self.parts.to_vec(), builds: false }
    }

    /// Named by its variable, or on PATH.
    fn locate(&self) -> Option<PathBuf> {
        self.variable.and_then(named).or_else(|| first(&[self.command]))
    }
}
