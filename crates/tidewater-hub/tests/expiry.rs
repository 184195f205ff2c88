//! Streams whose time is limited: nothing comes after it, and nobody waits on.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::StreamExt as _;
use support::{Broker, channel, settle};
use tidewater_core::Start;
use tidewater_hub::{Channel, EventStream, Resume, Select};
use tokio::time::{Instant, advance, timeout};

/// Longer than a test lasts.
const LONG: Duration = Duration::from_secs(3600);

async fn open(channel: &Channel, select: Select, time: Duration) -> EventStream {
    let mut stream = channel.stream(Resume::default(), select).await.ends_after(time);
    assert!(stream.next().await.unwrap().starts_with(b"retry: 2000\nevent: tidewater.cursor"));
    stream
}

fn is_end(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap();
    text.starts_with("retry: ") && text.ends_with("\n\n") && text.lines().count() == 2
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_ends_at_the_clocks_next_ticks() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder);
    for (select, seconds) in [(Select::all(), 40), (Select::key("nobody"), 1), (Select::all(), 7)] {
        let opened = Instant::now();
        let mut stream = open(&channel, select, Duration::from_secs(seconds)).await;
        let last = loop {
            let bytes = timeout(Duration::from_secs(60), stream.next()).await.unwrap().unwrap();
            if !bytes.starts_with(b"event: tidewater.cursor") {
                break bytes;
            }
            assert!(opened.elapsed() < Duration::from_secs(seconds), "a heartbeat after the end");
        };
        assert!(is_end(&last), "{last:?}");
        let late = opened.elapsed() - Duration::from_secs(seconds);
        assert!(late < Duration::from_secs(2), "{late:?}");
        assert_eq!(stream.next().await, None);
        assert_eq!(channel.status().clients, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_once_the_time_is_over() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder);
    let mut stream = open(&channel, Select::all(), Duration::from_secs(5)).await;
    broker.publish(0);
    settle().await;
    assert!(stream.next().await.unwrap().starts_with(b"data: "), "before it");
    broker.publish(0);
    settle().await;
    advance(Duration::from_secs(5)).await;
    assert!(is_end(&stream.next().await.unwrap()));
    assert_eq!(stream.next().await, None);

    // What was queued, what has to be fetched, and what is over from the beginning.
    let start = Resume { start: Some(Start::Earliest), ..Resume::default() };
    for resume in [Resume::default(), start] {
        let mut stream = channel.stream(resume, Select::all()).await.ends_after(Duration::ZERO);
        assert!(is_end(&stream.next().await.unwrap()));
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_end_counts() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder);
    for (first, second) in [(3, 3000), (3000, 3)] {
        let opened = Instant::now();
        let stream = open(&channel, Select::all(), Duration::from_secs(first)).await;
        let mut stream = stream.ends_after(Duration::from_secs(second));
        assert!(is_end(&timeout(LONG, stream.next()).await.unwrap().unwrap()));
        assert!(opened.elapsed() < Duration::from_secs(6));
    }
    let mut stream = open(&channel, Select::all(), Duration::MAX).await;
    assert!(timeout(LONG, stream.next()).await.unwrap().unwrap().starts_with(b"event: tidewater.cursor"));
    let mut closed = channel.come_back().ends_after(LONG);
    assert!(is_end(&closed.next().await.unwrap()));
    assert_eq!(closed.next().await, None);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Of many that wait, those are woken whose time is over, and no others.
#[tokio::test(start_paused = true)]
async fn only_those_are_woken_whose_time_is_over() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.heartbeat(LONG));
    let mut streams = Vec::new();
    for n in 0..200_u64 {
        let time = if n % 2 == 0 { Duration::from_secs(600) } else { LONG * 10 };
        let mut stream = open(&channel, Select::key("nobody"), time).await;
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        assert!(stream.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        streams.push((n, stream, count, waker));
    }
    // A tick is a sixteenth of an hour, and nobody's heartbeat comes in the first half of one.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    for (n, mut stream, count, waker) in streams {
        let woken = count.0.load(Ordering::Relaxed);
        assert_eq!(woken, usize::from(n % 2 == 0), "client {n}");
        let polled = stream.poll_next_unpin(&mut Context::from_waker(&waker));
        match polled {
            Poll::Ready(Some(bytes)) => assert!(n % 2 == 0 && is_end(&bytes)),
            Poll::Ready(None) => panic!("client {n} has ended without a word"),
            Poll::Pending => assert_eq!(n % 2, 1),
        }
    }
}
