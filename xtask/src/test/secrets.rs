//! No secret of a test is ever shown: neither in what the tests print, nor in what the gateways that they start write.
//!
//! `tidewater_testkit::secret` appends what to search for to the file that `TIDEWATER_TEST_SECRETS` names; what tests
//! want searched beside their own output goes into files of the folder that `TIDEWATER_TEST_OUTPUT` names.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use anyhow::{Context, Result};

use crate::workspace;

/// What a run has shown. Deleted when dropped: it lists secrets.
#[derive(Debug)]
pub(super) struct Secrets {
    folder: PathBuf,
    printed: File,
}

impl Secrets {
    /// Nothing yet, in a folder of this process.
    pub(super) fn new() -> Result<Self> {
        Self::in_folder(workspace::target().join("xtask").join(format!("secrets-{}", std::process::id())))
    }

    fn in_folder(folder: PathBuf) -> Result<Self> {
        let output = folder.join("output");
        fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
        let printed = File::create(output.join("printed"))?;
        Ok(Self { folder, printed })
    }

    /// What the tests have to know.
    pub(super) fn exports(&self) -> [(&'static str, PathBuf); 2] {
        [("TIDEWATER_TEST_SECRETS", self.list()), ("TIDEWATER_TEST_OUTPUT", self.folder.join("output"))]
    }

    /// Takes what the tests have printed.
    pub(super) fn printed(&mut self, bytes: &[u8]) -> Result<()> {
        self.printed.write_all(bytes).context("keeping what was printed")
    }

    /// Where a secret was shown, one line each, in which it can't be read.
    pub(super) fn shown(&self) -> Result<Vec<String>> {
        let list = self.list();
        let text = if list.exists() { fs::read_to_string(&list)? } else { String::new() };
        let secrets: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let mut shown = Vec::new();
        for entry in fs::read_dir(self.folder.join("output"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = fs::read(entry.path())?;
            let text = String::from_utf8_lossy(&bytes);
            if !secrets.iter().any(|secret| text.contains(secret)) {
                continue;
            }
            for (number, line) in (1..).zip(text.lines()) {
                if let Some(line) = hidden(line, &secrets) {
                    shown.push(format!("a secret is shown in line {number} of {name}: {line}"));
                }
            }
        }
        shown.sort();
        Ok(shown)
    }

    fn list(&self) -> PathBuf {
        self.folder.join("list")
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot delete {}, which lists the tests' secrets: {error}", self.folder.display());
        }
    }
}

/// The line with its secrets made unreadable; `None` if it has none.
fn hidden(line: &str, secrets: &BTreeSet<&str>) -> Option<String> {
    let of_word = |c: char| c.is_ascii_alphanumeric() || "-_+/=".contains(c);
    let mut out = line.to_owned();
    for secret in secrets {
        while let Some(at) = out.find(secret) {
            // What stands behind the marker is the secret itself.
            let rest = &out[at + secret.len()..];
            let end = out.len() - rest.trim_start_matches(of_word).len();
            out.replace_range(at..end, "***");
        }
    }
    (out != line).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_a_secret_is_told_without_it() {
        let folder = std::env::temp_dir().join(format!("xtask-secrets-{}", std::process::id()));
        let mut secrets = Secrets::in_folder(folder.clone()).unwrap();
        secrets.printed(b"test a ... ok\nwrong password marker-reader-0123?\n").unwrap();
        assert!(secrets.shown().unwrap().is_empty(), "nobody has said what to search for");
        let [(_, list), (_, output)] = secrets.exports();
        fs::write(list, "marker-\nbWFya2Vy\n").unwrap();
        fs::write(output.join("gateway.log"), "fine\nfine\nsent AbWFya2VyLTE= to it\n").unwrap();
        assert_eq!(
            secrets.shown().unwrap(),
            [
                "a secret is shown in line 2 of printed: wrong password ***?",
                "a secret is shown in line 3 of gateway.log: sent A*** to it",
            ]
        );
        drop(secrets);
        assert!(!folder.exists());
    }
}
