//! Streams that are compressed: others' decoders read them, wherever their clients join.

#![cfg(all(feature = "gzip", feature = "zstd"))]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use support::{Broker, TOPIC, channel, events, settle};
use tidewater_hub::{Channel, ChannelBuilder, Encoding, Ending, EventStream, LogBounds, Resume, Select};

/// No block that comes of itself: two clients in one place get the same.
fn quiet(builder: ChannelBuilder) -> ChannelBuilder {
    builder.heartbeat(Duration::from_secs(1 << 20))
}

/// All that there is now.
fn now(stream: &mut EventStream) -> Vec<Bytes> {
    std::iter::from_fn(|| stream.next().now_or_never().flatten()).collect()
}

/// What a whole stream holds, however it is cut on its way; whether it is whole is the decoder's word.
fn decoded(encoding: Encoding, items: &[Bytes]) -> Vec<u8> {
    let all = items.concat();
    let pieces = all.chunks(7);
    match encoding {
        Encoding::Gzip => {
            let mut gzip = flate2::write::GzDecoder::new(Vec::new());
            pieces.for_each(|piece| gzip.write_all(piece).unwrap());
            gzip.finish().unwrap()
        }
        _ => {
            let mut zstd = zstd::stream::write::Decoder::new(Vec::new()).unwrap();
            pieces.for_each(|piece| zstd.write_all(piece).unwrap());
            zstd.flush().unwrap();
            zstd.into_inner()
        }
    }
}

/// A client, and one in the same place that gets plain bytes.
struct Pair {
    encoding: Encoding,
    streams: [EventStream; 2],
    /// What they have got: compressed, and plain.
    got: [Vec<Bytes>; 2],
}

impl Pair {
    async fn open(channel: &Channel, encoding: Encoding, id: Option<String>, select: &Select) -> Self {
        let open = async || {
            let resume = Resume { last_event_id: id.clone(), ..Resume::default() };
            channel.stream(resume, select.clone()).await
        };
        Self { encoding, streams: [open().await.encoded(encoding), open().await], got: Default::default() }
    }

    fn read(&mut self) {
        for (stream, got) in self.streams.iter_mut().zip(&mut self.got) {
            got.extend(now(stream));
        }
    }

    /// The same came to both, but for the reconnection time at their ends.
    fn judge(&self) -> usize {
        let mut both = [decoded(self.encoding, &self.got[0]), self.got[1].concat()];
        for bytes in &mut both {
            let text = std::str::from_utf8(bytes).unwrap();
            bytes.truncate(text.rfind("\n\nretry: ").unwrap());
        }
        assert!(both[0] == both[1], "{:?}", both.map(|bytes| String::from_utf8(bytes).unwrap()));
        both[0].len()
    }
}

/// Clients that join anywhere: at the live edge, in the middle of a batch and between batches that were put together, with
/// a selection of some or of all, and some only read later.
#[tokio::test(start_paused = true)]
async fn i1_every_client_has_every_byte_wherever_it_joins() {
    let broker = Broker::new(2);
    let channel = channel(&broker, quiet);
    let mut ids = vec![channel.cursor().await.unwrap().to_string()];
    let mut watcher = channel.stream(Resume::default(), Select::all()).await;
    let mut pairs = Vec::new();
    for round in 0..120usize {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let id = ids.get(fastrand::usize(..ids.len() * 2)).cloned();
            let select = match round % 3 {
                0 => Select::all(),
                1 => Select::topic(TOPIC),
                _ => Select::key("k1"),
            };
            pairs.push(Pair::open(&channel, encoding, id, &select).await);
        }
        for n in 0..[1, 1, 1, 0, 5, 1, 40][round % 7] {
            broker.publish(n % 2);
        }
        settle().await;
        let seen = events(&now(&mut watcher).concat());
        ids.extend(seen.iter().map(|event| event.last_event_id.to_string()));
        let reads = pairs.iter_mut().enumerate().filter(|(number, _)| (number + round) % 5 > 1);
        reads.for_each(|(_, pair)| pair.read());
    }
    let drained = channel.hub().drain(Duration::from_secs(60));
    let ends = async {
        settle().await;
        pairs.iter_mut().for_each(Pair::read);
        let lengths: usize = pairs.iter().map(Pair::judge).sum();
        assert!(lengths > 500_000, "{lengths}");
        drop(pairs);
        drop(watcher);
    };
    tokio::join!(drained, ends);
}

