//! The way from a source into a sink: one task that reads ahead while it writes.
//!
//! ```text
//! begin:   where? (the file, the sink)
//! session: subscribe there ─> tell what is missing ─> take a batch ─> write it ─> confirmed ─> checkpoint ─┐
//!             ▲                                          ▲────────────────────────────────────────────────┘
//!             └── the source fails, or the sink stands elsewhere
//! ```
//!
//! `confirmed` moves only over what the sink has said that it has. It may be dropped at any await: what is written then
//! and not confirmed is written again, or found by the sink's own position.

use std::{sync::Arc, time::Duration};

use tidewater::{Cursor, Delivery, Error, ErrorKind, Source, Start};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    ahead::Taken,
    begin::subscribe,
    checkpoint::{Checkpoint, CheckpointFile, Counts, Promise},
    missing::Missing,
    outage::Outage,
    progress::Progress,
    start::{First, From},
    stop::{GRACE, Stop},
    target::Target,
};
use crate::failure::Failure;

/// How often the checkpoint is written while messages go through.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What a pipe is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) from: Option<From>,
    pub(super) until_caught_up: bool,
    pub(super) skip_gaps: bool,
    pub(super) skip_rejected: bool,
    /// Headers that speak to a NATS server are left out.
    pub(super) without_server_headers: bool,
}

/// Why a pipe ends without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    CaughtUp,
    Stopped,
}

/// Why a session ends.
#[derive(Debug)]
pub(super) enum Fault {
    /// The pipe ends with it.
    Final(Failure),
    /// The source failed.
    Source(Error),
    /// The sink stands elsewhere: the source is to be read from there.
    Elsewhere,
}

impl std::convert::From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

/// A pipe.
pub(super) struct Engine {
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Target,
    pub(super) options: Options,
    pub(super) progress: Arc<Progress>,
    file: CheckpointFile,
    /// What stands in the file, or shall.
    pub(super) checkpoint: Checkpoint,
    /// What earlier runs have counted.
    before: Counts,
    /// The checkpoint that was found.
    pub(super) found: Option<Checkpoint>,
    /// The sink has everything before this; `None` until the source has said where it begins.
    pub(super) confirmed: Option<Cursor>,
    /// The sink's own position, if it keeps one, as far as it is known.
    pub(super) written: Option<Cursor>,
    /// What it was told last, perhaps without a message.
    pub(super) told_last: Option<Cursor>,
    /// The source has been subscribed to: from here on there is something to save.
    pub(super) begun: bool,
    /// The source's end as it was at the start.
    goal: Option<Cursor>,
    /// The checkpoint is behind, and since when it was written.
    unsaved: bool,
    saved: Instant,
    /// A write has failed, or was given up, and what became of it is not known.
    pub(super) uncertain: bool,
    pub(super) source_outage: Outage,
    pub(super) sink_outage: Outage,
}

impl Engine {
    /// A pipe that has not begun. `checkpoint` is what it will write, but for what it finds.
    pub(super) fn new(
        source: Arc<dyn Source>,
        target: Target,
        options: Options,
        file: CheckpointFile,
        found: Option<Checkpoint>,
        mut checkpoint: Checkpoint,
    ) -> Self {
        if let Some(found) = &found {
            checkpoint.counts = found.counts;
        }
        let (source_outage, sink_outage) = (
            Outage::new(&format_args!("the source {source}")),
            Outage::new(&format_args!("the sink {}", target.sink)),
        );
        Self {
            source,
            target,
            options,
            progress: Arc::default(),
            file,
            before: checkpoint.counts,
            checkpoint,
            found,
            confirmed: None,
            written: None,
            told_last: None,
            begun: false,
            goal: None,
            unsaved: false,
            saved: Instant::now(),
            uncertain: false,
            source_outage,
            sink_outage,
        }
    }

    /// Goes on until it is stopped, has caught up, or can't go on.
    ///
    /// # Errors
    /// What a person has to mend. Everything before it is in the sink, and in the checkpoint.
    ///
    /// # Cancel safety
    /// As if the process were killed: the next one goes on.
    pub(super) async fn run(&mut self, stop: &Stop) -> Result<Ended, Failure> {
        let done = self.follow(stop).await;
        let finished = self.finish().await;
        done.and_then(|ended| finished.map(|()| ended))
    }

    async fn follow(&mut self, stop: &Stop) -> Result<Ended, Failure> {
        let Some(first) = self.first(stop).await? else { return Ok(Ended::Stopped) };
        let start = match first {
            First::Begin(start) => start,
            First::GoOn(cursor) => {
                self.confirmed = Some(cursor);
                Start::Earliest
            }
        };
        loop {
            match self.session(start, stop).await {
                Ok(ended) => return Ok(ended),
                Err(Fault::Final(failure)) => return Err(failure),
                Err(Fault::Elsewhere) => {}
                Err(Fault::Source(error)) if self.source_outage.passes(&error) => {
                    self.progress.away(Some("source"));
                    tokio::select! {
                        () = stop.wanted() => return Ok(Ended::Stopped),
                        () = self.source_outage.wait(&error) => {}
                    }
                }
                Err(Fault::Source(error)) => return Err(failed("reading", &error, "")),
            }
        }
    }

