//! What is one browser's own: its programs, what it is started with, and what its driver calls things.

use std::{fmt, path::Path};

use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::env;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Chromium,
    Firefox,
}

impl Kind {
    pub(super) fn driver(self) -> &'static str {
        match self {
            Self::Chromium => "ChromeDriver",
            Self::Firefox => "geckodriver",
        }
    }

    /// The capability that tells the process id of the browser.
    pub(super) fn process_id(self) -> &'static str {
        match self {
            Self::Chromium => "goog:processID",
            Self::Firefox => "moz:processID",
        }
    }

    /// The driver's program. It lets the browser have this folder alone.
    pub(super) fn driver_command(self, profile: &Path, port: u16) -> Command {
        let mut command = match self {
            Self::Chromium => Command::new(env::chromedriver()),
            Self::Firefox => {
                let mut command = Command::new(env::geckodriver());
                // Firefox does not run as root with the home of somebody else, and keeps more there than its profile.
                command.arg("--profile-root").arg(profile).env("HOME", profile);
                command
            }
        };
        command.arg(format!("--port={port}"));
        command
    }

    /// What the session is asked for.
    pub(super) fn capabilities(self, profile: &Path) -> Map<String, Value> {
        let (name, mut options, binary) = match self {
            Self::Chromium => {
                let folder = format!("--user-data-dir={}", profile.display());
                let args: Vec<&str> = CHROMIUM_FLAGS.into_iter().chain([&*folder]).collect();
                ("goog:chromeOptions", json!({ "args": args }), env::chromium())
            }
            Self::Firefox => {
                let prefs: Map<String, Value> =
                    FIREFOX_PREFS.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                ("moz:firefoxOptions", json!({ "args": ["-headless"], "prefs": prefs }), env::firefox())
            }
        };
        // Without it the driver looks where its own kind is usually installed.
        if let Some(binary) = binary {
            options["binary"] = json!(binary);
        }
        Map::from_iter([(name.to_owned(), options)])
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chromium => "Chromium",
            Self::Firefox => "Firefox",
        })
    }
}

const CHROMIUM_FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Beside geckodriver's own, which turn most of what Firefox asks the network for off. Without names, nothing of it
/// leaves this machine, whatever it is; addresses and `localhost` are none that are asked for.
const FIREFOX_PREFS: [(&str, bool); 6] = [
    ("network.dns.disabled", true),
    ("network.captive-portal-service.enabled", false),
    ("network.connectivity-service.enabled", false),
    ("browser.safebrowsing.malware.enabled", false),
    ("browser.safebrowsing.phishing.enabled", false),
    // Its view of a JSON answer is a page of its own, whose policy allows no connection.
    ("devtools.jsonview.enabled", false),
];
