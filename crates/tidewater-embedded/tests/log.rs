//! What a log keeps over restarts, moves, times and readers.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{
    fs,
    time::{Duration, SystemTime},
};

use common::{ALL, all, bounds, closed, next, open, retaining, send, send_many, take, until};
use tidewater_core::{
    Cursor, Delivery, ErrorKind, GapReason, Message, Sink as _, Source as _, Subscription, TopicTag, plugin,
};
use tidewater_embedded::{EmbeddedLog, Retain, Settings, SyncPolicy};

#[tokio::test]
async fn ids_are_good_after_a_restart_and_in_a_folder_that_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("orders"), folder.path().join("elsewhere"));
    let log = open(&path);
    send_many(&log, 300, 10).await;
    let mut subscribed = log.source().subscribe(Subscription::earliest()).await.unwrap();
    take(&mut subscribed.deliveries, 100).await;
    let before = log.source().bounds().await.unwrap();
    let topic = &before.topics[0];
    let cursor: Cursor = {
        let mut cursor = subscribed.start.clone();
        cursor.raise(topic.tag, topic.epoch.tag(), 0, 100);
        cursor.to_string().parse().unwrap()
    };
    drop((subscribed, log));

    // At once, though the one before is just closing.
    let log = open(&path);
    assert_eq!(log.source().bounds().await.unwrap(), before);
    closed(log, &path).await;
    fs::rename(&path, &moved).unwrap();
    let log = open(&moved);
    assert_eq!(log.source().bounds().await.unwrap(), before, "with its name and its epoch");
    assert_eq!(topic.name.as_str(), "orders");
    let mut subscribed = log.source().subscribe(Subscription::after(cursor.clone())).await.unwrap();
    assert_eq!(subscribed.start, cursor);
    assert_eq!(take(&mut subscribed.deliveries, 200).await[0], (100, "100".to_owned()));
}

#[tokio::test]
async fn a_folder_that_is_moved_away_while_it_is_open_is_another_log() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("a"), folder.path().join("b"));
    let log = open(&path);
    send(&log, "old").await.unwrap();
    let mut subscribed = log.source().subscribe(Subscription::latest()).await.unwrap();
    fs::rename(&path, &moved).unwrap();
    let Ok(Delivery::Epoch(epoch)) = next(&mut subscribed.deliveries).await else { panic!("no epoch") };
    assert_eq!(epoch.start, [0]);
    assert_eq!(send(&log, "new").await.unwrap(), 0);
    assert_eq!(take(&mut subscribed.deliveries, 1).await, [(0, "new".to_owned())]);
    assert_eq!(all(&open(&moved)).await, [(0, "old".to_owned())], "what was there is where it was moved to");
}

#[tokio::test]
async fn the_name_of_a_topic_stays() {
    let folder = tempfile::tempdir().unwrap();
    let url = |more: &str| format!("embedded:{}/x{more}", folder.path().display());
    let named = |url: &str| plugin::open_source(url);
    let source = named(&url("?topic=orders.eu")).unwrap();
    let topic = source.bounds().await.unwrap().topics.remove(0);
    assert_eq!((topic.name.as_str(), topic.tag), ("orders.eu", TopicTag::of("embedded", "orders.eu")));
    let other = named(&url("")).unwrap_err();
    assert!(other.to_string().contains("open with other settings"), "{other}");
    drop(source);
    let source = named(&url("")).unwrap();
    assert_eq!(source.bounds().await.unwrap().topics[0].name.as_str(), "orders.eu");
    drop(source);
    let error = named(&url("?topic=orders.us")).unwrap().bounds().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains("\"orders.eu\"") && error.to_string().contains("\"orders.us\""),
        "{error}"
    );
}

