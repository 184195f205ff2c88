//! Reading a memory log.

use std::{collections::VecDeque, fmt};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use super::{CAPABILITIES, KIND, Kept, MemoryLog};
use crate::{
    Bounds, Capabilities, Cursor, Delivery, Gap, GapReason, Message, NewEpoch, Next, Result, ShareKey,
    Source, Start, Subscribed, Subscription, TopicBounds, TopicCursor,
};

/// The most messages taken out of the log at once.
const BATCH: usize = 256;

/// The source of a [`MemoryLog`].
#[derive(Clone, Debug)]
pub struct MemorySource(pub(super) MemoryLog);

#[async_trait]
impl Source for MemorySource {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn bounds(&self) -> Result<Bounds> {
        let kept = self.0.kept();
        let range = kept.first..kept.end();
        Ok(Bounds {
            topics: vec![TopicBounds {
                name: self.0.name().clone(),
                tag: self.0.tag(),
                epoch: kept.epoch,
                partitions: vec![range],
            }],
        })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let reader = Reader::new(&self.0, &subscription);
        let start = reader.start();
        let deliveries = stream::unfold(reader, async |mut reader| {
            let delivery = reader.next().await;
            Some((Ok(delivery), reader))
        });
        Ok(Subscribed { start, deliveries: deliveries.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        Some(ShareKey::new(KIND, [self.0.0.number.to_be_bytes()]))
    }
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the log, moved along by one subscription.
struct Reader {
    log: MemoryLog,
    incarnation: u64,
    epoch: crate::Epoch,
    next: u64,
    taken: VecDeque<Message>,
    moved: watch::Receiver<(u64, u64)>,
}

impl Reader {
    fn new(log: &MemoryLog, subscription: &Subscription) -> Self {
        let kept = log.kept();
        let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(log.tag()));
        let next = match wanted {
            Some(wanted) if wanted.epoch == kept.epoch.tag() => {
                wanted.offset(0).clamp(kept.first, kept.end())
            }
            Some(_) => kept.first,
            None => start(&kept, subscription.start),
        };
        Self {
            log: log.clone(),
            incarnation: kept.incarnation,
            epoch: kept.epoch,
            next,
            taken: VecDeque::new(),
            moved: log.0.moved.subscribe(),
        }
    }

    fn start(&self) -> Cursor {
        let next = Next::Offsets(vec![self.next]);
        [TopicCursor { tag: self.log.tag(), epoch: self.epoch.tag(), next }].into_iter().collect()
    }

    /// Cancel safe: nothing is taken out before the only await.
    async fn next(&mut self) -> Delivery {
        loop {
            if let Some(message) = self.taken.pop_front() {
                return Delivery::Message(message);
            }
            self.moved.borrow_and_update();
            if let Some(delivery) = self.take() {
                return delivery;
            }
            if self.taken.is_empty() && self.moved.changed().await.is_err() {
                // The sender lives in the log that this reader holds.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes what is there: messages into `taken`, or something else to tell.
    fn take(&mut self) -> Option<Delivery> {
        let log = self.log.clone();
        let kept = log.kept();
        if kept.incarnation != self.incarnation {
            (self.incarnation, self.epoch, self.next) = (kept.incarnation, kept.epoch, kept.first);
            return Some(Delivery::Epoch(NewEpoch {
                topic: log.name().clone(),
                tag: log.tag(),
                epoch: kept.epoch,
                start: vec![kept.first],
            }));
        }
        if self.next < kept.first {
            let missing = Some(self.next..kept.first);
            self.next = kept.first;
            let (topic, tag) = (log.name().clone(), log.tag());
            return Some(Delivery::Gap(Gap {
                topic,
                tag,
                partition: 0,
                missing,
                reason: GapReason::Retention,
            }));
        }
        let from = (self.next - kept.first) as usize;
        self.taken.extend(kept.messages.iter().skip(from).take(BATCH).cloned());
        self.next += self.taken.len() as u64;
        None
    }
}

fn start(kept: &Kept, start: Start) -> u64 {
    match start {
        Start::Latest => kept.end(),
        Start::Earliest => kept.first,
        Start::Time(time) => {
            let before = kept
                .messages
                .iter()
                .take_while(|message| message.timestamp.is_some_and(|at| at < time))
                .count();
            kept.first + before as u64
        }
    }
}
