//! What can be wrong with a folder, a disk, a store: each is told, and what can be mended goes on.

#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(unix)]

mod common;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use common::{all, bounds, closed, open, send, send_many, until};
use tidewater_core::{ErrorKind, Message, Retry, Sink as _, Source as _};
use tidewater_embedded::{EmbeddedLog, MAX_MESSAGE, Settings, SyncPolicy};

async fn refused(path: &Path, kind: ErrorKind, what: &str) {
    let log = open(path);
    let error = log.source().bounds().await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(what), "{error}");
    let error = send(&log, "x").await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    closed(log, path).await;
}

/// The files of a store whose name ends so.
fn files(path: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn folders_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("file"), "x").unwrap();
    refused(&path.join("file"), ErrorKind::Config, "it is no folder").await;
    refused(path, ErrorKind::Config, "\"file\"").await;

    std::os::unix::fs::symlink(path.join("nothing"), path.join("link")).unwrap();
    refused(&path.join("link"), ErrorKind::Config, "a link to nothing").await;

    fs::create_dir(path.join("mounted")).unwrap();
    fs::create_dir(path.join("mounted/lost+found")).unwrap();
    fs::write(path.join("mounted/.hidden"), "x").unwrap();
    assert_eq!(send(&open(path.join("mounted")), "x").await.unwrap(), 0);

    fs::create_dir(path.join("locked")).unwrap();
    fs::set_permissions(path.join("locked"), fs::Permissions::from_mode(0o500)).unwrap();
    if rustix::process::geteuid().is_root() {
        println!("not tried: root may write everywhere");
    } else {
        refused(&path.join("locked/x"), ErrorKind::Denied, "let the user").await;
    }
}

#[tokio::test]
async fn a_folder_of_another_program_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("a")).unwrap();
    fs::write(path.join("a/lock"), "the lock of another").unwrap();
    refused(&path.join("a"), ErrorKind::Config, "\"lock\" is another program's").await;
    assert_eq!(fs::read_to_string(path.join("a/lock")).unwrap(), "the lock of another");
    fs::create_dir_all(path.join("b/store/keyspaces")).unwrap();
    refused(&path.join("b"), ErrorKind::Config, "\"store\" is another program's").await;
    assert_eq!(fs::read_dir(path.join("b")).unwrap().count(), 1, "nothing was made in it");
    fs::create_dir_all(path.join("c/status")).unwrap();
    fs::write(path.join("c/lock"), "").unwrap();
    refused(&path.join("c"), ErrorKind::Config, "\"status\"").await;
    // Next to a store, whatever there is.
    let log = open(path.join("d"));
    send(&log, "x").await.unwrap();
    closed(log, &path.join("d")).await;
    fs::write(path.join("d/README"), "x").unwrap();
    assert_eq!(send(&open(path.join("d")), "x").await.unwrap(), 1);
}

#[tokio::test]
async fn a_file_that_is_gone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let log = open(&path);
    send(&log, "x").await.unwrap();
    closed(log, &path).await;
    for (file, what) in [("store/version", "\"store/version\" is gone"), ("store/keyspaces/0/v", "is gone")] {
        let file = files(&path, "").into_iter().find(|found| found.to_string_lossy().contains(file)).unwrap();
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        refused(&path, ErrorKind::Internal, what).await;
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(all(&open(&path)).await.len(), 1);
}

#[tokio::test]
async fn strays_in_a_store_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let log = open(&path);
    send(&log, "x").await.unwrap();
    closed(log, &path).await;
    for stray in [
        "keyspaces/@eaDir",
        "keyspaces/lost+found",
        "keyspaces/1/tables/@eaDir",
        "keyspaces/0/tables/7",
        "9.jnl",
    ] {
        let stray = path.join("store").join(stray);
        fs::create_dir(&stray).unwrap();
        refused(&path, ErrorKind::Internal, &format!("{} is none of its own: move it away", stray.display()))
            .await;
        fs::remove_dir(&stray).unwrap();
    }
    assert_eq!(all(&open(&path)).await.len(), 1);
}

