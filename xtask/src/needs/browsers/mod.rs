//! The browsers that the tests drive, and what drives them: Chrome or Chromium by ChromeDriver, Firefox by geckodriver.
//!
//! Edge is not looked for: it wants a driver of its own.

mod chromium;
mod geckodriver;

use std::{
    env,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) use self::geckodriver::provide as provide_geckodriver;
use super::{Need, Part, State, System, named};
use crate::process;

/// Every package that brings one of them, by Debian's name.
#[cfg(test)]
pub(super) const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "firefox-esr"];

/// What the tests are told, as far as it is here: a variable for each program.
pub(super) fn exports() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let programs = [
        (CHROMIUM.variable, CHROMIUM.locate()),
        (chromium::VARIABLE, chromium::driver()),
        (FIREFOX.variable, FIREFOX.locate()),
        (geckodriver::VARIABLE, geckodriver::locate()),
    ];
    programs.into_iter().filter_map(|(variable, program)| Some((variable, program?)))
}

/// Their versions, e.g. `Chromium 142.0.7444.59, ChromeDriver 142.0.7444.59, Mozilla Firefox 140.5.0esr, …`.
pub(crate) fn versions() -> String {
    let versions: Vec<String> = exports().filter_map(|(_, program)| version(&program)).collect();
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}

/// The rows of the table.
pub(super) fn needs(obtains: bool) -> Vec<Need> {
    const CHROMIUM: &str = "the tests in Chromium drive it";
    const FIREFOX: &str = "the tests in Firefox drive it";
    let row = |name, state, purpose, part| Need { name, state, purpose, parts: vec![part], builds: false };
    let [chromium, chromedriver] = chromium::states(obtains);
    let firefox = self::FIREFOX.state(obtains, "no Firefox", &["firefox-esr"]);
    let geckodriver = geckodriver::state(!matches!(firefox, State::Missing { .. }));
    vec![
        row("Chromium", chromium, CHROMIUM, Part::Chromium),
        row("ChromeDriver", chromedriver, CHROMIUM, Part::Chromium),
        row("Firefox", firefox, FIREFOX, Part::Firefox),
        row("geckodriver", geckodriver, FIREFOX, Part::Firefox),
    ]
}

/// Packages of what is not here.
pub(super) fn lacking() -> Vec<&'static str> {
    if !packaged() {
        return Vec::new();
    }
    let programs = [
        ("chromium", CHROMIUM.locate()),
        ("chromium-driver", chromium::driver()),
        ("firefox-esr", FIREFOX.locate()),
    ];
    programs.into_iter().filter(|(_, place)| place.is_none()).map(|(package, _)| package).collect()
}

/// Whether this system's packages of a browser are real ones.
fn packaged() -> bool {
    System::here() != System::Ubuntu
}

/// A browser's program, and where it may be.
struct Browser {
    variable: &'static str,
    on_path: &'static [&'static str],
    /// Inside `/Applications`, or a user's own.
    mac_bundles: &'static [&'static str],
}

const CHROMIUM: Browser = Browser {
    variable: "TIDEWATER_CHROMIUM",
    on_path: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    mac_bundles: &[
        "Google Chrome.app/Contents/MacOS/Google Chrome",
        "Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
        "Chromium.app/Contents/MacOS/Chromium",
    ],
};

const FIREFOX: Browser = Browser {
    variable: "TIDEWATER_FIREFOX",
    on_path: &["firefox-esr", "firefox"],
    mac_bundles: &["Firefox.app/Contents/MacOS/firefox"],
};

impl Browser {
    /// Named by its variable, on PATH, or an application of macOS.
    fn locate(&self) -> Option<PathBuf> {
        let on_path = || self.all_on_path().find(|file| !is_snap(file));
        named(self.variable).or_else(on_path).or_else(|| {
            let home = env::var_os("HOME").map(|home| PathBuf::from(home).join("Applications"));
            let folders = [Some(PathBuf::from("/Applications")), home];
            if cfg!(target_os = "macos") { self.in_bundles(folders.into_iter().flatten()) } else { None }
        })
    }

