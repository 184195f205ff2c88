//! What libFuzzer prints, line by line.

use std::{fmt, path::PathBuf};

/// What is known of a run so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Inputs that were run, in this pass and in those before.
    executions: u64,
    executions_before: u64,
    /// Edges of the program that some input reached.
    pub(super) coverage: Option<u64>,
    /// The input that made it stop.
    pub(super) finding: Option<PathBuf>,
    /// What the check said then.
    pub(super) panic: Vec<String>,
    in_panic: bool,
}

/// More of a panic is in the log.
const MOST_PANIC_LINES: usize = 20;

impl Output {
    /// Inputs that were run.
    pub(super) fn executions(&self) -> u64 {
        self.executions_before + self.executions
    }

    /// The next line is of another process, which counts anew.
    pub(super) fn end_pass(&mut self) {
        self.executions_before += std::mem::take(&mut self.executions);
        // One that was written, and stopped nothing.
        self.finding = None;
    }

    /// Takes a line.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix('#') {
            self.status(status);
        } else if let Some(number) = after(line, "stat::number_of_executed_units: ") {
            self.executions = number;
        } else if let Some((_, file)) = line.split_once("Test unit written to ") {
            // An input that was only slow is written, too, and stops nothing.
            let file = PathBuf::from(file.trim());
            let is_slow = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("slow-unit-");
            if !file.file_name().is_some_and(is_slow) {
                self.finding = Some(file);
            }
        } else {
            self.panic_line(line);
        }
    }

    /// `#65250\tDONE   cov: 704 ft: 3870 corp: 765/1064Kb lim: 8192 exec/s: 5931 rss: 31Mb`
    fn status(&mut self, status: &str) {
        let Some((count, rest)) = status.split_once(char::is_whitespace) else { return };
        let Ok(count) = count.parse() else { return };
        self.executions = count;
        self.coverage = after(rest, "cov: ").or(self.coverage);
    }

    fn panic_line(&mut self, line: &str) {
        if line.contains("panicked at") {
            self.in_panic = true;
        } else if line.starts_with("stack backtrace:") || line.starts_with("note: ") || line.starts_with("==")
        {
            self.in_panic = false;
        }
        // libFuzzer's own words where nothing panicked: out of memory, out of time.
        let is_error = line.contains("ERROR: libFuzzer: ") && self.panic.is_empty();
        if (self.in_panic || is_error) && self.panic.len() < MOST_PANIC_LINES {
            self.panic.push(line.to_owned());
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs", self.executions())?;
        self.coverage.map_or(Ok(()), |edges| write!(f, ", {edges} edges covered"))
    }
}

/// The number that follows a label, spaces between them or none.
fn after(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.split_once(label)?;
    let digits = rest.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Output {
        let mut output = Output::default();
        text.lines().for_each(|line| output.line(line));
        output
    }

    #[test]
    fn a_run_to_the_end_is_read() {
        let output = read(
            "INFO: seed corpus: files: 143 min: 1b max: 65542b total: 101Kb rss: 27Mb\n\
             #144\tINITED cov: 650 ft: 2100 corp: 120/90Kb exec/s: 0 rss: 29Mb\n\
             #65250\tDONE   cov: 704 ft: 3870 corp: 765/1064Kb lim: 8192 exec/s: 5931 rss: 31Mb\n\
             Done 65251 runs in 11 second(s)\n\
             stat::number_of_executed_units: 65251\n\
             stat::average_exec_per_sec:     5932\n",
        );
        assert_eq!((output.executions(), output.coverage), (65_251, Some(704)));
        assert!(output.finding.is_none() && output.panic.is_empty());
        assert_eq!(output.to_string(), "65251 runs, 704 edges covered");
    }

    #[test]
    fn passes_are_added_up() {
        let mut output = read("#100\tDONE   cov: 7 ft: 9 exec/s: 5\nstat::number_of_executed_units: 101\n");
        output.end_pass();
        output.line("#32\tpulse  cov: 9 ft: 9 exec/s: 5");
        assert_eq!((output.executions(), output.coverage), (133, Some(9)));
    }

    #[test]
    fn a_finding_is_read() {
        let output = read(
            "#512\tpulse  cov: 9 ft: 9 corp: 1/1b exec/s: 256 rss: 27Mb\n\
             Test unit written to /root/artifacts/decode/slow-unit-77\n\
             \n\
             thread '<unnamed>' panicked at src/decode.rs:36:9:\n\
             assertion `left == right` failed: the decoder, and the standard's text\n\
             \x20 left: 1\n\
             \x20right: 2\n\
             stack backtrace:\n\
             \x20  0: __rustc::rust_begin_unwind\n\
             ==77== ERROR: libFuzzer: deadly signal\n\
             MS: 1 ChangeBit-; base unit: adc83b19\n\
             artifact_prefix='/root/artifacts/decode/'; Test unit written to /root/artifacts/decode/crash-09\n\
             stat::number_of_executed_units: 700\n",
        );
        assert_eq!(output.finding, Some("/root/artifacts/decode/crash-09".into()));
        assert_eq!(output.panic.len(), 4, "{:?}", output.panic);
        assert_eq!((output.executions(), output.coverage), (700, Some(9)));
    }

    #[test]
    fn an_input_that_hangs_is_a_finding() {
        let output = read(
            "ALARM: working on the last Unit for 11 seconds\n\
             ==77== ERROR: libFuzzer: timeout after 11 seconds\n\
             artifact_prefix='/a/'; Test unit written to /a/timeout-1\n",
        );
        assert_eq!(output.finding, Some("/a/timeout-1".into()));
        assert_eq!(output.panic, ["==77== ERROR: libFuzzer: timeout after 11 seconds"]);
    }

    #[test]
    fn other_lines_are_nothing() {
        let output = read("#\n#x y\n# 7\nexec/s: 7\nINFO: -max_len is not provided\n");
        assert_eq!((output.executions(), output.coverage), (0, None));
    }
}
