//! What is particular to files.

#![allow(clippy::unwrap_used)]

use std::{fs, io::Write as _, path::PathBuf, time::Duration};

use custom_source::{Lines, LinesSink};
use futures_util::StreamExt as _;
use tempfile::TempDir;
use tidewater::{
    Delivery, ErrorKind, Gap, Message, Sink as _, Source as _, Subscribed, Subscription, plugin::open_source,
};

fn file(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, content).unwrap();
    (folder, path)
}

async fn next(subscribed: &mut Subscribed) -> Delivery {
    let delivery = tokio::time::timeout(Duration::from_secs(20), subscribed.deliveries.next());
    delivery.await.expect("nothing comes").unwrap().unwrap()
}

async fn text(subscribed: &mut Subscribed) -> String {
    match next(subscribed).await {
        Delivery::Message(message) => String::from_utf8_lossy(&message.payload.unwrap()).into_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_line_is_delivered_once_it_is_whole() {
    let (_folder, path) = file(b"\xff\0\r\n\n half");
    let mut lines = Lines::new(&path).subscribe(Subscription::earliest()).await.unwrap();
    let Delivery::Message(message) = next(&mut lines).await else { panic!("no message") };
    assert_eq!(message.payload.as_deref(), Some(&b"\xff\0\r"[..]), "bytes are exact");
    assert_eq!(text(&mut lines).await, "");
    let more = async {
        tokio::task::yield_now().await;
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and half\n").unwrap();
    };
    let (line, ()) = tokio::join!(text(&mut lines), more);
    assert_eq!(line, " half and half");
}

#[tokio::test]
async fn an_id_that_points_into_a_line_starts_at_the_next() {
    let (_folder, path) = file(b"one\ntwo\nthree\n");
    let source = Lines::new(&path);
    let bounds = source.bounds().await.unwrap();
    let topic = &bounds.topics[0];
    let mut cursor = bounds.first();
    cursor.raise(topic.tag, topic.epoch.tag(), 0, 5);
    let mut lines = source.subscribe(Subscription::after(cursor)).await.unwrap();
    assert_eq!(lines.start.next_offset(topic.tag, 0), Some(8));
    assert_eq!(text(&mut lines).await, "three");
}

#[tokio::test]
async fn a_line_too_long_for_memory_is_a_gap() {
    let mut content = b"one\n".to_vec();
    content.resize(content.len() + (1 << 20) + 1, b'x');
    content.extend_from_slice(b"\nthree\n");
    let (_folder, path) = file(&content);
    let mut lines = Lines::new(&path).subscribe(Subscription::earliest()).await.unwrap();
    assert_eq!(text(&mut lines).await, "one");
    let Delivery::Gap(Gap { missing: Some(missing), .. }) = next(&mut lines).await else { panic!("no gap") };
    assert_eq!(missing, 4..4 + (1 << 20) + 2);
    assert_eq!(text(&mut lines).await, "three");
}

#[tokio::test]
async fn a_file_cut_short_in_place_ends_the_stream() {
    let (_folder, path) = file(b"one\ntwo\n");
    let mut lines = Lines::new(&path).subscribe(Subscription::latest()).await.unwrap();
    fs::write(&path, "x\n").unwrap();
    let error = lines.deliveries.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("rotate it by renaming"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    for url in ["lines:", "lines://host/a.log", "lines:/a.log?follow=true"] {
        assert_eq!(open_source(url).unwrap_err().kind(), ErrorKind::Config, "{url}");
    }
    let missing = open_source("lines:/there/is/no/such.log").unwrap();
    let error = missing.subscribe(Subscription::latest()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/there/is/no/such.log"), "{error}");
}

#[tokio::test]
async fn what_the_sink_writes_stands_where_it_says() {
    let (_folder, path) = file(b"one\n");
    let (source, sink) = (Lines::new(&path), LinesSink::new(Lines::new(&path)));
    let mut cursor = source.bounds().await.unwrap().end();
    let place = sink.send(Message::new("", "two")).await.unwrap().place.unwrap();
    sink.send(Message::new("", "three")).await.unwrap();
    cursor.advance(place.tag, place.epoch.unwrap().tag(), place.partition, &place.position);
    let mut lines = source.subscribe(Subscription::after(cursor)).await.unwrap();
    assert_eq!(text(&mut lines).await, "three", "what follows the line that was sent");
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");

    let error = sink.send(Message::new("", "a\nb")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}
