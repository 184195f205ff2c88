//! Writers that write during the handshake, over a memory log: nothing that they write is missed.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, net::SocketAddr};

use futures_util::StreamExt as _;
use tidewater::{Channel, Resume, Select, sse::Decoder};
use tidewater_tests::{SseClient, eventually, http};

use super::*;
use crate::stock::{Item, Snapshot};

fn stock() -> Arc<Stock> {
    let log = tidewater::memory::MemoryLog::new("stock");
    let hub = Hub::new();
    Arc::new(Stock::new(hub.channel("stock").source(log.source()).sink(Arc::new(log.sink())).open().unwrap()))
}

/// What the page does, in Rust.
#[derive(Default)]
struct Page(BTreeMap<String, Item>);

impl Page {
    fn apply(&mut self, item: Item) {
        let known = self.0.get(&item.name).map_or(0, |known| known.version);
        if item.version > known {
            self.0.insert(item.name.clone(), item);
        }
    }

    fn items(&self) -> Vec<Item> {
        self.0.values().cloned().collect()
    }

    /// Follows the stream from a cursor until the page shows this item, which is written last.
    async fn follow(&mut self, changes: &Channel, cursor: String, last: &str) {
        let resume = Resume { last_event_id: Some(cursor), ..Resume::default() };
        let mut stream = changes.stream(resume, Select::all()).await;
        let mut decoder = Decoder::new();
        while !self.0.contains_key(last) {
            decoder.feed(&stream.next().await.unwrap());
            while let Some(event) = decoder.next_event().unwrap() {
                assert_ne!(event.event_type, "tidewater.gap", "{}", event.data);
                if event.event_type == "message" {
                    self.apply(serde_json::from_str(&event.data).unwrap());
                }
            }
        }
    }
}

/// Each step of the handshake, with something written before it.
#[tokio::test]
async fn what_is_written_between_the_steps_is_there_once() {
    let stock = stock();
    stock.add("before", 1).await.unwrap();
    let cursor = stock.changes().cursor().await.unwrap().to_string();
    stock.add("before", 1).await.unwrap();
    stock.add("between cursor and state", 1).await.unwrap();
    let mut page = Page::default();
    stock.read().into_iter().for_each(|item| page.apply(item));
    stock.add("before", 1).await.unwrap();
    stock.add("between state and stream", 1).await.unwrap();
    stock.add("last", 1).await.unwrap();
    page.follow(stock.changes(), cursor, "last").await;
    assert_eq!(page.items(), stock.read());
    assert_eq!(page.0["before"].count, 3);
}

/// Why the cursor comes first.
#[tokio::test]
async fn the_state_before_the_cursor_loses_what_falls_between() {
    let stock = stock();
    stock.add("before", 1).await.unwrap();
    let mut page = Page::default();
    stock.read().into_iter().for_each(|item| page.apply(item));
    stock.add("lost", 1).await.unwrap();
    let cursor = stock.changes().cursor().await.unwrap().to_string();
    stock.add("last", 1).await.unwrap();
    page.follow(stock.changes(), cursor, "last").await;
    assert!(!page.0.contains_key("lost") && page.items() != stock.read());
}

/// Many pages load over HTTP while writers write as fast as they can, most rows once only: no later change of a row
/// hides that one was missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_that_load_while_writers_write_miss_nothing() {
    /// Pages during whose handshake something was written; and the most that are loaded for them.
    const OVERLAPPING: usize = 25;
    const PAGES: usize = 200;
    const WRITERS: usize = 4;
    let stock = stock();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(warp::serve(routes(stock.clone())).incoming(listener).run());
    let writing = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (stock, writing) = (stock.clone(), writing.clone());
            tokio::spawn(async move {
                let mut wrote = 0;
                while writing.load(std::sync::atomic::Ordering::Relaxed) && wrote < 4000 {
                    stock.add(&format!("{writer}-{wrote}"), 1).await.unwrap();
                    stock.add("all", 1).await.unwrap();
                    wrote += 1;
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
                wrote
            })
        })
        .collect();
    let mut overlapping = 0;
    let mut pages = Vec::new();
    while overlapping < OVERLAPPING && pages.len() < PAGES {
        let (page, cursor) = load(address).await;
        let at = page.0.len();
        let path = format!("/events?last_event_id={cursor}");
        let client = SseClient::connect(address, &path, None).await.unwrap();
        overlapping += usize::from(stock.read().len() > at);
        pages.push((page, client));
    }
    writing.store(false, std::sync::atomic::Ordering::Relaxed);
    let mut wrote = 0;
    for writer in writers {
        wrote += writer.await.unwrap();
    }
    stock.add("last", 1).await.unwrap();
    assert_eq!(overlapping, OVERLAPPING, "handshakes of {} during which something was written", pages.len());
    let state = stock.read();
    assert_eq!(state.iter().find(|item| item.name == "all").unwrap().count, wrote as i64);
    for (mut page, mut client) in pages {
        while !page.0.contains_key("last") {
            let event = client.expect().await.unwrap();
            match &*event.event_type {
                "message" => page.apply(serde_json::from_str(&event.data).unwrap()),
                other => assert_eq!(other, "tidewater.cursor"),
            }
        }
        // `all` is written by four at a time: its last version may have been published before an earlier one.
        assert_eq!(page.items(), state);
    }
}

async fn load(address: SocketAddr) -> (Page, String) {
    let snapshot = eventually("the state", || async {
        let answer = http::get(address, "/state").await?;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        Ok(serde_json::from_slice::<Snapshot>(&answer.body)?)
    });
    let snapshot = snapshot.await.unwrap();
    let mut page = Page::default();
    snapshot.items.into_iter().for_each(|item| page.apply(item));
    (page, snapshot.cursor)
}

#[tokio::test]
async fn what_is_no_change_is_refused() {
    let stock = stock();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(warp::serve(routes(stock.clone())).incoming(listener).run());
    let long = "x".repeat(41);
    for (path, body, status) in [
        ("/items/apples", "many", 400),
        ("/items/apples", "", 400),
        (&format!("/items/{long}"), "1", 422),
        ("/items/apples", "3", 200),
    ] {
        let answer = http::post(address, path, body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{path} {body}");
    }
    assert_eq!(stock.read(), [Item { name: "apples".into(), count: 3, version: 1 }]);
}
