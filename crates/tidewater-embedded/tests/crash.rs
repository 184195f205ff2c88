//! What was answered is there, however the process ends.
//!
//! A child of this very binary appends and prints what was answered, until it is killed.

#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(unix)]

mod common;

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tidewater_core::{ErrorKind, Source as _};
use tidewater_embedded::{EmbeddedLog, Retain, Settings, SyncPolicy};

const PATH: &str = "TIDEWATER_EMBEDDED_CHILD";
const ROUND: &str = "TIDEWATER_EMBEDDED_ROUND";
const SYNC: &str = "TIDEWATER_EMBEDDED_SYNC";
const ROUNDS: u64 = 20;
/// That publish at the same time.
const PUBLISHERS: u64 = 8;

/// What a log is opened with, by a name.
fn settings(name: &str) -> Settings {
    let sync = match name {
        "always" => SyncPolicy::Always,
        "os" | "short" => SyncPolicy::Os,
        _ => SyncPolicy::Every(Duration::from_millis(5)),
    };
    // More than is written, in parts of 8 MiB; and less, so that parts are removed all the time.
    let bytes = Some(if name == "short" { 12 << 20 } else { 128 << 20 });
    Settings { sync, retain: Retain { events: None, bytes, age: None }, topic: None }
}

/// Not a test of its own: what the others start, and kill.
#[test]
fn child() {
    let Ok(path) = env::var(PATH) else { return };
    let (round, sync) = (env::var(ROUND).unwrap(), env::var(SYNC).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = EmbeddedLog::open(path, settings(&sync)).unwrap();
        let round = Arc::new(round);
        let publishers = (0..PUBLISHERS).map(|publisher| {
            let (log, round) = (log.clone(), round.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    // Some of them larger than a page.
                    let size = if n % 7 == 0 { 40_000 } else { 20 };
                    let payload = format!("{round}.{publisher}.{n}.{:size$}", "");
                    let offset = common::send(&log, payload).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "answered {offset} {round}.{publisher}.{n}").unwrap();
                    out.flush().unwrap();
                }
            })
        });
        futures_util::future::join_all(publishers.collect::<Vec<_>>()).await;
    });
}

fn spawn(path: &Path, round: u64, sync: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .env(ROUND, round.to_string())
        .env(SYNC, sync)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn survives(sync: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (mut answered, mut epoch) = (Vec::new(), None);
    for round in 0..ROUNDS {
        let mut child = spawn(&path, round, sync);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = fastrand::usize(1..if sync == "short" { 1500 } else { 400 });
        let told = tokio::task::spawn_blocking(move || {
            let mut told = Vec::new();
            let mut killed = false;
            // What it had printed when it was killed was answered, too.
            for line in lines {
                let line = line.unwrap();
                // The harness prints before it, on the same line.
                let Some((_, rest)) = line.split_once("answered ") else { continue };
                let (offset, name) = rest.split_once(' ').unwrap();
                told.push((offset.parse::<u64>().unwrap(), name.to_owned()));
                if told.len() >= wanted && !killed {
                    std::thread::sleep(Duration::from_micros(fastrand::u64(0..2000)));
                    child.kill().unwrap();
                    killed = true;
                }
            }
            child.wait().unwrap();
            told
        })
        .await
        .unwrap();
        assert!(told.len() >= wanted, "the child ended by itself after {} of {wanted}", told.len());
        answered.extend(told);
        check(&path, sync, &answered, round, &mut epoch).await;
    }
}

/// Reads it all, and holds it against what was answered.
async fn check(
    path: &Path,
    sync: &str,
    answered: &[(u64, String)],
    round: u64,
    epoch: &mut Option<tidewater_core::Epoch>,
) {
    let log = EmbeddedLog::open(path, settings(sync)).unwrap();
    let found = log.source().bounds().await.unwrap().topics[0].epoch;
    assert_eq!(*epoch.get_or_insert(found), found);
    let (first, there) = (common::bounds(&log).await.start, common::all(&log).await);
    let mut next = std::collections::HashMap::new();
    for (index, (offset, text)) in there.iter().enumerate() {
        assert_eq!(*offset, first + index as u64, "offsets follow each other");
        let mut parts = text.split('.');
        let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
        let (of, publisher, n) = (number(), number(), number());
        assert!(of <= round && publisher < PUBLISHERS, "foreign: {text}");
        let expected = next.entry((of, publisher)).or_insert(if first == 0 { 0 } else { n });
        assert_eq!(n, *expected, "once, and in the order of {of}.{publisher}");
        *expected += 1;
    }
    for (offset, name) in answered.iter().filter(|(offset, _)| *offset >= first) {
        let (_, text) =
            there.get((*offset - first) as usize).unwrap_or_else(|| panic!("{name} at {offset} was lost"));
        assert!(text.starts_with(&format!("{name}.")), "{name} was at {offset}, and now {text:.20} is");
    }
    assert!(sync != "short" || round < 15 || first > 0, "nothing was removed");
    common::closed(log, path).await;
}

#[tokio::test]
async fn always_synced_what_was_answered_survives_a_kill() {
    survives("always").await;
}

#[tokio::test]
async fn synced_at_intervals_what_was_answered_survives_a_kill() {
    survives("5ms").await;
}

#[tokio::test]
async fn synced_by_the_kernel_what_was_answered_survives_a_kill() {
    survives("os").await;
}

#[tokio::test]
async fn what_retention_keeps_survives_a_kill_in_the_middle_of_it() {
    survives("short").await;
}

#[tokio::test]
async fn a_second_process_is_told_at_once_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut child = spawn(&path, 0, "os");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("answered") {}
    let log = EmbeddedLog::open(&path, settings("os")).unwrap();
    let start = std::time::Instant::now();
    for error in [common::send(&log, "x").await.unwrap_err(), log.source().bounds().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("another process") && text.contains(&format!("process {}", child.id())),
            "{text}"
        );
        assert!(text.starts_with(&format!("embedded:{}: ", path.display())), "{text}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "it was not told at once: {:?}", start.elapsed());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(lines);
    common::until("the log, once it is free", async || common::send(&log, "mine").await.is_ok()).await;
}