    /// One subscription, from its start to its end.
    async fn session(&mut self, start: Start, stop: &Stop) -> Result<Ended, Fault> {
        let subscribing = subscribe(&*self.source, start, self.confirmed.clone());
        let (mut ahead, bounds, begins) = tokio::select! {
            () = stop.wanted() => return Ok(Ended::Stopped),
            subscribed = subscribing => subscribed?,
        };
        self.source_outage.over();
        self.progress.away(None);
        self.check_known(&begins)?;
        self.begun = true;
        if self.options.until_caught_up && self.goal.is_none() {
            self.goal = Some(bounds.end());
        }
        let mut cursor = self.confirmed.clone().unwrap_or(begins);
        self.confirmed.get_or_insert_with(|| cursor.clone());
        self.show();
        self.progress.asked(Some(bounds));
        self.checkpoint.complete = false;
        self.save()?;
        loop {
            // An incarnation that is not told yet is none that was missed.
            if ahead.has_begun() && self.is_caught_up() {
                return Ok(Ended::CaughtUp);
            }
            match ahead.take(&mut cursor) {
                Some(Taken::Batch(batch, next)) => {
                    if self.write(&mut ahead, batch, next, stop).await? {
                        return Ok(Ended::Stopped);
                    }
                }
                Some(Taken::Told(told)) => {
                    self.told(&told)?;
                    told.advance(&mut cursor);
                    if self.write(&mut ahead, Vec::new(), cursor.clone(), stop).await? {
                        return Ok(Ended::Stopped);
                    }
                }
                Some(Taken::End(error)) => return Err(Fault::Source(error)),
                None => {
                    let due = self.saved + SAVE_EVERY;
                    let stalled = self.progress.stalled.notified();
                    tokio::select! {
                        biased;
                        () = stop.wanted() => return Ok(Ended::Stopped),
                        () = ahead.filled() => {}
                        () = sleep_until(due), if self.unsaved => self.save()?,
                        () = stalled => return Err(Fault::Source(Error::new(
                            ErrorKind::Unavailable,
                            "the subscription brings nothing of what the source has",
                        ))),
                    }
                }
            }
            if stop.is_wanted() {
                // What a source that keeps nothing has given is not to be had again.
                if self.checkpoint.promise != Promise::AtMostOnce || stop.is_overdue() {
                    return Ok(Ended::Stopped);
                }
                ahead.close();
            }
        }
    }

    /// Something is missing: whether that is the end.
    fn told(&mut self, told: &Delivery) -> Result<(), Fault> {
        let missing = Missing(told);
        if self.checkpoint.promise == Promise::AtMostOnce {
            tracing::warn!("{missing}");
        } else if self.options.skip_gaps {
            tracing::warn!("passed over (--skip-gaps): {missing}");
        } else {
            return Err(Fault::Final(Failure::runtime(format_args!(
                "{}: {missing}. The pipe stands before it, and everything before is in {}. To go on behind it: --skip-gaps",
                self.source, self.target.sink
            ))));
        }
        self.checkpoint.counts.gaps += 1;
        Ok(())
    }

    /// The sink has everything before this.
    pub(super) fn confirm(&mut self, next: Cursor) -> Result<(), Failure> {
        self.confirmed = Some(next);
        self.unsaved = true;
        self.show();
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save()?;
        }
        Ok(())
    }

    fn show(&self) {
        if let Some(confirmed) = &self.confirmed {
            self.progress.moved(confirmed, self.through());
        }
    }

    /// What went through in this run.
    pub(super) fn through(&self) -> Counts {
        self.checkpoint.counts.since(self.before)
    }

    fn is_caught_up(&self) -> bool {
        let (Some(goal), Some(confirmed)) = (&self.goal, &self.confirmed) else { return false };
        goal.topics().iter().all(|wanted| {
            // The end of an incarnation that is gone is never reached.
            confirmed.topic(wanted.tag).is_some_and(|own| {
                own.epoch != wanted.epoch
                    || (0..).zip(wanted.offsets()).all(|(partition, next)| own.offset(partition) >= *next)
            })
        })
    }

    fn save(&mut self) -> Result<(), Failure> {
        let Some(confirmed) = &self.confirmed else { return Ok(()) };
        self.checkpoint.cursor.clone_from(confirmed);
        self.checkpoint.written.clone_from(&self.written);
        self.file.save(&mut self.checkpoint)?;
        (self.unsaved, self.saved) = (false, Instant::now());
        Ok(())
    }

    /// Tells the sink and the file where it stands.
    async fn finish(&mut self) -> Result<(), Failure> {
        let Some(confirmed) = self.confirmed.clone().filter(|_| self.begun) else { return Ok(()) };
        if !self.uncertain {
            let last = async {
                if self.target.is_exact() && self.told_last.as_ref() != Some(&confirmed) {
                    self.target.write([].iter(), &confirmed).await?;
                }
                self.target.sink.flush().await
            };
            // Everything is there already; what is left is not worth an error.
            match timeout(GRACE, last).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!("at the end: {error}"),
                Err(_) => tracing::debug!("at the end: no answer within {GRACE:?}"),
            }
        }
        self.checkpoint.complete = !self.uncertain;
        self.save()
    }
}

/// What can't be gone on with.
pub(super) fn failed(what: &str, error: &Error, advice: &str) -> Failure {
    let text = format_args!("{what}: {error}{advice}");
    match error.kind() {
        ErrorKind::Config | ErrorKind::UnknownScheme | ErrorKind::Unsupported => Failure::usage(text),
        _ => Failure::runtime(text),
    }
}
