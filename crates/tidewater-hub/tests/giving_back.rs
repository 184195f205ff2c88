//! A server that gives bytes back which a client's socket has not taken.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use support::{Broker, TINY, TOPIC, channel, settle};
use tidewater_core::sse::Decoder;
use tidewater_hub::{LagPolicy, Resume, Select};

/// A connection that takes as much as it is allowed to.
#[derive(Default)]
struct Socket {
    taken: Vec<u8>,
    /// What had to wait outside of the stream, at most.
    held: usize,
}

impl Socket {
    /// What has been taken, as a decoder sees it.
    #[cfg(all(feature = "gzip", feature = "zstd"))]
    fn decode(&mut self, encoding: Option<tidewater_hub::Encoding>) {
        use std::io::Write as _;
        use tidewater_hub::Encoding;
        match encoding {
            Some(Encoding::Gzip) => {
                let mut gzip = flate2::write::GzDecoder::new(Vec::new());
                gzip.write_all(&self.taken).unwrap();
                gzip.flush().unwrap();
                self.taken = std::mem::take(gzip.get_mut());
            }
            Some(_) => self.taken = zstd::decode_all(&*self.taken).unwrap(),
            None => {}
        }
    }

    /// The ids and types of what has come whole.
    fn events(&self) -> Vec<(String, String)> {
        let mut decoder = Decoder::new();
        decoder.feed(&self.taken);
        let mut events = Vec::new();
        while let Some(event) = decoder.next_event().unwrap() {
            events.push((event.event_type.to_string(), event.last_event_id.to_string()));
        }
        events
    }
}

/// However little is taken at a time, the same bytes come as where all is taken; and no more than one event waits
/// outside of the log.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_comes_again() {
    comes_again(Select::all(), None).await;
}

/// A client with a selection jumps over what does not concern it, but not over what it has given back.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_of_a_selection_comes_again() {
    comes_again(Select::topic(TOPIC), None).await;
}

/// What is compressed is given back item by item.
#[cfg(all(feature = "gzip", feature = "zstd"))]
#[tokio::test(start_paused = true)]
async fn what_is_given_back_of_compressed_streams_comes_again() {
    for encoding in tidewater_hub::Encoding::ALL {
        comes_again(Select::all(), Some(*encoding)).await;
        comes_again(Select::topic(TOPIC), Some(*encoding)).await;
    }
}

async fn comes_again(select: Select, encoding: Option<tidewater_hub::Encoding>) {
    let broker = Broker::new(2);
    // Heartbeats are each client's own.
    let channel = channel(&broker, |builder| builder.heartbeat(Duration::from_secs(1 << 20)));
    let mut whole = channel.stream(Resume::default(), select.clone()).await;
    let mut cut = channel.stream(Resume::default(), select).await.encoded(encoding);
    let (mut wanted, mut socket) = (Vec::new(), Socket::default());
    // An event; an item where nothing smaller is given back.
    let mut most = 400;
    let mut pending = Vec::<Bytes>::new();
    for round in 0..200 {
        for n in 0..round % 4 * 3 {
            broker.publish(n % 2);
        }
        settle().await;
        while let Some(Some(item)) = whole.next().now_or_never() {
            wanted.extend_from_slice(&item);
        }
        // Up to three items in hand, of which a part is taken.
        let mut items = std::mem::take(&mut pending);
        while items.len() < 3
            && let Some(Some(item)) = cut.next().now_or_never()
        {
            if encoding.is_some() {
                most = most.max(item.len());
            }
            items.push(item);
        }
        let mut takes = round * 37 % 400;
        items.retain_mut(|item| {
            let part = item.split_to(item.len().min(takes));
            takes -= part.len();
            socket.taken.extend_from_slice(&part);
            !item.is_empty()
        });
        while let Some(last) = items.last_mut() {
            let kept = cut.give_back(last);
            if kept > 0 {
                last.truncate(kept);
                break;
            }
            items.pop();
        }
        socket.held = socket.held.max(items.iter().map(Bytes::len).sum());
        pending = items;
    }
    for item in pending {
        socket.taken.extend_from_slice(&item);
    }
    while let Some(Some(item)) = cut.next().now_or_never() {
        socket.taken.extend_from_slice(&item);
    }
    #[cfg(all(feature = "gzip", feature = "zstd"))]
    socket.decode(encoding);
    assert!(wanted.len() > 10_000, "{}", wanted.len());
    let same = wanted.iter().zip(&socket.taken).take_while(|(wanted, got)| wanted == got).count();
    let next = |of: &[u8]| String::from_utf8_lossy(&of[same..of.len().min(same + 80)]).into_owned();
    assert_eq!(next(&socket.taken), next(&wanted), "after {same} bytes");
    assert_eq!(socket.taken.len(), wanted.len());
    assert!(socket.held <= most, "{} bytes waited outside", socket.held);
}

/// What the log has lost meanwhile is told, and nothing comes twice.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_and_falls_off_the_log_is_a_gap() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.log(TINY).lag(LagPolicy::Skip));
    let mut stream = channel.stream(Resume::default(), Select::all()).await;
    let mut socket = Socket::default();
    socket.taken.extend_from_slice(&stream.next().await.unwrap());
    broker.grow(0, 3);
    settle().await;
    let mut item = stream.next().await.unwrap();
    // The beginning of the first event.
    socket.taken.extend_from_slice(&item.split_to(5));
    let kept = stream.give_back(&item);
    assert!(kept > 0 && kept < item.len(), "{kept} of {}", item.len());
    socket.taken.extend_from_slice(&item[..kept]);
    for _ in 0..200 {
        broker.publish(0);
        tokio::task::yield_now().await;
    }
    settle().await;
    while let Some(Some(item)) = stream.next().now_or_never() {
        socket.taken.extend_from_slice(&item);
    }
    let events = socket.events();
    let types: Vec<&str> = events.iter().map(|(of, _)| &**of).collect();
    assert_eq!(types[..3], ["tidewater.cursor", "message", "tidewater.gap"], "{types:?}");
    assert!(types[3..].iter().all(|of| *of == "message") && types.len() > 5, "{types:?}");
    let text = String::from_utf8(socket.taken).unwrap();
    assert!(text.contains("\"from\":1,"), "the gap begins where the events end: {text}");
}
