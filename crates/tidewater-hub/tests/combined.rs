//! A channel of several sources: one stream, and ids that any node resumes exactly (I1, I2).

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use futures_util::StreamExt as _;
use tidewater_core::{ErrorKind, Message, Start, memory::MemoryLog};
use tidewater_hub::{Channel, EventStream, Hub, Resume, Select, UpstreamState};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

fn channel(hub: &Hub, logs: &[MemoryLog]) -> Channel {
    let builder = logs.iter().fold(hub.channel("c"), |builder, log| builder.source(log.source()));
    builder.start(Start::Earliest).open().unwrap()
}

/// The data and the id of the next events, without what has no data.
async fn next(stream: &mut EventStream, count: usize) -> Vec<(String, String)> {
    let mut events = Vec::new();
    while events.len() < count {
        let bytes = timeout(PATIENCE, stream.next()).await.unwrap().unwrap();
        for block in std::str::from_utf8(&bytes).unwrap().split("\n\n") {
            assert!(!block.contains("tidewater.gap"), "{block}");
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            events.extend(line("data: ").zip(line("id: ")));
        }
    }
    events
}

/// Ids of one node, which has seen the topics in one order, on another, which has them in another.
#[tokio::test]
async fn i1_i2_ids_of_several_sources_are_resumed_exactly_on_any_node() {
    let logs = [MemoryLog::new("a"), MemoryLog::new("b")];
    let publish = |log: usize, count: u64| {
        for index in 0..count {
            logs[log].publish(Message::new("", format!("{log}-{index}")));
        }
    };
    publish(0, 5);
    let (one, other) = (Hub::new(), Hub::new());
    let first = channel(&one, &logs);
    let mut stream = first.stream(Resume::default(), Select::all()).await;
    let mut seen = next(&mut stream, 5).await;
    publish(1, 5);
    seen.extend(next(&mut stream, 5).await);
    // Here the topics are read in turn, from a node that names its sources in another order.
    let turned = [logs[1].clone(), logs[0].clone()];
    let second = channel(&other, &turned);
    let all: Vec<_> = seen.iter().map(|(data, _)| data.clone()).collect();
    for cut in 0..=10_usize {
        let last_event_id = cut.checked_sub(1).map(|last| seen[last].1.clone());
        let resume = Resume { last_event_id, ..Resume::default() };
        let mut resumed = second.stream(resume, Select::all()).await;
        let rest = next(&mut resumed, 10 - cut).await;
        let mut got: Vec<_> =
            all[..cut].iter().cloned().chain(rest.into_iter().map(|(data, _)| data)).collect();
        for log in 0..2 {
            let own: Vec<_> =
                got.iter().filter(|data| data.starts_with(&format!("{log}-"))).cloned().collect();
            let wanted: Vec<_> = (0..5).map(|index| format!("{log}-{index}")).collect();
            assert_eq!(own, wanted, "cut after {cut}: in order, once, per topic");
        }
        got.sort();
        got.dedup();
        assert_eq!(got.len(), 10);
    }
}

#[tokio::test]
async fn a_new_incarnation_of_one_topic_is_told_and_the_other_goes_on() {
    let logs = [MemoryLog::new("a"), MemoryLog::new("b")];
    let hub = Hub::new();
    let channel = channel(&hub, &logs);
    logs[0].publish(Message::new("", "old"));
    logs[1].publish(Message::new("", "kept"));
    let mut stream = channel.stream(Resume::default(), Select::all()).await;
    next(&mut stream, 2).await;
    logs[0].recreate();
    logs[0].publish(Message::new("", "new"));
    logs[1].publish(Message::new("", "more"));
    let mut text = String::new();
    while !(text.contains("data: new\n") && text.contains("data: more\n")) {
        let bytes = timeout(PATIENCE, stream.next()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(text.matches("event: tidewater.gap").count(), 1, "{text}");
    assert!(text.contains("\"reason\":\"epoch\",\"topic\":\"a\""), "{text}");
}

/// Topics are known when the sources are asked; the channel says what is wrong, and refuses nobody (I10).
#[tokio::test]
async fn a_topic_of_two_sources_is_told_by_the_channel() {
    let logs = [MemoryLog::new("a"), MemoryLog::new("a")];
    let hub = Hub::new();
    let channel = channel(&hub, &logs);
    let error = timeout(PATIENCE, async {
        loop {
            if let Some(error) = channel.status().error {
                break error;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let error = error.await.unwrap().to_string();
    assert!(error.contains("memory:a + memory:a") && error.contains("two channels"), "{error}");
    assert_ne!(channel.status().upstream, UpstreamState::Live);
    let twice = hub.channel("d").source(logs[0].source()).source(logs[0].source()).open().unwrap_err();
    assert!(twice.kind() == ErrorKind::Config && twice.to_string().contains("given twice"), "{twice}");
}