#[tokio::test]
async fn a_store_that_is_removed_alone_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let log = open(&path);
    send(&log, "x").await.unwrap();
    fs::remove_dir_all(path.join("store")).unwrap();
    let error = send(&log, "y").await.unwrap_err();
    assert!(error.to_string().contains("\"store\" is gone"), "{error}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_rejected_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path().join("x"));
    let error = log.sink().send(Message::new("", vec![0; MAX_MESSAGE + 1])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    log.sink().send(Message::new("", vec![0; MAX_MESSAGE])).await.unwrap();
    assert_eq!(send(&log, "x").await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let log = open(&path);
    send(&log, "x").await.unwrap();
    closed(log, &path).await;
    let marker = path.join("store/version");
    let mut bytes = fs::read(&marker).unwrap();
    *bytes.last_mut().unwrap() = 2;
    fs::write(&marker, bytes).unwrap();
    refused(&path, ErrorKind::Unsupported, "another version").await;
}

/// Whatever byte of the store is changed: an error, or everything that was synced, and never less in silence.
#[tokio::test]
async fn a_damaged_store_is_told_and_never_read_as_less() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let log = open(&path);
    // Some in tables, some in the journal alone.
    send_many(&log, 700, 10_000).await;
    send_many(&log, 3000, 10).await;
    let whole = all(&log).await;
    closed(log, &path).await;
    // Tables, which versions of them are current, and what the store has about them.
    let tables = files(&path.join("store/keyspaces"), "");
    let journals = files(&path.join("store"), ".jnl");
    assert!(
        !journals.is_empty() && !files(&path.join("store/keyspaces/1/tables"), "").is_empty(),
        "{tables:?}"
    );
    let seed = fastrand::u64(..);
    fastrand::seed(seed);
    println!("seed {seed}");
    let (mut told, mut unharmed) = (0, 0);
    for file in tables.iter().chain(&journals) {
        let bytes = fs::read(file).unwrap();
        // One that was begun when the store was closed.
        let Some(length) = bytes.iter().rposition(|byte| *byte != 0) else { continue };
        let length = length as u64;
        // All over it, and among the small messages at the end of the journal, where heads of records are hit.
        let anywhere = (0..10).map(|part| length * part / 10..length * (part + 1) / 10);
        let small = (0..16).filter(|_| journals.contains(file));
        let small = small.map(|part| length - 10_000 * (part + 1)..length - 10_000 * part);
        for range in anywhere.chain(small) {
            let (place, mut byte) = (fastrand::u64(range), [0]);
            let open_file = OpenOptions::new().read(true).write(true).open(file).unwrap();
            open_file.read_exact_at(&mut byte, place).unwrap();
            let copy = copied(&path, folder.path());
            let damaged = copy.join(file.strip_prefix(&path).unwrap());
            let open_file = OpenOptions::new().write(true).open(&damaged).unwrap();
            open_file.write_all_at(&[byte[0] ^ 0x41], place).unwrap();
            let log = open(&copy);
            match tokio::time::timeout(common::PATIENCE, read_all(&log)).await.expect("it ends") {
                Ok(read) => {
                    assert!(
                        read == whole,
                        "{} messages after a byte of {damaged:?} at {place} was changed",
                        read.len()
                    );
                    unharmed += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("damaged"), "{error}");
                    assert!(error.to_string().contains("backup"), "it says what to do: {error}");
                    told += 1;
                }
            }
            closed(log, &copy).await;
            fs::remove_dir_all(&copy).unwrap();
        }
    }
    println!("{told} damages told, {unharmed} that harmed nothing");
    assert!(told > unharmed, "{told} {unharmed}");
}

