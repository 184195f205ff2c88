//! A subscription that stalls in silence is made anew, and nobody misses anything.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use support::{Books, Broker, at_end};
use tidewater_hub::{Channel, EventStream, Hub, Select};
use tokio::time::{sleep, timeout};

async fn client(broker: &Arc<Broker>) -> (Channel, Books, EventStream) {
    let channel = Hub::new().channel("c").source(broker.source(1)).prewarm(None).open().unwrap();
    let mut books = Books::default();
    let mut stream = books.open(&channel, Select::all()).await;
    books.read(&mut stream, 1, |_| false).await;
    (channel, books, stream)
}

async fn gets_all(books: &mut Books, stream: &mut EventStream, broker: &Broker, within: u64) {
    let done = books.read(stream, 100_000, |books| at_end(books, broker));
    assert!(timeout(Duration::from_secs(within), done).await.unwrap_or(false), "nothing came");
    books.assert_exact(broker);
}

#[tokio::test(start_paused = true)]
async fn i1_a_subscription_that_stalls_is_made_anew() {
    let broker = Broker::new(2);
    let (channel, mut books, mut stream) = client(&broker).await;
    broker.publish(0);
    gets_all(&mut books, &mut stream, &broker, 1).await;
    broker.stall([0, 1], false);
    broker.publish(1);
    gets_all(&mut books, &mut stream, &broker, 20).await;
    assert_eq!((channel.status().stalls, channel.status().clients), (1, 1));
    assert_eq!(broker.subscriptions.load(Ordering::Relaxed), 2);
}

/// One partition that stalls among others that don't: nothing is ever silent.
#[tokio::test(start_paused = true)]
async fn i1_a_partition_that_stalls_among_others_is_found() {
    let broker = Broker::new(3);
    let (channel, mut books, mut stream) = client(&broker).await;
    broker.stall([1], false);
    for n in 0..1000 {
        broker.publish(n % 3);
        sleep(Duration::from_millis(100)).await;
    }
    gets_all(&mut books, &mut stream, &broker, 1).await;
    assert_eq!(channel.status().stalls, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_quiet_or_slow_is_left_alone() {
    let broker = Broker::new(2);
    let (channel, mut books, mut stream) = client(&broker).await;
    sleep(Duration::from_secs(600)).await;
    // Two messages a second, for ten minutes.
    broker.delay.store(500, Ordering::Relaxed);
    (0..2).for_each(|partition| broker.grow(partition, 600));
    gets_all(&mut books, &mut stream, &broker, 3600).await;
    assert_eq!((channel.status().stalls, broker.subscriptions.load(Ordering::Relaxed)), (0, 1));
}

/// What can't be helped is not tried for ever at the same pace.
#[tokio::test(start_paused = true)]
async fn a_stall_that_stays_is_tried_with_patience() {
    let broker = Broker::new(1);
    let (channel, ..) = client(&broker).await;
    broker.stall([0], true);
    broker.publish(0);
    sleep(Duration::from_secs(3600)).await;
    let stalls = channel.status().stalls;
    assert!((4..=14).contains(&stalls), "{stalls} times in an hour");
}
