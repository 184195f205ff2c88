//! How the server ends.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use support::Site;
use tokio::time::sleep;

/// I9: a client that is behind when the hub is drained, and reads on, is told when to come back.
#[tokio::test]
async fn i9_one_that_is_behind_is_told_when_to_come_back() {
    let mut site = Site::start_narrow(|channel| channel, |direct| direct).await;
    let mut slow = site.narrow_stream().await;
    site.publish("x".repeat(60_000));
    // It is written as far as the sockets hold it.
    sleep(Duration::from_millis(100)).await;
    let hub = site.channel.hub().clone();
    let ended = async {
        hub.drain(Duration::from_secs(5)).await;
        site.stop().await
    };
    let (_, rest) = tokio::join!(ended, async {
        sleep(Duration::from_millis(100)).await;
        slow.rest().await
    });
    assert!(
        rest.contains("retry: ") && rest.ends_with("\n\n"),
        "{:?}",
        &rest[rest.len().saturating_sub(80)..]
    );
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_has_ended() {
    let mut site = Site::start().await;
    let mut connections = Vec::new();
    for _ in 0..200 {
        connections.push(site.stream().await);
    }
    site.clients(200).await;
    site.stop().await;
    assert_eq!(site.channel.status().clients, 0);
}

/// Browsers connect before they have anything to ask for.
#[tokio::test]
async fn a_connection_that_has_said_nothing_keeps_nobody_waiting() {
    let mut site = Site::start().await;
    let mut silent = site.connect().await;
    // It is accepted before this one is.
    drop(site.stream().await);
    let took = site.stop().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(silent.rest().await, "");
}
