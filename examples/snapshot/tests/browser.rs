//! The page itself, in a real browser that loads it again and again while writers write.

#![allow(clippy::unwrap_used)]

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use tidewater_tests::{PATIENCE, browser::Browser, eventually, free_port, heavy, http};

const ROUNDS: usize = 12;
const WRITERS: usize = 4;
/// For each writer in each round.
const MOST: usize = 150;

/// The example, as a process.
struct Server(Child);

impl Server {
    fn start(address: SocketAddr) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snapshot"));
        command.arg("--quiet").env("LISTEN", address.to_string());
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

/// The table's rows, as the page shows them, sorted as the server sorts them.
const SHOWN: &str = "[...document.querySelectorAll('#items tr')]
    .map(row => [...row.cells].map(cell => cell.textContent).join(' ')).sort().join()";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn the_table_is_the_server_s_whenever_the_page_was_loaded() {
    let _alone = heavy().await;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let server = Server::start(address);
    let page = format!("http://{address}/");
    up(address).await;
    let browser = Browser::chromium().start().await.unwrap();
    for round in 0..ROUNDS {
        let writing = Arc::new(AtomicBool::new(true));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(address, format!("{round}-{writer}"), writing.clone())))
            .collect();
        browser.open(&page).await.unwrap();
        browser
            .wait_until("document.getElementById('status').textContent === 'current'", PATIENCE)
            .await
            .unwrap();
        writing.store(false, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        shows_the_state(&browser, address).await;
    }
    // A change that comes once more, after newer ones, changes nothing.
    browser.run("apply({ name: 'all', count: -1, version: 1 })").await.unwrap();
    shows_the_state(&browser, address).await;

    // The connection is lost, and the server with all that it had: the page is told so by a gap, and loads anew.
    drop(server);
    browser
        .wait_until("document.getElementById('status').textContent !== 'current'", PATIENCE)
        .await
        .unwrap();
    let _server = Server::start(address);
    up(address).await;
    http::post(address, "/items/anew", b"7").await.unwrap();
    browser
        .wait_until("document.getElementById('status').textContent === 'current'", PATIENCE)
        .await
        .unwrap();
    shows_the_state(&browser, address).await;
    assert_eq!(browser.run("return document.getElementById('loads').textContent").await.unwrap(), "2");
}

async fn up(address: SocketAddr) {
    let up = eventually("the example", || async { http::get(address, "/state").await });
    assert_eq!(up.await.unwrap().status, 200);
}

/// Writes rows that nobody changes again, so that one that was missed stays missed, and one that all change.
async fn write(address: SocketAddr, name: String, writing: Arc<AtomicBool>) {
    for number in 0..MOST {
        for path in [format!("/items/{name}-{number}"), "/items/all".to_owned()] {
            assert_eq!(http::post(address, &path, b"1").await.unwrap().status, 200, "{path}");
        }
        if !writing.load(Ordering::Relaxed) {
            break;
        }
    }
}

async fn shows_the_state(browser: &Browser, address: SocketAddr) {
    let state = http::get(address, "/state").await.unwrap().json().unwrap();
    let row = |item: &Value| {
        let name = item["name"].as_str().unwrap();
        format!("{name} {} {}", item["count"], item["version"])
    };
    let mut rows: Vec<String> = state["items"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    let expected = Value::from(rows.join(","));
    browser.wait_until(&format!("{SHOWN} === {expected}"), PATIENCE).await.unwrap();
}
