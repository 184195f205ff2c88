//! Reading an embedded log.

use std::{collections::VecDeque, fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tidewater_core::{
    Bounds, Capabilities, Cursor, Delivery, Epoch, Gap, GapReason, Message, NewEpoch, Next, Result, ShareKey,
    Source, Start, Subscribed, Subscription, TopicBounds, TopicCursor,
};
use tokio::sync::watch;

use crate::{CAPABILITIES, EmbeddedLog, KIND, failure::Failure, store::Store, tail::Place};

/// The most messages taken out of memory at once.
const BATCH: usize = 256;

/// The source of an [`EmbeddedLog`].
#[derive(Clone, Debug)]
pub struct EmbeddedSource(pub(crate) EmbeddedLog);

#[async_trait]
impl Source for EmbeddedSource {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn bounds(&self) -> Result<Bounds> {
        let place = self.0.place().await?;
        let kept = place.first..place.end;
        Ok(Bounds {
            topics: vec![TopicBounds {
                name: place.topic.clone(),
                tag: place.tag,
                epoch: place.epoch,
                partitions: vec![kept],
            }],
        })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let reader = Reader::start(&self.0, &subscription).await?;
        let next = Next::Offsets(vec![reader.next]);
        let start = TopicCursor { tag: reader.place.tag, epoch: reader.epoch.tag(), next };
        let deliveries = stream::unfold(Some(reader), async |reader| {
            let mut reader = reader?;
            match reader.next().await {
                Ok(delivery) => Some((Ok(delivery), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Subscribed { start: [start].into_iter().collect::<Cursor>(), deliveries: deliveries.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        Some(ShareKey::new(KIND, [self.0.0.number.to_be_bytes()]))
    }
}

impl fmt::Display for EmbeddedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the log, moved along by one subscription.
struct Reader {
    log: EmbeddedLog,
    /// As it was looked at last.
    place: Arc<Place>,
    epoch: Epoch,
    next: u64,
    taken: VecDeque<Message>,
    moved: watch::Receiver<u64>,
}

/// What there is for a reader.
enum Found {
    Delivery(Delivery),
    /// It is taken.
    Messages,
    /// These have to be read from the disk.
    Older(std::ops::Range<u64>),
    Nothing,
}

impl Reader {
    async fn start(log: &EmbeddedLog, subscription: &Subscription) -> Result<Self> {
        loop {
            let place = log.place().await?;
            if let Some(started) = Self::start_at(log, place, subscription).await? {
                return Ok(started);
            }
        }
    }

    /// `None` if it is another log by now.
    async fn start_at(
        log: &EmbeddedLog,
        place: Arc<Place>,
        subscription: &Subscription,
    ) -> Result<Option<Self>> {
        let moved = log.0.tail.moved();
        let (epoch, first, end) = (place.epoch, place.first, place.end);
        let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(place.tag));
        let next = match (wanted, subscription.start) {
            (Some(wanted), _) if wanted.epoch == place.epoch.tag() => wanted.offset(0).clamp(first, end),
            (Some(_), _) | (None, Start::Earliest) => first,
            (None, Start::Latest) => end,
            (None, Start::Time(time)) => {
                let look = move |store: &Store| match store.epoch == epoch {
                    true => store.at_time(first..end, time).map(Some),
                    false => Ok(None),
                };
                let found = log.read(look).await?.ok_or_else(|| {
                    log.failed(&Failure::unavailable("it was closed while a time was looked for"))
                })?;
                let Some(found) = found else { return Ok(None) };
                found
            }
        };
        let log = log.clone();
        Ok(Some(Self { log, place, epoch, next, taken: VecDeque::new(), moved }))
    }

    /// Cancel safe: nothing is taken out before an await, and what is read from the disk is read again.
    async fn next(&mut self) -> Result<Delivery> {
        loop {
            if let Some(message) = self.taken.pop_front() {
                return Ok(Delivery::Message(message));
            }
            self.moved.borrow_and_update();
            match self.take()? {
                Found::Delivery(delivery) => return Ok(delivery),
                Found::Messages => {}
                Found::Older(offsets) => self.read(offsets).await?,
                Found::Nothing => {
                    if self.moved.changed().await.is_err() {
                        // The sender lives in the log that this reader holds.
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }

    /// Takes what is in memory, or says what else there is.
    fn take(&mut self) -> Result<Found> {
        let log = self.log.clone();
        let kept = log.0.tail.kept();
        let Some(place) = kept.place.clone() else { return Ok(Found::Nothing) };
        self.place = place;
        let Place { topic, tag, epoch, first, end } = &*self.place;
        let (tag, epoch, first, end) = (*tag, *epoch, *first, *end);
        if epoch != self.epoch {
            (self.epoch, self.next) = (epoch, first);
            let start = vec![first];
            return Ok(Found::Delivery(Delivery::Epoch(NewEpoch {
                topic: topic.clone(),
                tag,
                epoch,
                start,
            })));
        }
        if self.next < first {
            let missing = Some(self.next..first);
            self.next = first;
            let reason = GapReason::Retention;
            return Ok(Found::Delivery(Delivery::Gap(Gap {
                topic: topic.clone(),
                tag,
                partition: 0,
                missing,
                reason,
            })));
        }
        if self.next > end {
            let lost = format!("it ends at {end} by now, and was read up to {}", self.next);
            return Err(self.log.failed(&Failure::unavailable(lost)));
        }
        if self.next == end {
            return Ok(Found::Nothing);
        }
        let Some(newest) = kept.newest(self.next, end) else { return Ok(Found::Older(self.next..end)) };
        self.taken.extend(newest.take(BATCH).cloned());
        self.next += self.taken.len() as u64;
        Ok(Found::Messages)
    }

    /// Takes a page from the disk.
    async fn read(&mut self, offsets: std::ops::Range<u64>) -> Result<()> {
        let epoch = self.epoch;
        let page = self
            .log
            .read(move |store| if store.epoch == epoch { store.page(offsets) } else { Ok(Vec::new()) })
            .await?;
        match page {
            Some(page) if !page.is_empty() => {
                self.next += page.len() as u64;
                self.taken.extend(page);
                Ok(())
            }
            // It is closed or was removed by now: the writer knows.
            _ => {
                let place = self.log.place().await?;
                let is_there = place.epoch == self.epoch && place.first <= self.next;
                match is_there && page.is_some() {
                    true => {
                        Err(self.log.failed(&Failure::damaged(format!("nothing is at offset {}", self.next))))
                    }
                    false => Ok(()),
                }
            }
        }
    }
}
