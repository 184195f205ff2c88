//! What comes out of the sockets, event by event.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use support::{Connection, Site};
use tidewater_core::{Message, sse::Decoder};
use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};

const EVENTS: usize = 3_000;

/// I1: whoever reads, however slowly and whatever it selects, has all that it wants, once and in order; heartbeats come
/// between events (I6).
#[tokio::test]
async fn i1_every_client_has_every_event_once_and_in_order() {
    let site =
        Site::start_narrow(|channel| channel.heartbeat(Duration::from_millis(20)), |direct| direct.shards(2))
            .await;
    let mut readers = Vec::new();
    for number in 0..24 {
        let (target, key) = [
            ("/events", None),
            ("/events?topic=site", None),
            ("/events?key=a", Some("a")),
            ("/events?key=b", Some("b")),
        ][number % 4];
        let pause = Duration::from_millis([0, 1, 3, 7][number / 4 % 4]);
        let mut connection = site.connect_narrow().await;
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        readers.push(tokio::spawn(read(connection, key, pause, 1_000 + number * 700)));
    }
    site.clients(24).await;
    for n in 0..EVENTS {
        let data = format!("{n} {}", "x".repeat(n * 37 % 900));
        site.log.publish(Message::new("site", data).with_key(key_of(n)));
        if n % 50 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    for reader in readers {
        timeout(Duration::from_secs(60), reader).await.expect("a reader waits for ever").unwrap();
    }
}

/// Long runs, which lie in one piece, and single events.
fn key_of(n: usize) -> &'static str {
    if n % 300 < 200 { ["a", "b"][n / 100 % 2] } else { ["a", "b"][n % 2] }
}

/// Reads so much at a time until it has the last event that it wants.
async fn read(mut connection: Connection, key: Option<&str>, pause: Duration, most: usize) {
    let wanted = (0..EVENTS).filter(|n| key.is_none_or(|key| key == key_of(*n)));
    let (mut wanted, mut buffer) = (wanted.peekable(), vec![0; most]);
    let begun = connection.until("\r\n\r\n").await;
    let mut decoder = Decoder::new();
    decoder.feed(begun.split_once("\r\n\r\n").unwrap().1.as_bytes());
    while wanted.peek().is_some() {
        let length = connection.0.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0, "it ended before {:?}", wanted.peek());
        decoder.feed(&buffer[..length]);
        while let Some(event) = decoder.next_event().unwrap() {
            match &*event.event_type {
                "message" => {
                    let (n, text) = event.data.split_once(' ').unwrap();
                    let n: usize = n.parse().unwrap();
                    assert_eq!(Some(n), wanted.next());
                    assert_eq!(text.len(), n * 37 % 900);
                }
                "tidewater.cursor" => {}
                other => panic!("{other}: {}", event.data),
            }
        }
        sleep(pause).await;
    }
}
