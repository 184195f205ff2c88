//! I7: what happens to a client that falls off the log.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use futures_util::{FutureExt as _, StreamExt as _};
use support::{Books, Broker, TINY, at_end, channel, events, settle, tag};
use tidewater_core::{Cursor, Message, Start, memory::MemoryLog};
use tidewater_hub::{ChannelBuilder, Hub, LagPolicy, Resume, Select};

/// I7, backfill: the broker has what the log hasn't.
#[tokio::test(start_paused = true)]
async fn a_client_that_falls_behind_is_filled_up_from_the_broker() {
    let broker = Broker::new(3);
    let channel = channel(&broker, |builder| builder.log(TINY));
    let mut books = Books::default();
    let mut stream = books.open(&channel, Select::all()).await;
    books.read(&mut stream, 1, |_| false).await;
    for n in 0..2000 {
        broker.publish(n % 3);
        tokio::task::yield_now().await;
    }
    settle().await;
    assert!(books.read(&mut stream, 100_000, |books| at_end(books, &broker)).await);
    books.assert_exact(&broker);
    assert_eq!(channel.status().lagged, 1);
    // And it is back on the shared path: a new message comes at once.
    broker.publish(0);
    settle().await;
    assert!(books.read(&mut stream, 3, |books| at_end(books, &broker)).await);
    books.assert_exact(&broker);
}

/// I7, disconnect and skip.
#[tokio::test(start_paused = true)]
async fn a_client_that_falls_behind_is_sent_away_or_told_what_it_misses() {
    let broker = Broker::new(1);
    for policy in [LagPolicy::Disconnect, LagPolicy::Skip] {
        let channel = channel(&broker, |builder| builder.log(TINY).lag(policy));
        let mut books = Books::default();
        let mut stream = books.open(&channel, Select::all()).await;
        books.read(&mut stream, 1, |_| false).await;
        let from = broker.ranges()[0].end;
        for _ in 0..100 {
            broker.publish(0);
            tokio::task::yield_now().await;
        }
        settle().await;
        if policy == LagPolicy::Disconnect {
            let last = stream.next().await.unwrap();
            assert!(last.starts_with(b"retry: "), "{last:?}");
            assert!(stream.next().await.is_none());
            continue;
        }
        assert!(books.read(&mut stream, 1000, |books| at_end(books, &broker)).await);
        let [gap] = &books.gaps[..] else { panic!("{:?}", books.gaps) };
        let got = books.of(1, 0);
        assert_eq!((gap["reason"].as_str(), gap["from"].as_u64()), (Some("lag"), Some(from)));
        assert_eq!(gap["to"].as_u64(), got.first().copied(), "the gap ends where the events go on");
        assert_eq!(got, (got[0]..from + 100).collect::<Vec<_>>());
    }
}