#[tokio::test]
async fn one_path_is_one_log_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    let log = open(folder.path().join("real/x"));
    let paths = [
        folder.path().join("real/./x"),
        folder.path().join("real/../real/x"),
        folder.path().join("new/../real/x"),
    ];
    for path in &paths {
        assert_eq!(open(path).source().share_key(), log.source().share_key(), "{path:?}");
    }
    assert_ne!(open(folder.path().join("real/y")).source().share_key(), log.source().share_key());
    let settings = Settings { sync: SyncPolicy::Os, ..Settings::default() };
    let error = EmbeddedLog::open(&paths[0], settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("sync=always") && error.to_string().contains("sync=os"), "{error}");
    assert!(!folder.path().join("real/x").exists(), "opening makes nothing");
}

#[test]
fn urls_are_checked() {
    for (url, what) in [
        ("embedded:", "names no folder"),
        ("embedded://data", "write embedded:./data"),
        ("embedded://data/x", "write embedded:./data/x"),
        ("embedded:///var/lib/x", "write embedded:/var/lib/x"),
        ("embedded:x%00y", "NUL"),
        ("embedded:x?sync=never", "sync=\"never\""),
        ("embedded:x?events=5", "retain_events"),
    ] {
        let error = plugin::open_source(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(what), "{url}: {error}");
    }
    let source = plugin::open_source("embedded:/no/such%20folder?sync=os").unwrap();
    assert_eq!(source.to_string(), "embedded:/no/such folder");
}

#[tokio::test]
async fn everything_of_a_message_is_kept_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 123_456_789);
    let sent = [
        Message { timestamp: Some(time), ..Message::new("elsewhere", "x") }.with_key("k").with_headers(
            [("tidewater-event", "sold"), ("a", ""), ("tidewater-event", "again")].into_iter().collect(),
        ),
        Message { payload: None, ..Message::new("", "") }.with_key(""),
        Message::new("", "y"),
    ];
    let log = open(folder.path().join("x"));
    log.sink().send_all(sent.to_vec()).await.unwrap();
    let read = async |log: &EmbeddedLog| {
        let mut deliveries = log.source().subscribe(Subscription::earliest()).await.unwrap().deliveries;
        let mut all = Vec::new();
        for _ in 0..3 {
            let Ok(Delivery::Message(message)) = next(&mut deliveries).await else { panic!("no message") };
            all.push(message);
        }
        all
    };
    let from_memory = read(&log).await;
    drop(log);
    let from_disk = read(&open(folder.path().join("x"))).await;
    let debugged = |messages: &[Message]| format!("{messages:?}");
    assert_eq!(debugged(&from_disk), debugged(&from_memory));
    for (kept, sent) in from_disk.iter().zip(&sent) {
        assert_eq!((&kept.key, &kept.payload, &kept.headers), (&sent.key, &sent.payload, &sent.headers));
        assert_eq!(kept.topic.as_str(), "x");
    }
    assert_eq!(from_disk[0].timestamp, Some(time));
    assert!(from_disk[2].timestamp.unwrap().elapsed().unwrap() < Duration::from_secs(3600));
}

#[tokio::test]
async fn a_time_finds_the_first_message_of_it_or_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let at = |hours: u64| SystemTime::now() - Duration::from_secs(3600 * (1000 - hours));
    let log = open(&path);
    // Times that go up, with one that is ahead of those behind it.
    let hours: Vec<u64> = (0..700).map(|n| if n == 350 { 500 } else { n }).collect();
    let times: Vec<_> = hours.iter().map(|hours| at(*hours)).collect();
    let messages =
        times.iter().map(|time| Message { timestamp: Some(*time), ..Message::new("", "x") }).collect();
    log.sink().send_all(messages).await.unwrap();
    let start = async |log: &EmbeddedLog, time| {
        let start = log.source().subscribe(Subscription::at(time)).await.unwrap().start;
        start.topics()[0].offset(0)
    };
    for log in [log, open(&path)] {
        for wanted in [0, 1, 349, 350, 351, 499, 500, 501, 699] {
            let expected =
                times.iter().position(|time| *time >= at(wanted) - Duration::from_secs(60)).unwrap();
            assert_eq!(start(&log, at(wanted) - Duration::from_secs(60)).await, expected as u64, "{wanted}");
        }
        assert_eq!(start(&log, SystemTime::now()).await, 700);
    }
}

