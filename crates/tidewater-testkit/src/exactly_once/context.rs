//! What a check works with: a place of its own, and a caller that does as it is told.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use tidewater_core::{Error, ExactlyOnce, Message, Retry, Sink, Subscription};
use tokio::time::Instant;

use super::{Failure, Harness, Target, feed::Feed};
use crate::source::{
    context::{by, by_name, same},
    follow::Follower,
};

/// What one check works with.
pub(super) struct Context<'a> {
    pub(super) harness: &'a dyn Harness,
    pub(super) target: Box<dyn Target>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) deadline: Instant,
}

impl<'a> Context<'a> {
    pub(super) async fn new(harness: &'a dyn Harness) -> Result<Self, Failure> {
        let target = harness.target().await?;
        let sink = target.sink()?;
        Ok(Self { harness, target, sink, deadline: Instant::now() + harness.patience() })
    }

    /// A writer of the check's own sink.
    pub(super) fn writer(&self, id: &str) -> Result<Writer, Failure> {
        Writer::of(&*self.sink, id, self.deadline)
    }

    /// A writer as another process would have one.
    pub(super) fn elsewhere(&self, id: &str) -> Result<Writer, Failure> {
        Writer::of(&*self.target.sink()?, id, self.deadline)
    }

    /// Everything that the sink holds now.
    pub(super) async fn held(&self) -> Result<Vec<Message>, Failure> {
        let source = self.target.source()?;
        let end = by(self.deadline, "the bounds", source.bounds()).await??.end();
        let mut follower = Follower::open(source, Subscription::earliest(), self.deadline).await?;
        follower.until("all that the sink holds", |seen| seen.cursor.dominates(&end)).await?;
        match follower.gaps.first() {
            None => Ok(follower.messages),
            Some(gap) => Err(format!("the sink's source has a gap: {gap:?}").into()),
        }
    }

    /// Fails unless the sink holds exactly these messages of a feed: each once, in order within each partition.
    pub(super) async fn holds(&self, feed: Feed, wanted: Range<usize>) -> Result<(), Failure> {
        self.holds_all(&[(feed, wanted.collect())]).await
    }

    /// The same of several feeds that were written at the same time.
    pub(super) async fn holds_all(&self, wanted: &[(Feed, Vec<usize>)]) -> Result<(), Failure> {
        let mut numbers = HashMap::new();
        for (of, (feed, wanted)) in wanted.iter().enumerate() {
            numbers.extend(wanted.iter().map(|n| (feed.message(*n).payload, (of, *n))));
        }
        let (mut seen, mut last) = (HashSet::new(), HashMap::new());
        for message in self.held().await? {
            let shown = message.payload.as_ref().map(|payload| payload.slice(..payload.len().min(40)));
            let Some((of, n)) = numbers.get(&message.payload) else {
                return Err(format!("a message that was not to be there: {shown:?}").into());
            };
            if !seen.insert((*of, *n)) {
                return Err(format!("{shown:?} is there twice").into());
            }
            let before = last.insert((*of, message.tag, message.partition), *n);
            if let Some(before) = before.filter(|before| before > n) {
                return Err(format!("{shown:?} stands behind number {before}").into());
            }
        }
        let mut missing: Vec<_> =
            numbers.values().filter(|number| !seen.contains(number)).map(|(_, n)| *n).collect();
        missing.sort_unstable();
        match missing.as_slice() {
            [] => Ok(()),
            [first, ..] => {
                Err(format!("{} of {} are missing, from number {first}", missing.len(), numbers.len()).into())
            }
        }
    }

    /// Fails unless these are the messages, but for what the sink adds.
    pub(super) fn same(&self, held: &[Message], written: &[Message]) -> Result<(), Failure> {
        same("messages", &held.len(), &written.len())?;
        for (held, written) in held.iter().zip(written) {
            same("a payload", &held.payload, &written.payload)?;
            same("a key", &held.key, &written.key)?;
            let (mut held, mut written) = (by_name(&held.headers), by_name(&written.headers));
            for own in self.harness.adds() {
                held.remove(*own);
                written.remove(*own);
            }
            same("headers", &held, &written)?;
        }
        Ok(())
    }
}

/// A writer with the caller's patience.
pub(super) struct Writer {
    pub(super) inner: Box<dyn ExactlyOnce>,
    deadline: Instant,
}

impl Writer {
    fn of(sink: &dyn Sink, id: &str, deadline: Instant) -> Result<Self, Failure> {
        let inner = sink.exactly_once(id)?.ok_or("the sink has no writers that write once")?;
        Ok(Self { inner, deadline })
    }

    /// How many messages of the feed are behind the position that the sink tells.
    pub(super) async fn resume(&mut self, feed: Feed) -> Result<usize, Failure> {
        loop {
            match by(self.deadline, "resuming", self.inner.resume()).await? {
                Ok(next) => return feed.read(next.as_ref()),
                Err(error) => pause(self.deadline, error).await?,
            }
        }
    }

    /// Fails unless the sink tells that so many have been written.
    pub(super) async fn resume_at(&mut self, feed: Feed, wanted: usize) -> Result<(), Failure> {
        same("the position after resuming", &self.resume(feed).await?, &wanted)
    }

    /// Writes one batch.
    pub(super) async fn write(
        &mut self,
        feed: Feed,
        range: Range<usize>,
    ) -> Result<Result<(), Error>, Failure> {
        let next = feed.at(range.end);
        by(self.deadline, "writing", self.inner.write(feed.batch(range), &next)).await
    }

    /// Writes up to the `end`-th, in batches of `batch`, from where the sink says, and again after errors.
    pub(super) async fn write_to(&mut self, feed: Feed, end: usize, batch: usize) -> Result<(), Failure> {
        let mut at = self.resume(feed).await?;
        while at < end {
            let to = end.min(at + batch);
            match self.write(feed, at..to).await? {
                Ok(()) => at = to,
                Err(error) => {
                    pause(self.deadline, error).await?;
                    at = self.resume(feed).await?;
                }
            }
        }
        Ok(())
    }
}

/// Gives up on an error that won't pass.
async fn pause(deadline: Instant, error: Error) -> Result<(), Failure> {
    if error.retry() == Retry::Never {
        return Err(error.into());
    }
    if Instant::now() > deadline {
        return Err(format!("it never came to an end: {error}").into());
    }
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    Ok(())
}
