//! Reads what the harness prints and adds it up.

use std::{collections::BTreeSet, fmt, process::ExitStatus};

use anyhow::{Result, ensure};

/// What came of all its tests.
#[derive(Debug)]
pub(crate) struct Outcome {
    passed: usize,
    /// Their names.
    pub(crate) failed: BTreeSet<String>,
    skipped: usize,
}

/// `128 passed, 0 failed`, with `, 3 skipped` where some were.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

/// Takes line after line.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// `GROUP/GROUP/TEST`, the groups too.
    begun: BTreeSet<String>,
    failed: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

impl Reader {
    pub(super) fn line(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            self.begun.insert(name.to_owned());
        } else if let Some(name) = line.strip_prefix("  FAILED: ") {
            self.failed.insert(name.to_owned());
        } else if let Some(skipped) = line.strip_prefix("  SKIPPED: ") {
            // With the reason behind it.
            let name = self
                .begun
                .iter()
                .filter(|name| skipped.starts_with(name.as_str()))
                .max_by_key(|name| name.len());
            self.skipped.insert(name.map_or(skipped, String::as_str).to_owned());
        }
    }

    /// The harness has ended, with this status.
    pub(super) fn end(self, status: ExitStatus) -> Result<Outcome> {
        let is_group = |name: &str| {
            let within = format!("{name}/");
            self.begun.range(within.clone()..).next().is_some_and(|next| next.starts_with(&within))
        };
        let passed = self.begun.difference(&self.failed).filter(|name| !self.skipped.contains(*name));
        let passed = passed.filter(|name| !is_group(name)).count();
        ensure!(
            status.success() == self.failed.is_empty(),
            "the harness ends with {status}, and tells of {} tests that failed: see above",
            self.failed.len()
        );
        ensure!(passed > 0 || !self.failed.is_empty(), "the harness has run no test: see above");
        Ok(Outcome { passed, failed: self.failed, skipped: self.skipped.len() })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const OUTPUT: &str = "sse-contract-tests 2.31.0Connecting to test service at http://127.0.0.1:1.
Status query returned metadata: {\"capabilities\":[]}

Running test suite
[basic parsing]
[basic parsing/one]
[basic parsing/one more]
[comments]
  SKIPPED: comments (test service does not have capability \"comments\")
[HTTP behavior]
[HTTP behavior/POST request]
  SKIPPED: HTTP behavior/POST request (not now)
[HTTP behavior/custom headers]
";

    fn read(text: &str, code: i32) -> Result<Outcome> {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        reader.end(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn tests_are_counted_and_groups_are_not() {
        let text = format!("{OUTPUT}\nAll tests passed\nStopping test service\n");
        assert_eq!(read(&text, 0).unwrap().to_string(), "3 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn failures_are_named() {
        let text =
            format!("{OUTPUT}  expected 1\n  FAILED: HTTP behavior/custom headers\n\nFAILED TESTS (1):\n");
        let outcome = read(&text, 1).unwrap();
        assert_eq!(outcome.to_string(), "2 passed, 1 failed, 2 skipped");
        assert_eq!(Vec::from_iter(&outcome.failed), ["HTTP behavior/custom headers"]);
    }

    #[test]
    fn a_harness_that_did_not_run_is_no_success() {
        assert!(read("Test service error: timed out\n", 1).unwrap_err().to_string().contains("ends with"));
        assert!(read("", 0).unwrap_err().to_string().contains("no test"));
        assert!(read(OUTPUT, 1).is_err());
    }
}
