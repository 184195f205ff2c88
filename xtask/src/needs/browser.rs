//! Chrome or Chromium, and the ChromeDriver that drives it.
//!
//! Edge is not looked for: it wants a driver of its own.

use std::{
    env,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use super::{State, System, first};
use crate::process;

const ON_PATH: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Inside `/Applications`, or a user's own.
const MAC_BUNDLES: [&str; 3] = [
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
    "Chromium.app/Contents/MacOS/Chromium",
];

/// The browser: named by `TIDEWATER_BROWSER`, on PATH, or an application of macOS.
pub(crate) fn locate() -> Option<PathBuf> {
    named("TIDEWATER_BROWSER").or_else(on_path).or_else(|| {
        let home = env::var_os("HOME").map(|home| PathBuf::from(home).join("Applications"));
        let folders = [Some(PathBuf::from("/Applications")), home];
        if cfg!(target_os = "macos") { in_bundles(folders.into_iter().flatten()) } else { None }
    })
}

/// ChromeDriver: named by `TIDEWATER_CHROMEDRIVER`, or on PATH.
pub(crate) fn driver() -> Option<PathBuf> {
    named("TIDEWATER_CHROMEDRIVER").or_else(|| first(&["chromedriver"]).filter(|file| !is_snap(file)))
}

/// Whether this system's packages of a browser are real ones.
pub(super) fn packaged() -> bool {
    System::here() != System::Ubuntu
}

/// The rows of the table.
pub(super) fn states(obtains: bool) -> [State; 2] {
    let (browser, driver) = (locate(), driver());
    if let (Some(browser), Some(driver)) = (&browser, &driver)
        && let (Some(theirs), Some(its)) = (major(browser), major(driver))
        && theirs != its
    {
        let why = format!(
            "{} is of version {its} and {} of {theirs}: they must have the same; name others by TIDEWATER_BROWSER \
             and TIDEWATER_CHROMEDRIVER",
            driver.display(),
            browser.display()
        );
        return [State::Found(browser.display().to_string()), State::unusable(why)];
    }
    let state =
        |place: Option<PathBuf>, why: &str, detail: String, packages: &'static [&'static str]| match place {
            Some(place) => State::Found(place.display().to_string()),
            None if obtains && packaged() => {
                State::Obtainable(format!("Debian's package {}", packages.join(" ")))
            }
            None => State::missing_as(why, detail, packages),
        };
    let snap = ON_PATH.iter().filter_map(|name| process::find(name)).find(|file| is_snap(file));
    let detail =
        snap.map(|file| format!("{} is a snap, which does not see the tests' folders", file.display()));
    [
        state(browser, "no Chrome or Chromium", detail.unwrap_or_default(), &["chromium"]),
        state(driver, "no ChromeDriver", String::new(), &["chromium-driver"]),
    ]
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from).filter(|file| file.is_file())
}

fn on_path() -> Option<PathBuf> {
    ON_PATH.iter().filter_map(|name| process::find(name)).find(|file| !is_snap(file))
}

fn in_bundles(folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let mut files = folders.flat_map(|folder| MAC_BUNDLES.map(|bundle| folder.join(bundle)));
    files.find(|file| file.is_file())
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
pub(super) fn version(program: &Path) -> Option<String> {
    let text = process::output(Command::new(program).arg("--version")).ok()?;
    short_version(&text)
}

fn major(program: &Path) -> Option<u32> {
    let version = version(program)?;
    version.rsplit(' ').next()?.split('.').next()?.parse().ok()
}

fn short_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains("Chrom"))?;
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
        let driver = "ChromeDriver 142.0.7444.59 (4b8153ab-refs/branch-heads/7444@{#2})\n";
        assert_eq!(short_version(driver).as_deref(), Some("ChromeDriver 142.0.7444.59"));
        let chromium = "Chromium 142.0.7444.59 built on Debian GNU/Linux 12 (bookworm)\n";
        assert_eq!(short_version(chromium).as_deref(), Some("Chromium 142.0.7444.59"));
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
        assert_eq!(in_bundles([dir.clone()].into_iter()), None);
        let chromium = dir.join("Chromium.app/Contents/MacOS/Chromium");
        fs::create_dir_all(chromium.parent().unwrap()).unwrap();
        fs::write(&chromium, "").unwrap();
        assert_eq!(in_bundles([dir.clone()].into_iter()), Some(chromium));
        fs::remove_dir_all(dir).unwrap();
    }
}