#[tokio::test]
async fn retention_by_count_tells_a_gap_to_who_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let log = retaining(folder.path().join("x"), Retain { events: Some(100), ..ALL });
    send_many(&log, 50, 10).await;
    let mut slow = log.source().subscribe(Subscription::earliest()).await.unwrap();
    take(&mut slow.deliveries, 50).await;
    let mut behind = log.source().subscribe(Subscription::earliest()).await.unwrap();
    send_many(&log, 1000, 10).await;
    until("100 messages", async || bounds(&log).await == (950..1050)).await;
    for (reader, missing) in [(&mut slow, 50..950), (&mut behind, 0..950)] {
        match next(&mut reader.deliveries).await.unwrap() {
            Delivery::Gap(gap) => {
                assert_eq!((gap.missing, gap.reason), (Some(missing), GapReason::Retention));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(take(&mut reader.deliveries, 100).await[0].0, 950);
    }
    assert_eq!(all(&log).await.len(), 100);
}

#[tokio::test]
async fn retention_by_age_goes_on_while_nothing_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let age = Some(Duration::from_millis(700));
    let log = retaining(folder.path().join("x"), Retain { age, ..ALL });
    send_many(&log, 50, 10).await;
    assert_eq!(bounds(&log).await, 0..50);
    until("no messages", async || bounds(&log).await == (50..50)).await;
    assert_eq!(send(&log, "next").await.unwrap(), 50);
    drop(log);
    let log = retaining(folder.path().join("x"), Retain { age, ..ALL });
    until("none again", async || bounds(&log).await == (51..51)).await;
}

#[cfg(unix)]
#[tokio::test]
async fn retention_by_bytes_gives_room_on_the_disk_back() {
    const LIMIT: u64 = 32 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let retain = Retain { bytes: Some(LIMIT), ..ALL };
    let settings = Settings { sync: SyncPolicy::Os, retain, topic: None };
    let log = EmbeddedLog::open(&path, settings.clone()).unwrap();
    let mut most = 0;
    for _ in 0..40 {
        send_many(&log, 1000, 10_000).await;
        most = most.max(common::on_disk(&path));
    }
    until("what is to be kept", async || {
        let range = bounds(&log).await;
        (range.end - range.start) * 10_000 <= LIMIT
    })
    .await;
    let range = bounds(&log).await;
    assert!(
        (range.end - range.start) * 10_100 > LIMIT - 200_000,
        "no more than needed is removed: {range:?}"
    );
    println!(
        "400 MB written, {LIMIT} kept: {most} on the disk at most, {} at the end",
        common::on_disk(&path)
    );
    // The journal, which the store lets grow to 64 MiB, twice; and the parts that are begun.
    assert!(most < LIMIT + (160 << 20), "{most}");
    drop(log);
    let log = EmbeddedLog::open(&path, settings).unwrap();
    assert_eq!(bounds(&log).await, range);
    assert_eq!(all(&log).await.len() as u64, range.end - range.start);
}

#[tokio::test]
async fn many_publishers_and_readers_that_begin_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { sync: SyncPolicy::Os, ..Settings::default() };
    let log = EmbeddedLog::open(folder.path().join("x"), settings).unwrap();
    let publishers = (0..16).map(|publisher| {
        let log = log.clone();
        tokio::spawn(async move {
            for n in 0..500 {
                send(&log, format!("{publisher}.{n}.{:300}", "")).await.unwrap();
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let mut readers = Vec::new();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut subscribed = log.source().subscribe(Subscription::earliest()).await.unwrap();
        readers.push(tokio::spawn(async move { take(&mut subscribed.deliveries, 8000).await }));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let whole = all(&log).await;
    for reader in readers {
        assert!(reader.await.unwrap() == whole, "each reads the same");
    }
    assert!(whole.iter().zip(0..).all(|((offset, _), n)| *offset == n));
}