async fn read_all(log: &EmbeddedLog) -> tidewater_core::Result<Vec<(u64, String)>> {
    use futures_util::StreamExt as _;

    let range = log.source().bounds().await?.topics[0].partitions[0].clone();
    let mut deliveries = log.source().subscribe(tidewater_core::Subscription::earliest()).await?.deliveries;
    let mut all = Vec::new();
    while (all.len() as u64) < range.end - range.start {
        match deliveries.next().await.unwrap()? {
            tidewater_core::Delivery::Message(message) => {
                let text = String::from_utf8_lossy(&message.payload.unwrap()).trim_start().to_owned();
                all.push((message.position.offset().unwrap(), text));
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(all)
}

fn copied(path: &Path, into: &Path) -> PathBuf {
    let copy = into.join(format!("copy{}", fastrand::u64(..)));
    copy_folder(path, &copy);
    copy
}

/// Room at the end of a file that nothing was written to stays that: a journal has up to 64 MiB of it.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
            continue;
        }
        let bytes = fs::read(&from).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut copy = fs::File::create(&to).unwrap();
        copy.write_all(&bytes[..written]).unwrap();
        copy.set_len(bytes.len() as u64).unwrap();
    }
}

#[tokio::test]
async fn what_was_cut_off_the_journal_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let log = open(&path);
    send_many(&log, 100, 100).await;
    closed(log, &path).await;
    for journal in files(&path.join("store"), ".jnl") {
        OpenOptions::new().write(true).open(journal).unwrap().set_len(5000).unwrap();
    }
    // As if the process had been killed.
    fs::write(path.join("lock"), "1 killed\n").unwrap();
    refused(&path, ErrorKind::Internal, "100 messages were on the disk for certain").await;
    let kept = files(&path.join("journals"), ".jnl");
    assert!(kept.iter().any(|journal| fs::metadata(journal).unwrap().len() == 5000), "as it was: {kept:?}");
    fs::remove_file(path.join("synced")).unwrap();
    let log = open(&path);
    let range = bounds(&log).await;
    assert!(range.end < 100, "{range:?}");
    assert!(!path.join("journals").exists(), "one insists");
    assert_eq!(send(&log, "goes on").await.unwrap(), range.end, "as it says, where one insists");
    closed(log, &path).await;
    fs::remove_dir_all(path.join("store")).unwrap();
    refused(&path, ErrorKind::Internal, "\"store\" is gone").await;
}

/// A file system of 24 MiB, which takes root.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        match rustix::mount::mount("tmpfs", &path, "tmpfs", flags, Some(c"size=24m")) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                println!("not tried: no file system can be mounted here ({error})");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _unmounted = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path().join("small")) else { return };
    let path = small.0.join("x");
    for sync in [SyncPolicy::Always, SyncPolicy::Os, SyncPolicy::Every(Duration::from_millis(10))] {
        let settings = Settings { sync, ..Settings::default() };
        let log = EmbeddedLog::open(&path, settings).unwrap();
        let ballast = small.0.join("ballast");
        fs::File::create(&ballast).unwrap().write_all(&vec![1; 6 << 20]).unwrap();
        let mut answered = Vec::new();
        let error = loop {
            let name = format!("{}.{:9000}", answered.len(), "");
            match send(&log, name).await {
                Ok(offset) => answered.push(offset),
                Err(error) => break error,
            }
            assert!(answered.len() < 10_000, "the disk was never full");
        };
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
        for _ in 0..5 {
            if let Err(error) = send(&log, format!("again.{:9000}", "")).await {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
        }
        fs::remove_file(&ballast).unwrap();
        until("room", async || send(&log, "there is room").await.is_ok()).await;
        let there = all(&log).await;
        for (index, offset) in answered.iter().enumerate() {
            let (_, text) = &there[*offset as usize];
            assert!(text.starts_with(&format!("{index}.")), "{offset}: {text:.30}");
        }
        assert!(
            there.iter().zip(0..).all(|((offset, _), n)| *offset == n),
            "nothing half written is between"
        );
        println!(
            "{sync:?}: {} answered before it was full, {} are there: {error}",
            answered.len(),
            there.len()
        );
        closed(log, &path).await;
        let log = open(&path);
        assert_eq!(all(&log).await, there);
        closed(log, &path).await;
        fs::remove_dir_all(&path).unwrap();
    }
}
