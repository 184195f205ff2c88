//! Consumers that wait for the next subscription, and what they must not bring along. A file of its own: it counts the
//! threads of its process.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use support::{PATIENCE, Reading, Topic, text};
use tidewater_core::{Delivery, Next, Position, Source as _, Subscription};
use tokio::{sync::Mutex, time::Instant};

/// Threads are counted by one test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

const PARTITIONS: usize = 3;
const EACH: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_consumer_that_is_used_again_reads_exactly_what_is_wanted() {
    let _alone = ALONE.lock().await;
    let topic = Topic::new(PARTITIONS as i32).await;
    for partition in 0..PARTITIONS {
        let payloads: Vec<String> = (0..EACH).map(|offset| format!("{partition}:{offset}")).collect();
        topic.publish(partition as i32, payloads.iter().map(String::as_str)).await;
    }
    let source = topic.source();
    source.bounds().await.unwrap();
    let before = threads("rdk:main");
    // Forwards and backwards, and away with much still on its way.
    for round in 0..40u64 {
        let mut cursor = source.bounds().await.unwrap().end();
        let mut wanted: Vec<u64> =
            (0..PARTITIONS as u64).map(|partition| (round * 379 + partition * 211) % EACH).collect();
        let mut of_topic = cursor.topics()[0].clone();
        of_topic.next = Next::Offsets(wanted.clone());
        cursor.set(of_topic);
        let rest: u64 = wanted.iter().map(|next| EACH - next).sum();
        let mut reading = Reading::open(&source, Subscription::after(cursor)).await;
        for _ in 0..if round % 4 == 0 { rest } else { 1 + round * 13 } {
            let message = reading.message().await;
            let partition = message.partition as usize;
            let next = wanted[partition];
            assert_eq!(message.position, Position::Offset(next), "round {round}, partition {partition}");
            assert_eq!(text(&message), format!("{partition}:{next}"));
            wanted[partition] += 1;
        }
        drop(reading);
        settled().await;
        assert_eq!(threads("rdk:main"), before + 1, "one consumer for all rounds; round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_topic_made_again_meanwhile_is_read_by_another_consumer() {
    let _alone = ALONE.lock().await;
    let topic = Topic::new(1).await;
    let source = topic.source();
    topic.publish(0, ["old 0", "old 1"]).await;
    let mut reading = Reading::open(&source, Subscription::earliest()).await;
    assert_eq!(reading.payloads(2).await, ["old 0", "old 1"]);
    let cursor = source.bounds().await.unwrap().end();
    drop(reading);
    settled().await;
    topic.recreate().await;
    topic.publish(0, ["new 0", "new 1", "new 2", "new 3"]).await;
    for subscription in [Subscription::after(cursor), Subscription::earliest()] {
        let mut reading = Reading::open(&source, subscription).await;
        assert_eq!(reading.payloads(4).await, ["new 0", "new 1", "new 2", "new 3"]);
        topic.publish(0, ["newer"]).await;
        let told = reading.next().await;
        assert!(matches!(&told, Delivery::Message(message) if text(message) == "newer"), "{told:?}");
        drop(reading);
        settled().await;
        topic.recreate().await;
        topic.publish(0, ["new 0", "new 1", "new 2", "new 3"]).await;
    }
}

/// Until no subscription is read any more.
async fn settled() {
    let deadline = Instant::now() + PATIENCE;
    while threads("tidewater-kafka") > 0 {
        assert!(Instant::now() < deadline, "readers go on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.trim() == name)
        .count()
}
