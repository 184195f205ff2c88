//! A source of many partitions: live only, fed from this process.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tidewater::core::{
    Bounds, Capabilities, Cursor, Delivery, Epoch, Error, ErrorKind, Message, Next, Position, Result, Source,
    Subscribed, Subscription, TopicBounds, TopicCursor, TopicTag,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

const NAME: &str = "events";
const KIND: &str = "bench";
/// Where each partition begins: ids are as long as those of a topic that has lived for a while.
const FIRST: u64 = 1_000_000;

/// The source. The hub subscribes to it once.
#[derive(Debug)]
pub struct Partitions {
    count: u32,
    epoch: Epoch,
    messages: Mutex<Option<mpsc::UnboundedReceiver<Message>>>,
}

/// What feeds it.
#[derive(Debug)]
pub struct Feed {
    messages: mpsc::UnboundedSender<Message>,
    next: Mutex<HashMap<u32, u64>>,
}

impl Partitions {
    /// A source of so many partitions, and what feeds it.
    pub fn new(count: u32) -> (Self, Feed) {
        let (send, receive) = mpsc::unbounded_channel();
        let source = Self { count, epoch: Epoch::random(), messages: Mutex::new(Some(receive)) };
        (source, Feed { messages: send, next: Mutex::default() })
    }

    fn tag() -> TopicTag {
        TopicTag::of(KIND, NAME)
    }
}

impl Feed {
    /// Publishes a message of this partition.
    pub fn publish(&self, partition: u32, data: Bytes) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.entry(partition).or_insert(FIRST);
        let mut message = Message::new(NAME, data);
        message.tag = Partitions::tag();
        message.partition = partition;
        message.position = Position::Offset(*next);
        *next += 1;
        // Nobody reads any more: the channel is closed.
        drop(self.messages.send(message));
    }
}

#[async_trait]
impl Source for Partitions {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replay: false, from_time: false, partitioned: true, mergeable: true }
    }

    async fn bounds(&self) -> Result<Bounds> {
        Ok(Bounds {
            topics: vec![TopicBounds {
                name: NAME.into(),
                tag: Self::tag(),
                epoch: self.epoch,
                partitions: vec![FIRST..FIRST; self.count as usize],
            }],
        })
    }

    async fn subscribe(&self, _: Subscription) -> Result<Subscribed> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        let messages = messages.ok_or_else(|| Error::new(ErrorKind::Unsupported, "it can be read once"))?;
        let next = Next::Offsets(vec![FIRST; self.count as usize]);
        let start = TopicCursor { tag: Self::tag(), epoch: self.epoch.tag(), next };
        let start: Cursor = [start].into_iter().collect();
        let deliveries = UnboundedReceiverStream::new(messages).map(|message| Ok(Delivery::Message(message)));
        Ok(Subscribed { start, deliveries: deliveries.boxed() })
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}:{NAME}")
    }
}
