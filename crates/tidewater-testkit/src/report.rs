//! What came of the checks of a suite.

use std::fmt;

/// What came of the checks, in their order. `Display` lists every one.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Name of the check, what has to be so, and what came of it.
    pub checks: Vec<(String, String, Outcome)>,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is so.
    Passed,
    /// It isn't; why.
    Failed(String),
    /// The harness says that it can't be asked; why.
    NotApplicable(String),
}

impl Report {
    /// Whether at least one check ran and none failed.
    pub fn passed(&self) -> bool {
        self.failed().is_empty() && self.count(|outcome| *outcome == Outcome::Passed) > 0
    }

    /// The names of those that failed.
    pub fn failed(&self) -> Vec<&str> {
        self.checks
            .iter()
            .filter(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_)))
            .map(|(name, ..)| name.as_str())
            .collect()
    }

    /// Tells names that no check has as failed: a check that is misspelled would pass in silence.
    pub(crate) fn refuse_unknown<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        is_known: impl Fn(&str) -> bool,
    ) {
        let unknown = names.into_iter().filter(|name| !is_known(name));
        let failed = Outcome::Failed("there is no check of this name".into());
        self.checks.extend(unknown.map(|name| (name.into(), "?".into(), failed.clone())));
    }

    fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.checks.iter().filter(|(_, _, outcome)| of(outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, what, outcome) in &self.checks {
            match outcome {
                Outcome::Passed => writeln!(f, "  passed          {name}  {what}")?,
                Outcome::Failed(why) => {
                    writeln!(f, "  FAILED          {name}  {what}\n                      {why}")?
                }
                Outcome::NotApplicable(why) => {
                    writeln!(f, "  not applicable  {name}  {what}\n                      {why}")?;
                }
            }
        }
        write!(
            f,
            "{} passed, {} failed, {} not applicable",
            self.count(|outcome| *outcome == Outcome::Passed),
            self.failed().len(),
            self.count(|outcome| matches!(outcome, Outcome::NotApplicable(_)))
        )
    }
}
