//! What clients do: they go, stall, send what nobody asked for; and no other client is the worse for it.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::{Duration, Instant};

use support::Site;
use tidewater_hub::LogBounds;
use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};

#[tokio::test]
async fn one_that_goes_is_noticed_at_once() {
    let site = Site::start_with(|channel| channel.heartbeat(Duration::from_secs(60)), |direct| direct).await;
    for reset in [false, true] {
        let connection = site.stream().await;
        site.clients(1).await;
        if reset {
            connection.0.set_zero_linger().unwrap();
        }
        let gone = Instant::now();
        drop(connection);
        site.clients(0).await;
        assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    }
}

#[tokio::test]
async fn one_that_sends_on_is_not_answered() {
    let site = Site::start().await;
    let mut connection = site.stream().await;
    connection.send("GET /admin HTTP/1.1\r\nHost: x\r\n\r\n").await;
    site.publish("one");
    assert!(!connection.until("data: one\n").await.contains("HTTP/1.1"));
    // Without end it is no client.
    let flood = async {
        while connection.0.writable().await.is_ok()
            && connection.0.try_write(&[b'x'; 1 << 16]).is_ok_and(|_| true)
        {}
    };
    drop(timeout(Duration::from_secs(5), flood).await);
    site.clients(0).await;
}

/// One that does not read waits for its own socket: the others have every event meanwhile, and it has all of them once it
/// reads again.
#[tokio::test]
async fn nobody_waits_for_one_that_does_not_read() {
    let bounds = LogBounds { bytes: 256 << 20, events: 1 << 20, ..LogBounds::default() };
    let site = Site::start_with(|channel| channel.log(bounds), |direct| direct.shards(1)).await;
    let mut slow = site.stream().await;
    let mut fast = site.stream().await;
    site.clients(2).await;
    let large = "x".repeat(100_000);
    let reader = tokio::spawn(async move {
        fast.until("data: last\n").await;
    });
    for _ in 0..400 {
        site.publish(&*large);
    }
    site.publish("last");
    timeout(support::SOON, reader).await.expect("the other client waits, too").unwrap();
    let all = slow.until("data: last\n").await;
    assert_eq!(all.matches(&large).count(), 400);
    assert!(!all.contains("tidewater.gap"));
}

/// It takes nothing at all: it goes after the write timeout, not before.
#[tokio::test]
async fn one_that_never_reads_is_given_up() {
    for take_over in [true, false] {
        never_reads(take_over).await;
    }
}

async fn never_reads(take_over: bool) {
    let timeout = Duration::from_secs(2);
    let site =
        Site::start_with(|channel| channel, |direct| direct.write_timeout(timeout).take_over(take_over))
            .await;
    let _stuck = site.stream().await;
    let mut other = site.stream().await;
    site.clients(2).await;
    let began = Instant::now();
    for _ in 0..200 {
        site.publish("x".repeat(100_000));
        other.until("\n\n").await;
    }
    let read = async {
        loop {
            other.until("\n\n").await;
        }
    };
    tokio::select! {
        _ = read => {}
        () = site.clients(1) => {}
    }
    assert!(began.elapsed() >= timeout, "{:?}", began.elapsed());
}

/// It takes little at a time, far less than its socket holds: it stays however long that takes.
#[tokio::test]
async fn one_that_reads_slowly_is_no_stuck_one() {
    let site =
        Site::start_with(|channel| channel, |direct| direct.write_timeout(Duration::from_secs(2))).await;
    let mut slow = site.narrow_stream().await;
    for _ in 0..200 {
        site.publish("x".repeat(100_000));
    }
    let began = Instant::now();
    let mut buffer = [0; 8 << 10];
    while began.elapsed() < Duration::from_secs(6) {
        sleep(Duration::from_millis(200)).await;
        assert_ne!(slow.0.read(&mut buffer).await.unwrap(), 0, "cut after {:?}", began.elapsed());
    }
    site.clients(1).await;
}

#[tokio::test]
async fn any_write_timeout_will_do() {
    for longest in [Duration::ZERO, Duration::from_secs(1 << 22), Duration::MAX] {
        let site = Site::start_with(|channel| channel, |direct| direct.write_timeout(longest)).await;
        site.stream().await;
    }
}
