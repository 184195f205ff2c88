//! What JetStream streams do to a reader, and it has to tell.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use async_nats::jetstream::{
    consumer::PullConsumer,
    stream::{DiscardPolicy, RetentionPolicy},
};
use futures_util::StreamExt as _;
use tidewater_core::{Delivery, ErrorKind, GapReason, Retry, Subscription};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::common::{TestStream, host, next, next_text, open, url};

/// Reads on to the next delivery that is not progress.
async fn told(deliveries: &mut tidewater_core::Deliveries) -> Delivery {
    loop {
        match next(deliveries).await.unwrap() {
            Delivery::Progress(_) => {}
            other => return other,
        }
    }
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn what_is_purged_before_it_was_read_is_a_gap_and_what_is_kept_is_not() {
    let stream = TestStream::new(&url(), |_| {}).await;
    for n in 1..=90 {
        // Larger than what is asked for at once, so that most of it is still at the server when it is purged.
        stream.say("in.x", format!("{n:02}{}", ".".repeat(200 << 10))).await;
    }
    let source = open(&format!("{}?read_ahead=1", stream.url()));
    let mut subscribed = source.subscribe(Subscription::earliest()).await.unwrap();
    assert!(next_text(&mut subscribed.deliveries).await.starts_with("01"));
    stream.stream().await.purge().sequence(86).await.unwrap();

    let mut seen = vec![1];
    let gap = loop {
        match told(&mut subscribed.deliveries).await {
            Delivery::Message(message) => seen.push(message.position.offset().unwrap()),
            Delivery::Gap(gap) => break gap,
            other => panic!("{other:?}"),
        }
    };
    let missing = gap.missing.clone().unwrap();
    assert_eq!((missing.start, missing.end, gap.reason), (seen.len() as u64 + 1, 86, GapReason::Retention));
    assert!(seen.len() < 60, "nearly everything was read ahead: {seen:?}");
    for n in 86..=90 {
        assert!(next_text(&mut subscribed.deliveries).await.starts_with(&n.to_string()));
    }
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_purge_that_nothing_follows_is_told() {
    let stream = TestStream::new(&url(), |_| {}).await.filtered();
    stream.say("in.x", "1").await;
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    assert_eq!(next_text(&mut subscribed.deliveries).await, "1");
    // Behind the reader, and of other subjects: nothing of ours is removed, so nothing is told but progress.
    stream.say("other", "x").await;
    stream.stream().await.purge().await.unwrap();
    stream.say("in.x", "2").await;
    assert_eq!(next_text(&mut subscribed.deliveries).await, "2");
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn deletes_inside_the_stream_are_no_gaps() {
    let stream = TestStream::new(&url(), |config| config.max_messages_per_subject = 1).await;
    for n in 0..10 {
        stream.say("in.same", format!("same {n}")).await;
        stream.say(&format!("in.{n}"), format!("other {n}")).await;
    }
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    for n in 0..9 {
        assert_eq!(next_text(&mut subscribed.deliveries).await, format!("other {n}"));
    }
    assert_eq!(next_text(&mut subscribed.deliveries).await, "same 9");
    assert_eq!(next_text(&mut subscribed.deliveries).await, "other 9");
}

/// A filter on a quiet subject of a stream that others fill and retention empties: nothing of ours is ever removed.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_quiet_filter_on_a_stream_that_rolls_sees_progress_and_no_gaps() {
    let stream = TestStream::new(&url(), |config| {
        config.max_messages = 5;
        config.discard = DiscardPolicy::Old;
    })
    .await
    .filtered();
    stream.say("in.x", "0").await;
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    assert_eq!(next_text(&mut subscribed.deliveries).await, "0");
    for round in 1..=3 {
        let mut last = 0;
        for _ in 0..20 {
            last = stream.say("other", "x").await;
        }
        // Progress comes by itself, past everything that has been removed.
        loop {
            match next(&mut subscribed.deliveries).await.unwrap() {
                Delivery::Progress(cursor) if cursor.topics()[0].offset(0) > last => break,
                Delivery::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
        // A message behind removed ones comes while the reader waits.
        for _ in 0..20 {
            stream.say("other", "x").await;
        }
        stream.say("in.x", round.to_string()).await;
        assert_eq!(next_text(&mut subscribed.deliveries).await, round.to_string());
    }
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_stream_that_is_deleted_is_looked_for_and_then_the_source_says_so() {
    let stream = TestStream::new(&url(), |_| {}).await;
    let source = stream.open();
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let began = Instant::now();
    stream.context.delete_stream(&stream.name).await.unwrap();
    let error = next(&mut subscribed.deliveries).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::NotFound, Retry::Later), "{error}");
    assert!(error.to_string().contains(&stream.name), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(subscribed.deliveries.next().await.is_none(), "an error ends the stream");

    let error = source.subscribe(Subscription::latest()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::NotFound, Retry::Later));
    // And it is found once it is there.
    stream.make().await;
    assert!(source.subscribe(Subscription::latest()).await.is_ok());
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn streams_that_give_a_message_away_once_are_refused_with_the_reason() {
    for (retention, what) in
        [(RetentionPolicy::WorkQueue, "work queue"), (RetentionPolicy::Interest, "interest retention")]
    {
        let stream = TestStream::new(&url(), |config| config.retention = retention).await;
        for error in [
            stream.open().subscribe(Subscription::latest()).await.unwrap_err(),
            stream.open().bounds().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(what) && error.to_string().contains("sources it"), "{error}");
        }
    }
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_reader_that_rests_longer_than_a_request_lives_misses_nothing() {
    let stream = TestStream::new(&url(), |_| {}).await.filtered();
    let mut subscribed = stream.open().subscribe(Subscription::latest()).await.unwrap();
    stream.say("in.x", "0").await;
    assert_eq!(next_text(&mut subscribed.deliveries).await, "0");
    // The request ends at the server meanwhile, with some of these answered and some not.
    for n in 1..=3 {
        stream.say("in.x", n.to_string()).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    for n in 1..=3 {
        assert_eq!(next_text(&mut subscribed.deliveries).await, n.to_string());
    }
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_consumer_that_is_taken_away_is_made_again_where_it_was() {
    let stream = TestStream::new(&url(), |_| {}).await;
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    for n in 0..3 {
        stream.say("in.x", format!("before {n}")).await;
        assert_eq!(next_text(&mut subscribed.deliveries).await, format!("before {n}"));
        let names: Vec<_> = stream.stream().await.consumer_names().collect().await;
        for name in names {
            stream.stream().await.delete_consumer(&name.unwrap()).await.unwrap();
        }
        stream.say("in.x", format!("after {n}")).await;
        assert_eq!(next_text(&mut subscribed.deliveries).await, format!("after {n}"));
    }
}

/// What the consumer has sent to somebody else is missing in its own count, and comes again.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn what_the_consumer_sent_elsewhere_comes_again() {
    let stream = TestStream::new(&url(), |_| {}).await;
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    stream.say("in.x", "0").await;
    assert_eq!(next_text(&mut subscribed.deliveries).await, "0");
    let name = stream.stream().await.consumer_names().next().await.unwrap().unwrap();
    let consumer: PullConsumer = stream.stream().await.get_consumer(&name).await.unwrap();
    // The server serves requests in turn: two of them get every other message.
    let other = consumer.batch().max_messages(3).expires(Duration::from_secs(20)).messages().await.unwrap();
    for n in 1..=10 {
        stream.say("in.x", n.to_string()).await;
    }
    let taken: Vec<_> = other.collect().await;
    assert_eq!(taken.len(), 3, "somebody else took some");
    for n in 1..=10 {
        assert_eq!(next_text(&mut subscribed.deliveries).await, n.to_string());
    }
}

/// Everything at the server goes when its reader goes.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn dropping_the_stream_removes_the_consumer() {
    let stream = TestStream::new(&url(), |_| {}).await;
    let source = stream.open();
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    stream.say("in.x", "1").await;
    assert_eq!(next_text(&mut subscribed.deliveries).await, "1");
    let consumers = async || stream.stream().await.cached_info().state.consumer_count;
    assert_eq!(consumers().await, 1);
    drop(subscribed);
    let deadline = Instant::now() + Duration::from_secs(20);
    while consumers().await > 0 {
        assert!(Instant::now() < deadline, "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whatever stands where headers should be: the message comes, with its payload, and so do those behind it. The client
/// loses its connection of each, and of one of them its task.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn headers_that_no_client_reads_are_passed() {
    let stream = TestStream::new(&url(), |_| {}).await.filtered();
    stream.say("in.x", "before").await;
    stream.say("other", "left out").await;
    for (head, payload) in [
        (&b"NATS/1.0\r\nx: \xff\r\ny: kept\r\n\r\n"[..], "no UTF-8"),
        (b"NATS/1.0\r\ny: kept\r\nx: a\rb\r\n\r\n", "a lone CR"),
        (b"NATS/1.0\r\nno colon\r\ny: kept\r\n\r\n", "no colon"),
    ] {
        publish_raw(&stream.subject(), head, payload.as_bytes()).await;
    }
    stream.say("in.x", "after").await;
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    for (sequence, payload) in
        [(1, "before"), (3, "no UTF-8"), (4, "a lone CR"), (5, "no colon"), (6, "after")]
    {
        let Delivery::Message(message) = told(&mut subscribed.deliveries).await else { panic!("no message") };
        assert_eq!(message.position.offset(), Some(sequence));
        assert_eq!(message.payload.as_deref(), Some(payload.as_bytes()));
        let kept = message.headers.get("y").map(|value| &value[..]);
        assert_eq!(kept, (3..6).contains(&sequence).then_some(&b"kept"[..]), "{payload}");
    }
}

/// By the protocol alone, as a client library would not.
async fn publish_raw(subject: &str, head: &[u8], payload: &[u8]) {
    let mut socket = TcpStream::connect(host()).await.unwrap();
    let line = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nHPUB {subject} {} {}\r\n",
        head.len(),
        head.len() + payload.len()
    );
    socket.write_all(&[line.as_bytes(), head, payload, b"\r\nPING\r\n"].concat()).await.unwrap();
    let mut said = String::new();
    while !said.contains("PONG\r\n") {
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}
