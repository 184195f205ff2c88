//! Programs that the tests start: a producer of another make, browsers and what drives them.

use super::{Need, Part, State, browsers, first};

/// A program that no code of ours shares anything with.
const KCAT: &str = "the end-to-end tests produce into Kafka with it";

/// Every package, by Debian's name, that some row of the table may ask for.
#[cfg(test)]
pub(super) fn packages() -> Vec<&'static str> {
    let mut packages = vec!["kcat", "default-jdk-headless", "maven", "golang-go", "docker"];
    packages.extend(browsers::PACKAGES);
    packages.extend(super::build::PACKAGES);
    packages
}

/// The rows of the table.
pub(super) fn needs(obtains: bool) -> Vec<Need> {
    let kcat = match first(&["kcat"]) {
        Some(place) => State::Found(place.display().to_string()),
        None if obtains => State::Obtainable("Debian's package kcat".into()),
        None => State::missing("no kcat", &["kcat"]),
    };
    let parts = vec![Part::Kafka, Part::OwnKafka];
    let kcat = Need { name: "kcat", state: kcat, purpose: KCAT, parts, builds: false };
    let mut needs = vec![kcat];
    needs.extend(browsers::needs(obtains));
    needs
}

/// Packages of what is not here.
pub(super) fn lacking() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if first(&["kcat"]).is_none() {
        packages.push("kcat");
    }
    packages.extend(browsers::lacking());
    packages
}
