//! I1, I2, I4, I5, I6: clients that hop between nodes get every message once and in order.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use support::{Books, Broker, at_end, tag};
use tidewater_core::{Cursor, Next, TopicCursor};
use tidewater_hub::{Channel, Hub, LogBounds, Select};
use tokio::time::{sleep, timeout};

/// A log so small that most resumes need the broker.
const TINY: LogBounds = LogBounds { events: 40, bytes: 1 << 20, age: Duration::from_secs(600) };

fn node(broker: &std::sync::Arc<Broker>, seed: u64, log: LogBounds) -> Channel {
    Hub::new().channel("c").source(broker.source(seed)).log(log).open().unwrap()
}

/// Clients that are cut anywhere and hop between three nodes, while messages come in bursts.
async fn hop(seed: u64, partitions: usize, log: LogBounds) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let broker = Broker::new(partitions);
    let nodes: Vec<_> = (0..3).map(|n| node(&broker, seed * 10 + n, log)).collect();
    let mut clients: Vec<Books> = (0..8).map(|_| Books::default()).collect();
    for _ in 0..60 {
        for _ in 0..rng.usize(..30) {
            broker.publish(rng.usize(..partitions));
        }
        if rng.bool() {
            sleep(Duration::from_millis(rng.u64(..50))).await;
        }
        for client in &mut clients {
            let node = &nodes[rng.usize(..nodes.len())];
            let mut stream = client.open(node, Select::all()).await;
            // Right after the first block, or somewhere in the middle.
            let chunks = rng.usize(1..12);
            let reading = client.read(&mut stream, chunks, |_| false);
            drop(timeout(Duration::from_millis(rng.u64(1..40)), reading).await);
        }
    }
    for client in &mut clients {
        let mut stream = client.open(&nodes[rng.usize(..nodes.len())], Select::all()).await;
        let done = timeout(
            Duration::from_secs(120),
            client.read(&mut stream, 1_000_000, |books| at_end(books, &broker)),
        )
        .await;
        assert!(done.unwrap_or(false), "seed {seed}: a client never gets to the end: {:?}", client.last_id);
        client.assert_exact(&broker);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_hop_get_everything_once_from_the_log() {
    for seed in 0..6 {
        hop(seed, 1 + seed as usize % 5, LogBounds::default()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_hop_get_everything_once_from_the_broker() {
    for seed in 100..110 {
        hop(seed, 1 + seed as usize % 16, TINY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_retention_has_removed_is_one_gap() {
    let broker = Broker::new(2);
    let node = node(&broker, 1, TINY);
    let mut client = Books::default();
    let mut stream = client.open(&node, Select::all()).await;
    client.read(&mut stream, 1, |_| false).await;
    drop(stream);
    for _ in 0..100 {
        broker.publish(0);
        broker.publish(1);
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(1)).await;
    broker.truncate(0, 30);
    let mut stream = client.open(&node, Select::all()).await;
    assert!(client.read(&mut stream, 10_000, |books| at_end(books, &broker)).await);
    assert_eq!(client.of(1, 0), (30..100).collect::<Vec<_>>());
    assert_eq!(client.of(1, 1), (0..100).collect::<Vec<_>>());
    let [gap] = &client.gaps[..] else { panic!("{:?}", client.gaps) };
    assert_eq!(
        *gap,
        serde_json::json!({"reason": "retention", "topic": "t", "partition": 0, "from": 0, "to": 30})
    );
}

/// I3: another node may see a recreation first.
#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_is_one_gap_then_all_of_the_new() {
    for away in [false, true] {
        let broker = Broker::new(2);
        let nodes = [node(&broker, 1, LogBounds::default()), node(&broker, 2, TINY)];
        let mut client = Books::default();
        broker.publish(0);
        let mut stream = client.open(&nodes[0], Select::all()).await;
        broker.publish(1);
        client.read(&mut stream, 3, |books| !books.got.is_empty()).await;
        if away {
            drop(stream);
            broker.recreate();
            for n in 0..60 {
                broker.publish(n % 2);
                sleep(Duration::from_millis(1)).await;
            }
            stream = client.open(&nodes[1], Select::all()).await;
        } else {
            broker.recreate();
            for n in 0..60 {
                broker.publish(n % 2);
            }
        }
        assert!(client.read(&mut stream, 10_000, |books| at_end(books, &broker)).await, "away: {away}");
        assert_eq!(client.of(2, 0), (0..30).collect::<Vec<_>>(), "away: {away}");
        assert_eq!(client.of(2, 1), (0..30).collect::<Vec<_>>(), "away: {away}");
        assert_eq!(client.gaps, [serde_json::json!({"reason": "epoch", "topic": "t"})], "away: {away}");
        // And no second time, at the other node.
        drop(stream);
        let mut stream = client.open(&nodes[0], Select::all()).await;
        client.read(&mut stream, 1, |_| false).await;
        assert_eq!(client.gaps.len(), 1);
    }
}

/// I3: an id is hostile input. It moves the start, and nothing else.
#[tokio::test(start_paused = true)]
async fn forged_ids_are_told_and_start_afresh() {
    let broker = Broker::new(2);
    for n in 0..20 {
        broker.publish(n % 2);
    }
    let node = node(&broker, 1, LogBounds::default());
    let forged = |epoch, next: &[u64]| {
        let topic = TopicCursor { tag: tag(), epoch, next: Next::Offsets(next.to_vec()) };
        [topic].into_iter().collect::<Cursor>().to_string()
    };
    let now = broker.epoch().tag();
    let cases = [
        ("nonsense \u{1f980}".to_owned(), "unreadable"),
        (String::new(), "unreadable"),
        (forged(now, &[u64::MAX, 3]), "ahead"),
        (forged(now, &[11, 10]), "ahead"),
        (forged(now, &[10, 10, 1]), "ahead"),
        (forged(tidewater_core::EpochTag(99), &[3]), "epoch"),
    ];
    for (id, reason) in cases {
        let mut client = Books { last_id: Some(id.clone()), ..Books::default() };
        let mut stream = client.open(&node, Select::all()).await;
        let done = |books: &Books| books.cursors > 0 && at_end(books, &broker);
        assert!(client.read(&mut stream, 1000, done).await, "{id}");
        let reasons: Vec<_> = client.gaps.iter().map(|gap| gap["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, [reason], "{id}");
    }
    // Another channel's topics are not looked at, and up to the broker's end is no forgery.
    let elsewhere =
        TopicCursor { tag: tidewater_core::TopicTag(5), epoch: now, next: Next::Offsets(vec![1 << 40]) };
    for id in [[elsewhere].into_iter().collect::<Cursor>().to_string(), forged(now, &[10, 10])] {
        let mut client = Books { last_id: Some(id), ..Books::default() };
        let mut stream = client.open(&node, Select::all()).await;
        assert!(client.read(&mut stream, 1000, |books| books.cursors > 0 && at_end(books, &broker)).await);
        assert_eq!((client.gaps.len(), client.got.len()), (0, 0));
    }
}

/// I1: a source that can't replay is exact over reconnects to a living process, and one gap elsewhere.
#[tokio::test(start_paused = true)]
async fn a_source_that_keeps_nothing_is_one_gap_after_a_restart() {
    let broker = Broker::new(1);
    let before = Hub::new().channel("c").source(broker.live_source()).open().unwrap();
    let mut client = Books::default();
    client.read(&mut client.open(&before, Select::all()).await, 1, |_| false).await;
    for _ in 0..5 {
        broker.publish(0);
    }
    sleep(Duration::from_secs(1)).await;
    let mut stream = client.open(&before, Select::all()).await;
    assert!(client.read(&mut stream, 100, |books| at_end(books, &broker)).await);
    client.assert_exact(&broker);
    drop((stream, before));
    // The next process counts anew.
    broker.recreate();
    let after = Hub::new().channel("c").source(broker.live_source()).open().unwrap();
    client.read(&mut Books::default().open(&after, Select::all()).await, 0, |_| true).await;
    for _ in 0..5 {
        broker.publish(0);
    }
    sleep(Duration::from_secs(1)).await;
    let mut stream = client.open(&after, Select::all()).await;
    assert!(client.read(&mut stream, 100, |books| at_end(books, &broker)).await);
    assert_eq!(client.gaps, [serde_json::json!({"reason": "epoch", "topic": "t"})]);
    assert_eq!(client.of(2, 0), [0, 1, 2, 3, 4], "what this node has of the new");
}
