//! ChromeDriver, which must be of its browser's version.

use std::path::{Path, PathBuf};

use super::{CHROMIUM, is_snap, state, version};
use crate::needs::{State, first, named};

pub(super) const VARIABLE: &str = "TIDEWATER_CHROMEDRIVER";

/// ChromeDriver: named by its variable, or on PATH.
pub(super) fn driver() -> Option<PathBuf> {
    named(VARIABLE).or_else(|| first(&["chromedriver"]).filter(|file| !is_snap(file)))
}

/// The browser's state, and the driver's.
pub(super) fn states(obtains: bool) -> [State; 2] {
    let (browser, driver) = (CHROMIUM.locate(), driver());
    if let (Some(browser), Some(driver)) = (&browser, &driver)
        && let (Some(theirs), Some(its)) = (major(browser), major(driver))
        && theirs != its
    {
        let why = format!(
            "{} is of version {its} and {} of {theirs}: they must have the same; name others by {} and {VARIABLE}",
            driver.display(),
            browser.display(),
            CHROMIUM.variable
        );
        return [State::Found(browser.display().to_string()), State::unusable(why)];
    }
    [
        CHROMIUM.state(obtains, "no Chrome or Chromium", &["chromium"]),
        state(driver, obtains, "no ChromeDriver", String::new(), &["chromium-driver"]),
    ]
}

fn major(program: &Path) -> Option<u32> {
    let version = version(program)?;
    version.rsplit(' ').next()?.split('.').next()?.parse().ok()
}
