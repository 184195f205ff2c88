//! A reader that holds every delivery against the rules, and subscribes again after errors as a hub does.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tidewater_core::{
    Cursor, Deliveries, Delivery, Gap, Message, NewEpoch, Next, Retry, Source, Subscription, TopicCursor,
    TopicTag,
};
use tokio::time::Instant;

use super::{Failure, context::by};

/// Reads one subscription.
pub(crate) struct Follower {
    source: Arc<dyn Source>,
    deliveries: Deliveries,
    deadline: Instant,
    /// Where the subscription started.
    pub(crate) start: Cursor,
    /// Where it stands now.
    pub(crate) cursor: Cursor,
    /// What came, in this incarnation of the topic.
    pub(crate) messages: Vec<Message>,
    pub(crate) gaps: Vec<Gap>,
    /// How many times the topic's incarnation was told to have changed.
    pub(crate) incarnations: usize,
    /// How many times positions moved without a message.
    pub(crate) progressed: usize,
}

impl Follower {
    /// Subscribes; again and again while the source says that it can help.
    pub(crate) async fn open(
        source: Arc<dyn Source>,
        subscription: Subscription,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let subscribed = loop {
            match by(deadline, "subscribing", source.subscribe(subscription.clone())).await? {
                Ok(subscribed) => break subscribed,
                Err(error) if error.retry() == Retry::Later => pause(deadline, &error.to_string()).await?,
                Err(error) => return Err(error.into()),
            }
        };
        if subscribed.start.is_empty() {
            return Err("the start of a subscription names no topic (rule 2)".into());
        }
        Ok(Self {
            source,
            deliveries: subscribed.deliveries,
            deadline,
            cursor: subscribed.start.clone(),
            start: subscribed.start,
            messages: Vec::new(),
            gaps: Vec::new(),
            incarnations: 0,
            progressed: 0,
        })
    }

    /// The payloads that a partition delivered; `None` (a tombstone) as empty.
    pub(crate) fn payloads(&self, partition: u32) -> Vec<Bytes> {
        self.messages
            .iter()
            .filter(|message| message.partition == partition)
            .map(|message| message.payload.clone().unwrap_or_default())
            .collect()
    }

