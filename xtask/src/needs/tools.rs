//! Programs that the tests start: a producer of another make, a browser and what drives it.

use super::{Need, Part, State, browser, first};

/// A program that no code of ours shares anything with.
const KCAT: &str = "the end-to-end tests produce into Kafka with it";
const BROWSER: &str = "the browser tests drive it";

/// Every package, by Debian's name, that some row of the table may ask for.
#[cfg(test)]
pub(super) fn packages() -> Vec<&'static str> {
    let mut packages =
        vec!["kcat", "chromium", "chromium-driver", "default-jdk-headless", "maven", "golang-go", "docker"];
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
    let [chromium, driver] = browser::states(obtains);
    let of_browser =
        |name, state| Need { name, state, purpose: BROWSER, parts: vec![Part::Browser], builds: false };
    vec![kcat, of_browser("browser", chromium), of_browser("ChromeDriver", driver)]
}

/// Packages of what is not here.
pub(super) fn lacking() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if first(&["kcat"]).is_none() {
        packages.push("kcat");
    }
    if browser::packaged() {
        packages.extend(browser::locate().is_none().then_some("chromium"));
        packages.extend(browser::driver().is_none().then_some("chromium-driver"));
    }
    packages
}
