//! How much of the sink is there for readers, all the while: so that what is killed is killed in the middle, and when it
//! goes on is seen.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};
use tidewater_tests::{Feed, PATIENCE, kafka, nats};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::readback;

/// Counts messages as they come. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Arc<Seen>,
    ended: Arc<AtomicBool>,
    /// Of a stream; a topic's is a thread.
    task: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    count: AtomicU64,
    /// How often a stream was asked.
    asked: AtomicU64,
}

impl Watch {
    /// Begins at the first message.
    ///
    /// # Errors
    /// If there can be no client.
    pub(super) fn start(feed: &Feed, partitions: u32) -> Result<Self> {
        let (seen, ended) = (Arc::<Seen>::default(), Arc::<AtomicBool>::default());
        let mut task = None;
        match feed {
            Feed::Kafka(topic) => follow_topic(topic, partitions, seen.clone(), ended.clone())?,
            Feed::JetStream(stream) => task = Some(tokio::spawn(ask_stream(stream.clone(), seen.clone()))),
            Feed::Nats(_) => anyhow::bail!("a subject keeps nothing"),
        }
        Ok(Self { seen, ended, task })
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// How many there are now: a stream is asked anew, so that what was there before something was killed is not taken for
    /// what comes after it.
    ///
    /// # Errors
    /// If it doesn't answer.
    pub(super) async fn fresh(&self) -> Result<u64> {
        let asked = self.seen.asked.load(Ordering::Relaxed);
        let anew = async {
            // The question under way may be older.
            while self.task.is_some() && self.seen.asked.load(Ordering::Relaxed) < asked + 2 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, anew).await.context("the stream does not answer")?;
        Ok(self.count())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.task.iter().for_each(JoinHandle::abort);
    }
}

fn follow_topic(
    topic: &kafka::Topic,
    partitions: u32,
    seen: Arc<Seen>,
    ended: Arc<AtomicBool>,
) -> Result<()> {
    let consumer = readback::consumer(topic.broker())?;
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic.name(), partition.cast_signed(), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            // A broker that is away comes back.
            if let Some(Ok(_)) = consumer.poll(Duration::from_millis(50)) {
                seen.count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    Ok(())
}

async fn ask_stream(stream: nats::Stream, seen: Arc<Seen>) {
    let subject = format!("$JS.API.STREAM.INFO.{}", stream.name());
    loop {
        let ask = async {
            let mut api = stream.producer().await?;
            loop {
                let told = timeout(Duration::from_secs(1), api.ask(&subject, &[String::new()])).await??;
                if let Some(messages) = told[0]["state"]["messages"].as_u64() {
                    seen.count.store(messages, Ordering::Relaxed);
                    seen.asked.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        // The server is away: it is asked again.
        let away: Result<()> = ask.await;
        drop(away);
        sleep(Duration::from_millis(20)).await;
    }
}
