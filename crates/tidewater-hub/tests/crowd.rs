//! I5 under attack: readers of the past are few, and nobody can keep them from the others.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::StreamExt as _;
use support::{Books, Broker, at_end, tag};
use tidewater_core::{Cursor, Next, TopicCursor};
use tidewater_hub::{Channel, EventStream, Hub, LogBounds, Resume, Select};
use tokio::time::{Instant, timeout};

const TINY: LogBounds = LogBounds { events: 10, bytes: 1 << 20, age: Duration::from_secs(600) };
/// What the broker has before anybody comes.
const PAST: u64 = 1_000_000;
const PARTITIONS: usize = 4;

/// A broker with a long past that takes a millisecond for each message, so that every full segment takes its two
/// seconds; and two channels that read it.
async fn slow_broker() -> (Arc<Broker>, [Channel; 2]) {
    let broker = Broker::new(PARTITIONS);
    (0..PARTITIONS).for_each(|partition| broker.grow(partition, PAST));
    let hub = Hub::new();
    let open = |name: &str| {
        let builder = hub.channel(name).source(broker.shared_source("crowd")).log(TINY);
        builder.open().unwrap()
    };
    let channels = [open("one"), open("other")];
    for channel in &channels {
        drop(channel.stream(Resume::default(), Select::all()).await);
    }
    (broker, channels)
}

fn id(broker: &Broker, next: impl IntoIterator<Item = u64>) -> String {
    let next = Next::Offsets(next.into_iter().collect());
    let topic = TopicCursor { tag: tag(), epoch: broker.epoch().tag(), next };
    [topic].into_iter().collect::<Cursor>().to_string()
}

/// A client that comes with an id, takes its first block, and reads no more.
async fn stalled(channel: &Channel, id: String) -> EventStream {
    let mut stream = Books { last_id: Some(id), ..Books::default() }.open(channel, Select::all()).await;
    assert!(stream.next().await.is_some());
    stream
}

/// How long a client takes that was away for `missed` messages of each partition.
async fn away_for(channel: &Channel, broker: &Broker, missed: u64) -> Duration {
    let last_id = Some(id(broker, broker.ranges().iter().map(|range| range.end - missed)));
    let mut books = Books { last_id, ..Books::default() };
    let began = Instant::now();
    let mut stream = books.open(channel, Select::all()).await;
    let done = books.read(&mut stream, 10_000, |books| at_end(books, broker));
    assert!(timeout(Duration::from_secs(120), done).await.unwrap_or(false), "never at the end");
    books.assert_exact(broker);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn i5_stalled_clients_with_forged_old_ids_do_not_hold_up_a_fresh_one() {
    let (broker, [one, other]) = slow_broker().await;
    broker.delay.store(1, Ordering::Relaxed);
    let mut crowd = Vec::new();
    for n in 0..100 {
        // No two of them can be served together: far from each other, and neither before the other.
        let forged = id(&broker, [n * 8_000, 800_000 - n * 8_000, 0, n]);
        crowd.push(stalled(&one, forged).await);
    }
    for channel in [&one, &other] {
        let took = away_for(channel, &broker, 50).await;
        assert!(took < Duration::from_secs(2), "held up for {took:?}");
    }
    drop(crowd);
}

/// Who forges what is as near as an honest client's place is read together with others of its kind.
#[tokio::test(start_paused = true)]
async fn i5_stalled_clients_with_forged_recent_ids_do_not_hold_up_a_fresh_one() {
    let (broker, [one, _]) = slow_broker().await;
    broker.delay.store(1, Ordering::Relaxed);
    let mut crowd = Vec::new();
    for n in 0..100 {
        let forged = id(&broker, [PAST - 20 - n % 30, PAST - 49 + n % 30, PAST - 1 - n % 7, PAST]);
        crowd.push(stalled(&one, forged).await);
    }
    let took = away_for(&one, &broker, 50).await;
    assert!(took < Duration::from_secs(2), "held up for {took:?}");
    drop(crowd);
}

#[tokio::test(start_paused = true)]
async fn i5_a_source_has_no_more_readers_than_it_may_whatever_is_asked_for() {
    let (broker, channels) = slow_broker().await;
    let live = broker.readers.load(Ordering::Relaxed);
    broker.delay.store(1, Ordering::Relaxed);
    let mut crowd = Vec::new();
    for n in 0..40 {
        let forged = id(&broker, [n * 20_000, 800_000 - n * 20_000, 0, 0]);
        crowd.push(stalled(&channels[n as usize % 2], forged).await);
    }
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let readers = broker.readers.load(Ordering::Relaxed) - live;
        assert!(readers <= 4, "{readers} readers");
    }
    drop(crowd);
}

/// Neighbours share what is read: a thousand clients that were away together cost a few readers.
#[tokio::test(start_paused = true)]
async fn i5_clients_that_were_away_together_are_served_together() {
    let (broker, [one, _]) = slow_broker().await;
    let before = broker.subscriptions.load(Ordering::Relaxed);
    let mut all = Vec::new();
    for n in 0..1000 {
        let own = id(&broker, [PAST - 20 - n % 30, PAST - 49 + n % 30, PAST - 1 - n % 7, PAST]);
        let books = Books { last_id: Some(own), ..Books::default() };
        let stream = books.open(&one, Select::all()).await;
        all.push((books, stream));
    }
    for (books, stream) in &mut all {
        let done = books.read(stream, 100, |books| at_end(books, &broker));
        assert!(timeout(Duration::from_secs(10), done).await.unwrap_or(false));
        books.assert_exact(&broker);
    }
    let subscriptions = broker.subscriptions.load(Ordering::Relaxed) - before;
    assert!(subscriptions <= 8, "{subscriptions} subscriptions");
}