    fn state(&self, obtains: bool, why: &str, packages: &'static [&'static str]) -> State {
        let snap = self.all_on_path().find(|file| is_snap(file));
        let detail =
            snap.map(|file| format!("{} is a snap, which does not see the tests' folders", file.display()));
        state(self.locate(), obtains, why, detail.unwrap_or_default(), packages)
    }

    fn all_on_path(&self) -> impl Iterator<Item = PathBuf> {
        self.on_path.iter().filter_map(|name| process::find(name))
    }

    fn in_bundles(&self, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
        let mut files =
            folders.flat_map(|folder| self.mac_bundles.iter().map(move |bundle| folder.join(bundle)));
        files.find(|file| file.is_file())
    }
}

fn state(
    place: Option<PathBuf>,
    obtains: bool,
    why: &str,
    detail: String,
    packages: &'static [&'static str],
) -> State {
    match place {
        Some(place) => State::Found(place.display().to_string()),
        None if obtains && packaged() => {
            State::Obtainable(format!("Debian's package {}", packages.join(" ")))
        }
        None => State::missing_as(why, detail, packages),
    }
}

/// Whether this is Ubuntu's stub (a script that says `snap install`, or starts the snap) or a snap itself.
fn is_snap(file: &Path) -> bool {
    let target = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    if target.file_name().is_some_and(|name| name == "snap") || target.starts_with("/snap") {
        return true;
    }
    let mut start = Vec::new();
    let read = File::open(&target).and_then(|file| file.take(8_192).read_to_end(&mut start));
    let text = String::from_utf8_lossy(&start);
    read.is_ok() && text.starts_with("#!") && (text.contains("snap install") || text.contains("/snap/bin/"))
}

/// `Chromium 142.0.7444.59`: the name and the number, without the build's hash and platform.
fn version(program: &Path) -> Option<String> {
    let text = process::output(Command::new(program).arg("--version")).ok()?;
    short_version(&text)
}

fn short_version(text: &str) -> Option<String> {
    let known = ["Chrom", "Firefox", "geckodriver"];
    let line = text.lines().find(|line| known.iter().any(|name| line.contains(name)))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = words.iter().position(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(words[..=number].join(" "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn shortens_versions() {
        for (told, short) in [
            (
                "ChromeDriver 142.0.7444.59 (4b8153ab-refs/branch-heads/7444@{#2})\n",
                "ChromeDriver 142.0.7444.59",
            ),
            ("Chromium 142.0.7444.59 built on Debian GNU/Linux 12 (bookworm)\n", "Chromium 142.0.7444.59"),
            ("Mozilla Firefox 140.5.0esr\n", "Mozilla Firefox 140.5.0esr"),
            ("geckodriver 0.37.1\n\nThe source code of this program is available\n", "geckodriver 0.37.1"),
        ] {
            assert_eq!(short_version(told).as_deref(), Some(short));
        }
    }

    #[test]
    fn ubuntus_stub_is_no_browser() {
        let dir = env::temp_dir().join(format!("xtask-browser-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let stub = dir.join("chromium-browser");
        for (text, snap) in [
            // Ubuntu's, shortened; Debian's wrapper; a binary.
            (
                "#!/bin/sh\nif ! [ -x /snap/bin/chromium ]; then\n  echo 'Please install it with: snap install chromium'\nfi\n",
                true,
            ),
            ("#!/bin/sh\nexec /usr/lib/chromium/chromium \"$@\"\n", false),
            ("\u{7f}ELF snap install", false),
        ] {
            fs::write(&stub, text).unwrap();
            assert_eq!(is_snap(&stub), snap, "{text}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn bundles_of_macos_are_found() {
        let dir = env::temp_dir().join(format!("xtask-bundles-{}", std::process::id()));
        for (browser, bundle) in [
            (CHROMIUM, "Chromium.app/Contents/MacOS/Chromium"),
            (FIREFOX, "Firefox.app/Contents/MacOS/firefox"),
        ] {
            assert_eq!(browser.in_bundles([dir.clone()].into_iter()), None);
            let program = dir.join(bundle);
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            fs::write(&program, "").unwrap();
            assert_eq!(browser.in_bundles([dir.clone()].into_iter()), Some(program));
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