/// One event at a time, through batches that are put together: each is compressed once for both, and so is a heartbeat.
#[tokio::test(start_paused = true)]
async fn what_two_clients_get_is_the_same_memory() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.heartbeat(Duration::from_secs(3600)));
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let mut two = Vec::new();
        for _ in 0..2 {
            let mut stream = channel.stream(Resume::default(), Select::all()).await.encoded(encoding);
            assert_eq!(stream.encoding(), Some(encoding));
            assert_eq!(now(&mut stream).len(), 1, "its first block, which is its own");
            two.push(stream);
        }
        for round in 0..100 {
            if round == 50 {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            } else {
                broker.publish(0);
            }
            settle().await;
            let items: Vec<_> = two.iter_mut().flat_map(now).collect();
            assert_eq!(items.len(), 2, "{encoding}, round {round}");
            assert_eq!(items[0].as_ptr_range(), items[1].as_ptr_range(), "{encoding}, round {round}");
        }
    }
}

/// A block of what a client wants holds nothing that others want, and is nobody else's.
#[tokio::test(start_paused = true)]
async fn a_selection_shares_no_block_with_what_it_leaves_out() {
    let broker = Broker::new(1);
    let channel = channel(&broker, quiet);
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let mut all = channel.stream(Resume::default(), Select::all()).await.encoded(encoding);
        let mut some = channel.stream(Resume::default(), Select::key("k1")).await.encoded(encoding);
        now(&mut all);
        now(&mut some);
        // Keys take turns, and enough come for batches to be put together.
        broker.grow(0, 100);
        settle().await;
        let (firsts, seconds) = (now(&mut all), now(&mut some));
        let most = seconds.iter().max_by_key(|item| item.len()).unwrap();
        let shortest = seconds.iter().map(Bytes::len).min().unwrap();
        assert!(most.len() > shortest + 40, "more than one event: {} bytes, not {shortest}", most.len());
        assert!(firsts.iter().all(|first| first.as_ptr() != most.as_ptr() && first.len() != most.len()));
    }
}

/// What is compressed counts as what is not; it goes with its batch.
#[tokio::test(start_paused = true)]
async fn compressed_bytes_are_bounded_with_the_log() {
    let broker = Broker::new(1);
    let bounds = LogBounds { bytes: 200_000, ..LogBounds::default() };
    let channel = channel(&broker, |builder| quiet(builder).log(bounds));
    let mut plain = channel.stream(Resume::default(), Select::all()).await;
    broker.grow(0, 200);
    settle().await;
    now(&mut plain);
    let before = channel.status().log_bytes;
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let from = Resume { start: Some(tidewater_core::Start::Earliest), ..Resume::default() };
        let mut stream = channel.stream(from, Select::all()).await.encoded(encoding);
        let got: usize = now(&mut stream).iter().skip(1).map(Bytes::len).sum();
        assert!(got > 0);
    }
    let after = channel.status().log_bytes;
    assert!(after > before + 200, "{before}, then {after}");
    let mut streams = Vec::new();
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        streams.push(channel.stream(Resume::default(), Select::all()).await.encoded(encoding));
    }
    for _ in 0..3000 {
        broker.publish(0);
        settle().await;
        streams.iter_mut().for_each(|stream| drop(now(stream)));
        let status = channel.status();
        assert!(status.log_bytes < 202_000, "{status:?}");
    }
    assert!(channel.status().log_events < 2000, "{:?}", channel.status());
}

/// A stream that says no more than when to come back is whole, too.
#[tokio::test(start_paused = true)]
async fn i10_a_client_that_is_sent_away_can_read_why() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let stream = EventStream::closed(Ending::Full, Duration::from_secs(7)).encoded(encoding);
        let items: Vec<Bytes> = stream.collect().await;
        assert_eq!(decoded(encoding, &items), b"retry: 7000\n\n");
    }
}

#[test]
fn encodings_have_names() {
    for encoding in Encoding::ALL {
        assert_eq!(encoding.as_str().to_uppercase().parse::<Encoding>().unwrap(), *encoding);
    }
    let unknown = "br".parse::<Encoding>().unwrap_err().to_string();
    assert!(unknown.contains("zstd, gzip"), "{unknown}");
}
