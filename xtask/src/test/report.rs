//! Reads what libtest prints and adds it up.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use super::runner::Skips;
use crate::needs::Part;

/// All passes of a run.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) passed: u64,
    pub(super) failed: u64,
    skipped: u64,
    failures: Vec<String>,
    /// What a test was marked to need, by program and name.
    marks: HashMap<(String, String), String>,
    /// How many passed of those that need this or that.
    by_need: BTreeMap<&'static str, u64>,
    program: String,
    /// Whether a program has begun its tests and not yet told their result.
    open: bool,
    ignored_pass: bool,
    failed_before: u64,
}

impl Report {
    /// A pass begins, over the ignored tests or over the others.
    pub(super) fn begin_pass(&mut self, ignored: bool) {
        self.ignored_pass = ignored;
        self.failed_before = self.failed;
        self.program.clear();
    }

    /// Takes one line of output.
    pub(super) fn line(&mut self, line: &str) {
        let text = line.trim_start();
        if let Some(program) = text.strip_prefix("Running ").or_else(|| text.strip_prefix("Doc-tests "))
            && line.starts_with("  ")
        {
            self.crashed_if_open();
            self.program =
                if text.starts_with("Doc") { format!("doc tests of {program}") } else { program.to_owned() };
        } else if line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test")) {
            self.open = true;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.open = false;
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
            // Ignored tests have a pass of their own; ignored doc tests have none.
            if self.ignored_pass || self.program.starts_with("doc tests") {
                self.skipped += number_before(result, " ignored");
            }
        } else if let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        {
            self.outcome(name, outcome);
        }
    }

    /// The pass is over; `success` is what cargo's exit status says.
    pub(super) fn end_pass(&mut self, success: bool) {
        self.crashed_if_open();
        if !success && self.failed == self.failed_before {
            self.failed += 1;
            self.failures.push("cargo test failed without telling of a failed test: see above".to_owned());
        }
    }

    /// Takes a failure that is no test's.
    pub(super) fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }

    /// Tests that the next pass leaves out, because a part of what they are marked with does not run. Counts them.
    pub(super) fn skips(&mut self, runs: impl Fn(Part) -> bool) -> Skips {
        let mut skips = Skips::new();
        for ((program, name), mark) in &self.marks {
            if Part::of_mark(mark).into_iter().all(&runs) {
                continue;
            }
            // `unittests src/lib.rs (target/debug/deps/a-1)`
            let file = program.trim_end_matches(')').rsplit(['(', '/', '\\']).next().unwrap_or_default();
            skips.entry(file.to_owned()).or_default().insert(name.clone());
            self.skipped += 1;
        }
        skips
    }

    fn outcome(&mut self, name: &str, outcome: &str) {
        let key = || (self.program.clone(), name.to_owned());
        if let Some(mark) = outcome.strip_prefix("ignored, ") {
            self.marks.insert(key(), mark.to_lowercase());
        } else if outcome.starts_with("FAILED") {
            self.failures.push(format!("{name}, in {}", self.program));
        } else if outcome.starts_with("ok")
            && self.ignored_pass
            && let Some(mark) = self.marks.get(&key())
        {
            for need in ["Kafka", "NATS", "Chromium", "Firefox", "nginx", "HAProxy"] {
                if mark.contains(&need.to_lowercase()) {
                    *self.by_need.entry(need).or_default() += 1;
                }
            }
        }
    }

    fn crashed_if_open(&mut self) {
        if std::mem::take(&mut self.open) {
            self.failed += 1;
            self.failures.push(format!("{} ended in the middle of its tests", self.program));
        }
    }

    /// `412 passed, 0 failed`, with `, 3 skipped` where some were.
    pub(super) fn verdict(&self) -> String {
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }
}

/// What stands above the verdict: the failures, and how many tests passed against what.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.failures.is_empty() {
            writeln!(f, "Failed:")?;
            for failure in &self.failures {
                writeln!(f, "  {failure}")?;
            }
        }
        let counts: Vec<String> =
            self.by_need.iter().map(|(need, count)| format!("{count} with {need}")).collect();
        write!(
            f,
            "Passed on real ones: {}",
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        )
    }
}

/// The number before a word in `7 passed; 0 failed; …`.
fn number_before(text: &str, word: &str) -> u64 {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    let digits = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    before[digits..].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(report: &mut Report, ignored: bool, success: bool, text: &str) {
        report.begin_pass(ignored);
        text.lines().for_each(|line| report.line(line));
        report.end_pass(success);
    }

    const PLAIN: &str = "     Running unittests src/lib.rs (target/debug/deps/a-1)

running 3 tests
test codec::splits ... ok
test source ... ignored, needs Kafka: run cargo xtask test
test page ... ignored, needs NATS and Firefox: run cargo xtask test

test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests a

running 2 tests
test src/lib.rs - (line 3) ... ok
test src/lib.rs - (line 9) ... ignored

test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
";
    const IGNORED: &str = "     Running unittests src/lib.rs (target/debug/deps/a-1)

running 2 tests
test source ... ok
test page ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 1.00s
";

    #[test]
    fn adds_up_both_passes() {
        let mut report = Report::default();
        read(&mut report, false, true, PLAIN);
        read(&mut report, true, true, IGNORED);
        assert_eq!(report.verdict(), "4 passed, 0 failed, 1 skipped");
        assert_eq!(report.to_string(), "Passed on real ones: 1 with Firefox, 1 with Kafka, 1 with NATS");
    }

    #[test]
    fn tests_without_their_broker_are_skipped() {
        let mut report = Report::default();
        read(&mut report, false, true, PLAIN);
        let skips = report.skips(|part| part != Part::Firefox);
        assert_eq!(skips.len(), 1);
        assert_eq!(Vec::from_iter(&skips["a-1"]), ["page"]);
        let rest = IGNORED.replace("test page ... ok\n", "").replace("ok. 2 passed", "ok. 1 passed");
        read(&mut report, true, true, &rest);
        assert_eq!(report.verdict(), "3 passed, 0 failed, 2 skipped");
        assert_eq!(report.to_string(), "Passed on real ones: 1 with Kafka");
    }

    #[test]
    fn counts_and_names_failures() {
        let mut report = Report::default();
        let text = PLAIN.replace("splits ... ok", "splits ... FAILED").replace(
            "test result: ok. 1 passed; 0 failed; 2 ignored",
            "test result: FAILED. 0 passed; 1 failed; 2 ignored",
        );
        read(&mut report, false, false, &text);
        assert_eq!(report.verdict(), "1 passed, 1 failed, 1 skipped");
        assert!(report.to_string().contains("codec::splits, in unittests src/lib.rs"));
    }

    #[test]
    fn a_program_that_crashes_is_a_failure() {
        let mut report = Report::default();
        let text = "     Running tests/x.rs (target/debug/deps/x-1)\n\nrunning 2 tests\nerror: test failed\n";
        read(&mut report, false, false, text);
        assert_eq!(report.verdict(), "0 passed, 1 failed");
        assert!(report.to_string().contains("ended in the middle"));
    }

    #[test]
    fn a_failure_of_cargo_itself_is_a_failure() {
        let mut report = Report::default();
        read(&mut report, false, false, "error: could not compile `x`\n");
        assert_eq!(report.verdict(), "0 passed, 1 failed");
    }
}