/// I7, conflate: a client that falls behind gets the newest of each key, is told of the rest, and is live again.
#[tokio::test(start_paused = true)]
async fn a_client_that_falls_behind_gets_the_newest_of_each_key() {
    let broker = Broker::new(2);
    let own = |builder: ChannelBuilder| builder.log(TINY).lag(LagPolicy::Conflate);
    let chosen = |builder: ChannelBuilder| builder.log(TINY).lag_choices([LagPolicy::Conflate]);
    for (select, keys) in [(Select::all(), &[0, 1, 2][..]), (Select::key("k1"), &[1])] {
        let channels = [(channel(&broker, own), None), (channel(&broker, chosen), Some(LagPolicy::Conflate))];
        let mut clients = Vec::new();
        for (channel, lag) in &channels {
            let mut stream = channel.stream(Resume { lag: *lag, ..Resume::default() }, select.clone()).await;
            assert!(stream.next().await.is_some() && stream.next().now_or_never().is_none());
            clients.push(stream);
        }
        let from: Vec<u64> = broker.ranges().iter().map(|range| range.end).collect();
        for n in 0..200 {
            broker.publish(usize::from(n % 4 == 0));
            tokio::task::yield_now().await;
        }
        settle().await;
        for ((channel, _), mut stream) in channels.iter().zip(clients) {
            let ends: Vec<u64> = broker.ranges().iter().map(|range| range.end).collect();
            let mut events_read = Vec::new();
            while let Some(chunk) = stream.next().now_or_never() {
                events_read.extend(events(&chunk.unwrap()));
            }
            let (mut got, mut next) = (Vec::new(), from.clone());
            for event in &events_read {
                let (partition, range) = if event.event_type == "tidewater.gap" {
                    let told: serde_json::Value = serde_json::from_str(&event.data).unwrap();
                    assert_eq!(told["reason"], "conflated");
                    (
                        told["partition"].as_u64().unwrap() as usize,
                        told["from"].as_u64().unwrap()..told["to"].as_u64().unwrap(),
                    )
                } else {
                    let parts: Vec<u64> = event.data.split('/').map(|part| part.parse().unwrap()).collect();
                    got.push((parts[1] as usize, parts[2]));
                    (parts[1] as usize, parts[2]..parts[2] + 1)
                };
                assert!(range.start >= next[partition], "{event:?} after {next:?}");
                next[partition] = range.end;
            }
            // The broker's keys go round in each partition; a key of one is a key of the other too.
            assert_eq!(got.len(), keys.len(), "{got:?}");
            let newest = keys.iter().all(|key| got.iter().any(|(_, offset)| offset % 3 == *key));
            assert!(newest, "{got:?}");
            let last: Cursor = events_read.last().unwrap().last_event_id.parse().unwrap();
            assert!((0..2).all(|p| last.next_offset(tag(), p).unwrap() <= ends[p as usize]), "{last:?}");
            assert_eq!(channel.status().lagged, 1);
            // And it is live again.
            (0..3).for_each(|_| broker.publish(0));
            settle().await;
            assert!(events(&stream.next().await.unwrap()).iter().any(|event| event.data.starts_with("1/0/")));
        }
    }
}

/// I7: what a subscription chooses holds where the channel allows it, and else the channel's own policy.
#[tokio::test(start_paused = true)]
async fn a_subscription_chooses_among_what_the_channel_allows() {
    let broker = Broker::new(1);
    let disconnect = Some(LagPolicy::Disconnect);
    for (choices, ends) in
        [(&[LagPolicy::Disconnect][..], true), (&[LagPolicy::Conflate], false), (&[], false)]
    {
        let channel = channel(&broker, |builder| {
            builder.log(TINY).lag(LagPolicy::Skip).lag_choices(choices.iter().copied())
        });
        assert_eq!(channel.lag_policies(), [&[LagPolicy::Skip], choices].concat());
        let mut stream = channel.stream(Resume { lag: disconnect, ..Resume::default() }, Select::all()).await;
        assert!(stream.next().await.is_some() && stream.next().now_or_never().is_none());
        for _ in 0..100 {
            broker.publish(0);
            tokio::task::yield_now().await;
        }
        settle().await;
        let next = stream.next().await.unwrap();
        assert_eq!(next.starts_with(b"retry: "), ends, "{choices:?}: {next:?}");
        assert_eq!(stream.next().await.is_none(), ends);
    }
}

/// I7: what a channel was pre-warmed with counts as what it has had.
#[tokio::test(start_paused = true)]
async fn the_newest_of_a_key_may_be_of_before_the_channel_s_start() {
    let log = MemoryLog::new("conflate-prewarmed");
    let publish = |key: &'static str, data: String| log.publish(Message::new("t", data).with_key(key));
    for key in ["old", "other"] {
        publish(key, format!("{key} 0"));
        publish(key, format!("{key} 1"));
    }
    let builder = Hub::new().channel("c").source(log.source()).log(TINY).lag(LagPolicy::Conflate);
    let channel = builder.start(Start::Earliest).open().unwrap();
    let mut stream = channel.stream(Resume::default(), Select::all()).await;
    assert!(stream.next().await.is_some());
    for n in 0..100 {
        publish("new", format!("new {n}"));
        tokio::task::yield_now().await;
    }
    settle().await;
    let mut got = Vec::new();
    while got.last().is_none_or(|last| last != "new 99") {
        let all = events(&stream.next().await.unwrap());
        got.extend(
            all.iter().filter(|event| event.event_type == "message").map(|event| event.data.to_string()),
        );
    }
    assert_eq!(got, ["old 1", "other 1", "new 99"]);
}