    /// Reads until a condition holds.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<(), Failure> {
        while !holds(self) {
            let next = by(self.deadline, what, self.deliveries.next()).await.map_err(|error| {
                format!(
                    "{error}; {} messages, {} gaps, {} progress came; at {:?}",
                    self.messages.len(),
                    self.gaps.len(),
                    self.progressed,
                    self.cursor
                )
            })?;
            match next {
                None => return Err("the stream ended without an error (rule 7)".into()),
                Some(Ok(delivery)) => self.take(delivery)?,
                Some(Err(error)) if error.retry() == Retry::Later => {
                    self.resubscribe(&error.to_string()).await?
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take(&mut self, delivery: Delivery) -> Result<(), Failure> {
        match delivery {
            Delivery::Message(message) => self.message(message),
            Delivery::Gap(gap) => self.gap(gap),
            Delivery::Progress(cursor) => self.progress(&cursor),
            Delivery::Epoch(epoch) => self.epoch(epoch),
        }
    }

    fn message(&mut self, message: Message) -> Result<(), Failure> {
        let topic = self.topic(message.tag, message.partition)?;
        let (epoch, next) = (topic.epoch, topic.offset(message.partition));
        if let Some(offset) = message.position.offset()
            && offset < next
        {
            return Err(format!(
                "partition {}: offset {offset} came when {next} was next: twice, or out of order (rule 1)",
                message.partition
            )
            .into());
        }
        self.cursor.advance(message.tag, epoch, message.partition, &message.position);
        self.messages.push(message);
        Ok(())
    }

    fn gap(&mut self, gap: Gap) -> Result<(), Failure> {
        let topic = self.topic(gap.tag, gap.partition)?;
        let (epoch, next) = (topic.epoch, topic.offset(gap.partition));
        match &gap.missing {
            Some(missing) if missing.is_empty() => return Err(format!("a gap of nothing: {gap:?}").into()),
            Some(missing) if missing.start < next => {
                return Err(format!("a gap over what was delivered ({next} is next): {gap:?}").into());
            }
            Some(missing) => self.cursor.raise(gap.tag, epoch, gap.partition, missing.end),
            None if self.source.capabilities().replay => {
                return Err(format!("a source that replays knows how much is missing: {gap:?}").into());
            }
            None => {}
        }
        self.gaps.push(gap);
        Ok(())
    }

    fn progress(&mut self, progress: &Cursor) -> Result<(), Failure> {
        for topic in progress.topics() {
            let known = self.topic(topic.tag, 0)?;
            if topic.epoch != known.epoch {
                return Err(format!("progress of another epoch: {topic:?} after {known:?}").into());
            }
            if topic.offsets().len() < known.offsets().len() {
                return Err(format!("progress without every partition: {topic:?} after {known:?}").into());
            }
        }
        if !progress.dominates(&part(&self.cursor, progress)) {
            return Err(format!("progress goes back: {progress:?} after {:?}", self.cursor).into());
        }
        self.cursor.merge(progress);
        self.progressed += 1;
        Ok(())
    }

    fn epoch(&mut self, new: NewEpoch) -> Result<(), Failure> {
        let known = self.topic(new.tag, 0)?;
        if known.epoch == new.epoch.tag() {
            return Err(format!("an epoch is told that was there already: {new:?} (rule 6)").into());
        }
        if known.offsets().len() != new.start.len() {
            return Err(format!("an epoch without a start for every partition: {new:?} (rule 6)").into());
        }
        self.cursor.set(TopicCursor { tag: new.tag, epoch: new.epoch.tag(), next: Next::Offsets(new.start) });
        self.new_incarnation();
        Ok(())
    }

    /// After an error the stream has to be over; what a new one starts with has to follow on.
    async fn resubscribe(&mut self, error: &str) -> Result<(), Failure> {
        if by(self.deadline, "the end after an error", self.deliveries.next()).await?.is_some() {
            return Err(format!("the stream went on after an error (rule 7): {error}").into());
        }
        pause(self.deadline, error).await?;
        let next =
            Self::open(self.source.clone(), Subscription::after(self.cursor.clone()), self.deadline).await?;
        for topic in next.start.topics() {
            let before = self.topic(topic.tag, 0)?;
            if topic.epoch != before.epoch {
                self.new_incarnation();
                break;
            }
            if topic.offsets() != before.offsets() {
                return Err(
                    format!("subscribing again after {before:?} started at {topic:?} (rule 3)").into()
                );
            }
        }
        (self.deliveries, self.cursor) = (next.deliveries, next.start);
        Ok(())
    }

    fn new_incarnation(&mut self) {
        self.messages.clear();
        self.gaps.clear();
        self.incarnations += 1;
    }

    fn topic(&self, tag: TopicTag, partition: u32) -> Result<&TopicCursor, Failure> {
        let topic = self.cursor.topic(tag).ok_or_else(|| {
            format!("a delivery of topic {tag}, which the start does not name: {:?} (rule 2)", self.cursor)
        })?;
        match &topic.next {
            Next::Offsets(offsets) if offsets.len() <= partition as usize => Err(format!(
                "a delivery of partition {partition}, for which the start has no number: {topic:?} (rule 2)"
            )
            .into()),
            _ => Ok(topic),
        }
    }
}

/// The part of a cursor about the topics of another one.
fn part(cursor: &Cursor, of: &Cursor) -> Cursor {
    cursor.topics().iter().filter(|topic| of.topic(topic.tag).is_some()).cloned().collect()
}

async fn pause(deadline: Instant, error: &str) -> Result<(), Failure> {
    if Instant::now() > deadline {
        return Err(format!("it never came back: {error}").into());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}
