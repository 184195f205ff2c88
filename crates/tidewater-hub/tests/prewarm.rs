//! I5: a node that was restarted serves those who come back from memory.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use support::{Books, Broker, at_end, tag};
use tidewater_core::{Cursor, Next, TopicCursor};
use tidewater_hub::{Channel, Hub, LogBounds, Prewarm, Resume, Select};
use tokio::time::{Instant, sleep, timeout};

fn open(broker: &Arc<Broker>, prewarm: Prewarm) -> Channel {
    Hub::new().channel("c").source(broker.source(1)).prewarm(prewarm).open().unwrap()
}

/// A client that has all but so many messages of each partition.
fn without(broker: &Broker, missed: &[u64]) -> Books {
    let next = broker.ranges().iter().zip(missed).map(|(range, missed)| range.end - missed).collect();
    let topic = TopicCursor { tag: tag(), epoch: broker.epoch().tag(), next: Next::Offsets(next) };
    let id = [topic].into_iter().collect::<Cursor>().to_string();
    Books { last_id: Some(id), ..Books::default() }
}

async fn read_to_end(mut books: Books, channel: &Channel, broker: &Broker) {
    let mut stream = books.open(channel, Select::all()).await;
    let done = books.read(&mut stream, 100_000, |books| books.cursors > 0 && at_end(books, broker));
    assert!(timeout(Duration::from_secs(60), done).await.unwrap_or(false), "never at the end");
    books.assert_exact(broker);
}

/// How many clients went on from memory, and how many from the broker.
fn places(channel: &Channel) -> (u64, u64) {
    let status = channel.status();
    (status.resumes_from_log, status.resumes_from_broker)
}

#[tokio::test(start_paused = true)]
async fn i5_ten_thousand_clients_of_a_restarted_node_go_on_from_memory() {
    let broker = Broker::new(4);
    for (partition, messages) in [4_000, 3_000, 50, 0].into_iter().enumerate() {
        broker.grow(partition, messages);
    }
    let channel = open(&broker, Prewarm { events: 1_000, ..Prewarm::default() });
    // They are there before the channel is.
    let clients = (0..10_000_u64).map(|n| {
        let books = without(&broker, &[n % 30, n * 7 % 30, n % 10, 0]);
        let (channel, broker) = (&channel, &broker);
        async move { read_to_end(books, channel, broker).await }
    });
    join_all(clients).await;
    assert_eq!(places(&channel), (10_000, 0));
    assert_eq!(broker.subscriptions.load(Ordering::Relaxed), 2, "the live one, and the one that pre-warms");
}

/// The events are shared out among the partitions; what one hasn't got, the others give.
#[tokio::test(start_paused = true)]
async fn i5_the_window_is_shared_out_among_partitions() {
    let broker = Broker::new(3);
    for (partition, messages) in [5_000, 100, 5_000].into_iter().enumerate() {
        broker.grow(partition, messages);
    }
    let channel = open(&broker, Prewarm { events: 1_000, ..Prewarm::default() });
    read_to_end(without(&broker, &[400, 90, 400]), &channel, &broker).await;
    assert_eq!(places(&channel), (1, 0));
    read_to_end(without(&broker, &[451, 0, 0]), &channel, &broker).await;
    assert_eq!(places(&channel), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn i5_the_window_is_bounded_in_bytes_and_by_the_log() {
    let broker = Broker::new(1);
    broker.grow(0, 5_000);
    let bytes = 100_000;
    let tight = open(&broker, Prewarm { bytes, ..Prewarm::default() });
    let small = LogBounds { events: 300, ..LogBounds::default() };
    let builder = Hub::new().channel("c").source(broker.source(1)).log(small);
    let small = builder.prewarm(Prewarm::default()).open().unwrap();
    for channel in [&tight, &small] {
        read_to_end(without(&broker, &[10]), channel, &broker).await;
        assert_eq!(places(channel), (1, 0));
    }
    let status = tight.status();
    assert!(status.log_bytes <= bytes && status.log_events > 100, "{status:?}");
    let events = small.status().log_events;
    assert!((280..=300).contains(&events), "{events}");
}

/// I1: what is published meanwhile is neither lost nor there twice, and who starts at the latest waits for nothing.
#[tokio::test(start_paused = true)]
async fn i1_the_live_edge_goes_on_while_the_past_is_read() {
    let broker = Broker::new(3);
    (0..3).for_each(|partition| broker.grow(partition, 500));
    broker.delay.store(1, Ordering::Relaxed);
    let channel = open(&broker, Prewarm { events: 900, ..Prewarm::default() });
    let began = Instant::now();
    let mut new = Books::default();
    let mut stream = new.open(&channel, Select::all()).await;
    assert!(began.elapsed() < Duration::from_millis(100), "it waited for the past");
    let away = tokio::spawn({
        let (books, channel, broker) = (without(&broker, &[200, 50, 290]), channel.clone(), broker.clone());
        async move { read_to_end(books, &channel, &broker).await }
    });
    for n in 0..300 {
        broker.publish(n % 3);
        sleep(Duration::from_millis(5)).await;
    }
    away.await.unwrap();
    assert_eq!(places(&channel), (1, 0));
    assert!(new.read(&mut stream, 10_000, |books| at_end(books, &broker)).await);
    new.assert_exact(&broker);
    read_to_end(without(&broker, &[300, 120, 390]), &channel, &broker).await;
    assert_eq!(places(&channel), (2, 0));
}

/// A past that can't be read is no reason to keep anybody waiting.
#[tokio::test(start_paused = true)]
async fn i5_a_source_that_is_slow_is_not_waited_for_without_bound() {
    let broker = Broker::new(1);
    broker.grow(0, 1_000);
    broker.delay.store(1_000, Ordering::Relaxed);
    let channel = open(&broker, Prewarm::default());
    drop(channel.stream(Resume::default(), Select::all()).await);
    let began = Instant::now();
    let stream = without(&broker, &[10]).open(&channel, Select::all()).await;
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited <= Duration::from_secs(6), "{waited:?}");
    drop(stream);
    broker.delay.store(0, Ordering::Relaxed);
    read_to_end(without(&broker, &[10]), &channel, &broker).await;
}

/// A log that begins anew in the meantime begins without the past of the other.
#[tokio::test(start_paused = true)]
async fn i1_a_topic_that_is_made_anew_meanwhile_is_not_mixed_with_the_old_one() {
    let broker = Broker::new(2);
    (0..2).for_each(|partition| broker.grow(partition, 300));
    broker.delay.store(1, Ordering::Relaxed);
    let channel = open(&broker, Prewarm::default());
    drop(channel.stream(Resume::default(), Select::all()).await);
    broker.recreate();
    for n in 0..50 {
        broker.publish(n % 2);
        sleep(Duration::from_millis(10)).await;
    }
    read_to_end(without(&broker, &[20, 20]), &channel, &broker).await;
}
