//! The list of the checks, and how they are run.

mod content;
mod once;
mod position;

use std::fmt;

use futures_util::future::BoxFuture;

use super::{Failure, Harness, Outcome, Report, context::Context};
use crate::source::context::by;

/// One thing that a sink's writers have to keep.
pub struct Check {
    /// A number and a letter: what a harness names it by.
    pub name: &'static str,
    /// What has to be so.
    pub what: &'static str,
    run: for<'a, 'b> fn(&'a Context<'b>) -> BoxFuture<'a, Result<(), Failure>>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("what", &self.what).finish_non_exhaustive()
    }
}

macro_rules! checks {
    ($($name:literal $run:path, $what:literal;)*) => {
        /// Every check, in order.
        pub static CHECKS: &[Check] = &[$(Check {
            name: $name,
            what: $what,
            run: |context| Box::pin($run(context)),
        }),*];
    };
}

checks! {
    "1a" position::unknown, "a writer whose id has written nothing has no position, whatever others have written";
    "1b" position::told, "what was written is where the same and every other writer of the id goes on";
    "1c" position::behind_the_last, "the position is the batch's, also where it is behind its last message";
    "1d" position::without_messages, "a batch without messages writes none, and moves the position or leaves it";
    "1e" position::ids, "ids are checked, and the longest is one";
    "1f" position::large, "a position of many partitions is kept exactly, or refused as unsupported";
    "1g" position::among_others, "a position is found among what others have published since";
    "2a" once::in_order, "everything can be read once and in order";
    "2b" once::resumed, "a writer that resumes and goes on from there writes nothing twice";
    "2c" once::dropped, "writers that are dropped anywhere in a batch, and others that go on: everything once, in order";
    "2d" once::taken_over, "of two writers of one id the older is refused, or repeats what is there";
    "2e" once::at_the_same_time, "two writers of one id at the same time write everything once";
    "2f" once::independent, "two ids are independent";
    "2g" once::thousands, "a batch of thousands, and one of mebibytes";
    "3a" content::bytes, "payloads are exact: every byte, none";
    "3b" content::text, "keys and headers of text are exact";
    "3c" content::tombstones, "a message without a payload comes without one";
    "3d" content::binary, "keys and header values of any bytes are exact";
    "3e" content::chained, "what a writer has written can be written on by another one of the same id";
    "4a" position::unreadable, "a position that can't be read is an error, and nothing is written over";
    "5a" once::send_all, "messages that are sent together keep their order";
}

/// Runs the checks, or those of these names.
pub(super) async fn run(harness: &dyn Harness, only: Option<&[&str]>) -> Report {
    let mut report = Report::default();
    let not_applicable = harness.not_applicable();
    let names = not_applicable.iter().map(|(name, _)| *name).chain(only.unwrap_or_default().iter().copied());
    report.refuse_unknown(names, |name| CHECKS.iter().any(|check| check.name == name));
    for check in CHECKS.iter().filter(|check| only.is_none_or(|only| only.contains(&check.name))) {
        let declared = not_applicable.iter().find(|(name, _)| *name == check.name);
        let outcome = match declared {
            Some((_, "")) => Outcome::Failed("declared not applicable without a reason".into()),
            Some((_, reason)) => Outcome::NotApplicable((*reason).into()),
            None => match one(harness, check).await {
                Ok(()) => Outcome::Passed,
                Err(failure) => Outcome::Failed(failure.to_string()),
            },
        };
        report.checks.push((check.name.into(), check.what.into(), outcome));
    }
    report
}

async fn one(harness: &dyn Harness, check: &Check) -> Result<(), Failure> {
    let context = Context::new(harness).await?;
    by(context.deadline, "the check", (check.run)(&context)).await?
}
