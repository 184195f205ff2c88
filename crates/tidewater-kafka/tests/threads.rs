//! Streams that go leave nothing behind. A file of its own: it counts the threads of its process.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use futures_util::FutureExt as _;
use support::{PATIENCE, Reading, Topic};
use tidewater_core::{Source as _, Subscription};
use tokio::time::Instant;

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn dropped_streams_leave_no_threads() {
    let topic = Topic::new(2).await;
    topic.publish(0, ["x"]).await;
    settle(|threads| !threads.iter().any(|name| name.starts_with("tidewater-kafka"))).await;
    let before = threads().len();

    let source = topic.source();
    let mut all = Vec::new();
    for _ in 0..5 {
        let mut reading = Reading::open(&source, Subscription::earliest()).await;
        reading.message().await;
        all.push(reading);
    }
    assert!(threads().len() > before + 10, "a reader and a client each");
    // One that is dropped before it has started.
    assert!(source.subscribe(Subscription::latest()).now_or_never().is_none());
    drop(all);
    drop(source);
    settle(|threads| threads.len() <= before).await;
}

async fn settle(done: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let threads = threads();
        if done(&threads) {
            break;
        }
        assert!(Instant::now() < deadline, "{threads:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("rdk:") || name.starts_with("tidewater-kafka"))
        .collect()
}
