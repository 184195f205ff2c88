//! The list of the checks, and how they are run.

mod change;
mod exact;
mod hold;
mod payload;
mod start;

use std::{collections::HashSet, fmt};

use futures_util::future::BoxFuture;
use tidewater_core::{Capabilities, ShareKey};

use super::{
    Failure, Harness, Outcome, Report,
    context::{Context, by},
};

/// One thing that a source has to keep.
pub struct Check {
    /// Number of the rule and a letter: what a harness names it by.
    pub name: &'static str,
    /// What has to be so.
    pub what: &'static str,
    needs: Option<Capability>,
    run: for<'a> fn(&'a mut Context) -> BoxFuture<'a, Result<(), Failure>>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("what", &self.what).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
enum Capability {
    Replay,
    FromTime,
}

impl Capability {
    fn claimed(self, by: Capabilities) -> bool {
        match self {
            Self::Replay => by.replay,
            Self::FromTime => by.from_time,
        }
    }
}

macro_rules! checks {
    ($($name:literal $run:path, $needs:expr, $what:literal;)*) => {
        /// Every check, in order.
        pub static CHECKS: &[Check] = &[$(Check {
            name: $name,
            what: $what,
            needs: $needs,
            run: |context| Box::pin($run(context)),
        }),*];
    };
}

use Capability::{FromTime, Replay};

checks! {
    "1a" exact::live, None, "what is published while subscribed comes in order, none lost, none twice";
    "1b" exact::history_into_live, Some(Replay), "history runs on into what is published meanwhile";
    "1c" exact::after_every_cursor, Some(Replay), "after a cursor: exactly the rest, at every split point";
    "1d" exact::removed_while_subscribed, Some(Replay), "what is removed while subscribed was delivered or is told as a gap";
    "1e" exact::hidden_at_the_end, Some(Replay), "positions that move without a message are told as progress, up to the end";
    "1f" exact::hidden_between, Some(Replay), "what the source leaves out between messages is no gap";
    "1g" exact::two_subscriptions, None, "two subscriptions are independent";
    "2a" start::idle, None, "a topic that holds nothing has a concrete start at once";
    "2b" start::latest, None, "latest starts at the end, and at nothing before";
    "2c" start::earliest, Some(Replay), "earliest starts at the first";
    "2d" start::at_a_time, Some(FromTime), "a time starts at the first message of that time or later";
    "2e" start::at_times_outside, Some(FromTime), "a time before everything starts at the first, one to come at the end";
    "3a" start::past_the_end, None, "a cursor past the end starts at the end";
    "3b" start::unknown_epoch, None, "a cursor of another epoch starts at the first of this one";
    "3c" start::removed_before, Some(Replay), "a cursor before what is kept starts at the first, without a gap in the stream";
    "3d" start::recreated_between, Some(Replay), "a cursor of a topic that was made again starts at the first of the new one";
    "3e" start::foreign_topics, None, "topics of a cursor that the source hasn't got are not looked at";
    "3f" start::absent_partitions, Some(Replay), "a partition that a known topic leaves out is wanted from 0";
    "4a" hold::drop_does_not_block, None, "dropping the stream does not block a runtime thread";
    "5a" hold::not_polled, None, "what is not polled is not lost, or is told as a gap";
    "6a" change::recreated_while_idle, None, "a topic made again while nothing is published is told as an epoch";
    "6b" change::recreated_and_published, None, "a topic made again is delivered from its first message";
    "8a" payload::bytes, None, "payloads are exact: every byte, none, a mebibyte";
    "8b" payload::text_headers, None, "headers of text are exact";
    "8c" payload::text_keys, None, "keys of text are exact";
    "8d" payload::binary, None, "keys and header values of any bytes are exact";
    "8e" payload::says_of_itself, None, "a message says what it was published to, and when";
    "9a" hold::bounds_and_capabilities, None, "bounds and capabilities are what they say";
    "9b" hold::share_key, None, "sources that share a key read the same";
}

/// Runs the checks, or those of these names.
pub(super) async fn run(harness: &dyn Harness, only: Option<&[&str]>) -> Report {
    let mut report = Report::default();
    let mut keys = HashSet::new();
    let not_applicable = harness.not_applicable();
    let names = not_applicable.iter().map(|(name, _)| *name).chain(only.unwrap_or_default().iter().copied());
    report.refuse_unknown(names, |name| CHECKS.iter().any(|check| check.name == name));
    for check in CHECKS.iter().filter(|check| only.is_none_or(|only| only.contains(&check.name))) {
        let declared = not_applicable.iter().find(|(name, _)| *name == check.name);
        let outcome = match one(harness, check, declared.map(|(_, reason)| *reason), &mut keys).await {
            Ok(outcome) => outcome,
            Err(failure) => Outcome::Failed(failure.to_string()),
        };
        report.checks.push((check.name.into(), check.what.into(), outcome));
    }
    report
}

async fn one(
    harness: &dyn Harness,
    check: &Check,
    declared: Option<&str>,
    keys: &mut HashSet<ShareKey>,
) -> Result<Outcome, Failure> {
    let mut context = Context::new(harness.topic().await?, harness.patience())?;
    if context.source.share_key().is_some_and(|key| !keys.insert(key)) {
        return Err("its source has the share key of another topic's".into());
    }
    let capabilities = context.source.capabilities();
    let claimed = check.needs.is_some_and(|needed| needed.claimed(capabilities));
    match (declared, check.needs) {
        (Some(reason), Some(needed)) if claimed && !needs_a_hook(check) => Err(format!(
            "declared not applicable ({reason}), but the source claims {needed:?}: {capabilities}"
        )
        .into()),
        (Some(""), _) => Err("declared not applicable without a reason".into()),
        (Some(reason), _) => Ok(Outcome::NotApplicable(reason.into())),
        (None, Some(needed)) if !claimed => Err(format!(
            "the source does not claim {needed:?} ({capabilities}): the harness has to declare this not applicable"
        )
        .into()),
        (None, _) => {
            let deadline = context.deadline;
            by(deadline, "the check", (check.run)(&mut context)).await??;
            Ok(Outcome::Passed)
        }
    }
}

/// Whether a source may claim the capability and still not be asked: the broker's side of it may be missing.
fn needs_a_hook(check: &Check) -> bool {
    ["1d", "1e", "1f", "3c", "3d"].contains(&check.name)
}
