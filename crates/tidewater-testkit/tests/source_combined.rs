//! The source suite over one of two combined sources, while the other one is as busy.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{fmt, future::ready, sync::Arc};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tidewater_core::{
    Bounds, Capabilities, Combined, Cursor, Delivery, Message, Result, ShareKey, Source, Subscribed,
    Subscription, TopicTag, memory::MemoryLog,
};
use tidewater_testkit::source::{self, Failure, Harness, Record, Topic};

struct Memory;

struct Logs {
    own: MemoryLog,
    other: MemoryLog,
}

#[async_trait]
impl Harness for Memory {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        Ok(Box::new(Logs { own: MemoryLog::new("m"), other: MemoryLog::new("neighbour") }))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let reason = "a memory log holds nothing that its source leaves out";
        vec![("1e", reason), ("1f", reason)]
    }
}

#[async_trait]
impl Topic for Logs {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        let both: [Arc<dyn Source>; 2] = [Arc::new(self.other.source()), Arc::new(self.own.source())];
        Ok(Arc::new(Only { of: Combined::new(both)?, tag: TopicTag::of("memory", "m") }))
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        for record in records {
            let message = Message::new("", record.payload).with_headers(record.headers);
            self.own.publish(Message { key: record.key, ..message });
            self.other.publish(Message::new("", "not asked for"));
        }
        Ok(())
    }

    fn published_to(&self) -> Option<String> {
        Some("m".into())
    }

    async fn remove_before(&self, _partition: u32, offset: u64) -> Result<(), Failure> {
        self.own.truncate_before(offset);
        Ok(())
    }

    async fn recreate(&self) -> Result<(), Failure> {
        self.own.recreate();
        Ok(())
    }
}

/// The suite is about one topic: nothing of the neighbour's is shown to it.
#[derive(Debug)]
struct Only {
    of: Combined,
    tag: TopicTag,
}

impl Only {
    fn own(&self, cursor: &Cursor) -> Cursor {
        cursor.topic(self.tag).cloned().into_iter().collect()
    }
}

#[async_trait]
impl Source for Only {
    fn kind(&self) -> &'static str {
        self.of.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.of.capabilities()
    }

    async fn bounds(&self) -> Result<Bounds> {
        let mut bounds = self.of.bounds().await?;
        bounds.topics.retain(|topic| topic.tag == self.tag);
        Ok(bounds)
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let Subscribed { start, deliveries } = self.of.subscribe(subscription).await?;
        let tag = self.tag;
        let own = move |delivery: &Result<Delivery>| {
            ready(!matches!(delivery, Ok(Delivery::Message(message)) if message.tag != tag))
        };
        Ok(Subscribed { start: self.own(&start), deliveries: deliveries.filter(own).boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        self.of.share_key()
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)
    }
}

#[tokio::test]
async fn combined_sources_keep_the_contract() {
    source::run(&Memory).await;
}
