//! `embedded:` through the real binary: what is there after an end, a reload, a second process.

#![cfg(all(unix, feature = "embedded"))]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{fs, thread, time::Instant};

use rustix::process::Signal;
use support::{
    client::{Answer, request},
    file::File,
    gateway::{Gateway, PATIENCE},
};

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidewater-{}-{name}", std::process::id()));
        Self(path)
    }

    fn channel(&self, name: &str, more: &str) -> String {
        format!("{name}=embedded:{}{more}", self.0.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn publish(gateway: &Gateway, channel: &str, text: &str) -> u16 {
    request(&gateway.address, &format!("POST /channels/{channel}"), &[], text.as_bytes()).0.status
}

/// Everything that a channel has, up to this message.
fn read(gateway: &Gateway, channel: &str, last: &str) -> String {
    let head = format!("GET /channels/{channel}?since=earliest");
    Answer::open(&gateway.address, &head, &[], b"").until(&format!("data: {last}\n"))
}

#[test]
fn what_was_answered_is_there_after_a_kill_and_synced_after_a_stop() {
    let folder = Folder::new("ends");
    let channel = folder.channel("demo", "?sync=os");
    let gateway = Gateway::start(&["--channel", &channel]);
    assert_eq!(publish(&gateway, "demo", "one"), 202);
    gateway.signal(Signal::KILL);
    gateway.end();

    let gateway = Gateway::start(&["--channel", &channel]);
    assert!(read(&gateway, "demo", "one").contains("data: one\n"));
    assert_eq!(publish(&gateway, "demo", "two"), 202);
    let synced = || fs::read_to_string(folder.0.join("synced")).unwrap();
    assert!(!synced().contains("00002\n"), "the kernel decides: {}", synced());
    gateway.signal(Signal::TERM);
    let (code, told) = gateway.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(synced().ends_with("00002\n"), "a stop syncs: {:?}", synced());

    let gateway = Gateway::start(&["--channel", &channel]);
    let all = read(&gateway, "demo", "two");
    assert!(all.contains("data: one\n") && !all.contains("tidewater.gap"), "{all}");
}

#[test]
fn a_second_gateway_says_who_has_the_folder_and_waits_for_it() {
    let folder = Folder::new("two");
    let channel = folder.channel("demo", "");
    let first = Gateway::start(&["--channel", &channel]);
    assert_eq!(publish(&first, "demo", "mine"), 202);
    let second = Gateway::start(&["--channel", &channel]);
    second.logged("another process (\"tidewater\", process ");
    let (answer, text) = request(&second.address, "POST /channels/demo", &[], b"x");
    assert_eq!(answer.status, 503, "{text}");
    assert!(text.contains("another process"), "{text}");
    let (answer, text) = request(&second.address, "GET /health/ready", &[], b"");
    assert!(answer.status == 200 && text.contains("degraded") && text.contains("another process"), "{text}");
    drop(first);
    let start = Instant::now();
    while publish(&second, "demo", "ours") != 202 {
        assert!(start.elapsed() < PATIENCE, "it never got the folder");
        thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(read(&second, "demo", "ours").contains("data: mine\n"));
}

#[test]
fn a_reload_hands_a_folder_from_one_channel_to_another() {
    let folder = Folder::new("reload");
    let channel = |name: &str| format!("[channels.{name}]\nsource = 'embedded:{}'\n", folder.0.display());
    let file = File::new("embedded-reload.toml", &channel("a"));
    let gateway = Gateway::start(&["--config", file.path()]);
    assert_eq!(publish(&gateway, "a", "one"), 202);
    file.write(&channel("b"));
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: channels added: b; channels removed: a");
    assert_eq!(publish(&gateway, "b", "two"), 202);
    assert!(read(&gateway, "b", "two").contains("data: one\n"));
    file.write("[channels.c]\nsource = 'memory:'\n");
    gateway.signal(Signal::HUP);
    gateway.logged("channels removed: b");
    file.write(&channel("d").replace("'\n", "?sync=os'\n"));
    gateway.signal(Signal::HUP);
    gateway.logged("channels added: d");
    assert_eq!(publish(&gateway, "d", "three"), 202);
    let all = read(&gateway, "d", "three");
    assert!(all.contains("data: one\n") && all.contains("data: two\n"), "{all}");
}
