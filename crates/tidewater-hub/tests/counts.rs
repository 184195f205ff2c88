//! What `Channel::status` counts is what happened.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use support::{Broker, TINY, channel, events, settle};
use tidewater_core::{Error, ErrorKind, GapReason, PayloadMode, Start};
use tidewater_hub::{Channel, Encoding, EventStream, Gaps, LagPolicy, Resume, Select, Status};

/// What a client got, as its server counts it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    events: u64,
    bytes: u64,
    gaps: u64,
}

impl Got {
    fn take(&mut self, item: &[u8]) {
        self.bytes += item.len() as u64;
        for event in events(item) {
            match &*event.event_type {
                "tidewater.cursor" => {}
                "tidewater.gap" => self.gaps += 1,
                _ => self.events += 1,
            }
        }
    }

    /// All that there is now.
    async fn read(&mut self, stream: &mut EventStream) {
        settle().await;
        while let Some(Some(item)) = stream.next().now_or_never() {
            self.take(&item);
        }
    }
}

fn only(reason: GapReason, gaps: u64, of: Gaps) {
    assert_eq!((of.of(reason), of.total()), (gaps, gaps), "{reason}: {of:?}");
}

fn out(status: &Status) -> (u64, u64) {
    (status.events_out, status.bytes_out)
}

async fn from(channel: &Channel, id: Option<&str>, start: Option<Start>) -> EventStream {
    channel
        .stream(Resume { last_event_id: id.map(Into::into), start, ..Resume::default() }, Select::all())
        .await
}

/// The ways to the same events: what all get, what one has chosen, and what is on a path of its own.
#[tokio::test(start_paused = true)]
async fn events_and_bytes_that_go_out_are_counted_for_each_client() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.heartbeat(Duration::from_secs(1 << 20)));
    let mut all = from(&channel, None, None).await;
    let mut some = channel.stream(Resume::default(), Select::key("k1")).await;
    let (mut all_got, mut some_got) = (Got::default(), Got::default());
    all_got.read(&mut all).await;
    let first_block = all_got.bytes;
    for round in 0..30 {
        broker.grow(0, round % 5);
        all_got.read(&mut all).await;
        some_got.read(&mut some).await;
    }
    let status = channel.status();
    assert_eq!((status.events_in, all_got.events, some_got.events), (60, 60, 20));
    assert_eq!(out(&status), (80, all_got.bytes + some_got.bytes));
    assert_eq!(status.bytes_in, all_got.bytes - first_block);
    assert!(status.last_event.unwrap() < Duration::from_secs(10), "{status:?}");

    // Who begins in the past.
    let mut past = from(&channel, None, Some(Start::Earliest)).await;
    let mut past_got = Got::default();
    while past_got.events < 60 {
        past_got.take(&past.next().await.unwrap());
    }
    let status = channel.status();
    assert_eq!(out(&status), (140, all_got.bytes + some_got.bytes + past_got.bytes));
    assert_eq!(status.events_in, 60, "what is read for one is nothing that came");
}

/// What is given back has not gone out.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_not_counted() {
    for encoding in Encoding::ALL.iter().copied().map(Some).chain([None]) {
        for (select, events) in [(Select::all(), 60), (Select::key("k1"), 20)] {
            let broker = Broker::new(1);
            let channel = channel(&broker, |builder| builder.heartbeat(Duration::from_secs(1 << 20)));
            let mut stream = channel.stream(Resume::default(), select).await.encoded(encoding);
            let mut bytes = stream.next().await.unwrap().len();
            for round in 1..40 {
                broker.grow(0, round % 4);
                settle().await;
                while let Some(Some(mut item)) = stream.next().now_or_never() {
                    // Of what is compressed all is given back, or nothing.
                    let takes = if encoding.is_some() { 0 } else { round as usize * 37 % item.len() };
                    let taken = item.split_to(takes).len() + stream.give_back(&item);
                    bytes += taken;
                    if taken == 0 {
                        bytes += stream.next().now_or_never().unwrap().unwrap().len();
                    }
                }
            }
            assert_eq!(out(&channel.status()), (events, bytes as u64), "{encoding:?}");
        }
    }
}

/// Gaps that all get are counted once, those of one client apart from them.
#[tokio::test(start_paused = true)]
async fn gaps_are_counted_by_reason_and_by_whom_they_are_for() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| {
        builder.prewarm(None).map(|message| match message.payload.as_deref() {
            Some(b"1/0/1") => Err(Error::new(ErrorKind::Internal, "it does not like it")),
            Some(b"1/0/2") => Ok(None),
            _ => Ok(Some(PayloadMode::Text.render(message))),
        })
    });
    let (mut one, mut other) = (from(&channel, None, None).await, from(&channel, None, None).await);
    let (mut one_got, mut other_got) = (Got::default(), Got::default());
    broker.grow(0, 4);
    one_got.read(&mut one).await;
    other_got.read(&mut other).await;
    let status = channel.status();
    assert_eq!((one_got.events, one_got.gaps, &other_got), (2, 1, &one_got));
    assert_eq!((status.events_in, status.events_out, status.map_failures), (2, 4, 1), "gaps are no events");
    only(GapReason::Map, 1, status.channel_gaps);
    assert_eq!(status.gaps.total(), 0);

    // What one client is told.
    drop(from(&channel, Some("nonsense"), None).await);
    let status = channel.status();
    only(GapReason::Unreadable, 1, status.gaps);
    assert_eq!((status.resumes_with_gap, status.channel_gaps.total()), (1, 1));

    // What all are.
    broker.recreate();
    settle().await;
    let told = channel.status().channel_gaps;
    assert_eq!((told.of(GapReason::Epoch), told.of(GapReason::Map), told.total()), (1, 1, 2));
}

/// Each stream that goes on is counted in one place.
#[tokio::test(start_paused = true)]
async fn resumes_are_counted_by_place() {
    let broker = Broker::new(1);
    broker.grow(0, 100);
    let channel = channel(&broker, |builder| builder.prewarm(None));
    let resumes = || {
        let status = channel.status();
        [status.resumes_from_log, status.resumes_from_broker, status.resumes_with_gap]
    };
    let mut fresh = from(&channel, None, None).await;
    let id = events(&fresh.next().await.unwrap()).pop().unwrap().last_event_id.to_string();
    assert_eq!((resumes(), channel.status().opened), ([0, 0, 0], 1), "it had nothing");
    let _log = from(&channel, Some(&id), None).await;
    assert_eq!(resumes(), [1, 0, 0]);
    let mut past = from(&channel, None, Some(Start::Earliest)).await;
    assert_eq!(resumes(), [1, 1, 0]);
    assert_eq!(channel.status().backfill_segments, 0);
    let mut got = Got::default();
    while got.events < 100 {
        got.take(&past.next().await.unwrap());
    }
    let status = channel.status();
    assert_eq!((status.backfill_segments, status.backfill_readers, status.backfill_waiting), (1, 0, 0));
    assert_eq!(status.backfill_readers_most, 4);
    broker.recreate();
    settle().await;
    let _gap = from(&channel, Some("nonsense"), None).await;
    assert_eq!((resumes(), channel.status().opened), ([1, 1, 1], 4));
}

#[tokio::test(start_paused = true)]
async fn who_falls_behind_is_counted_with_what_became_of_it() {
    for (policy, ended, told) in
        [(LagPolicy::Disconnect, 1, 0), (LagPolicy::Skip, 0, 1), (LagPolicy::Backfill, 0, 0)]
    {
        let broker = Broker::new(1);
        let channel = channel(&broker, |builder| builder.log(TINY).lag(policy));
        let mut stream = from(&channel, None, None).await;
        let mut got = Got::default();
        got.read(&mut stream).await;
        for _ in 0..100 {
            broker.publish(0);
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            got.read(&mut stream).await;
        }
        let status = channel.status();
        assert_eq!((status.lagged, status.lag_disconnects, status.sent_away), (1, ended, ended), "{policy}");
        only(GapReason::Lag, told, status.gaps);
        assert_eq!(out(&status), (got.events, got.bytes), "{policy}");
    }
}

/// I10: whoever is told when to come back is counted, with a stream or without.
#[tokio::test(start_paused = true)]
async fn i10_who_is_sent_away_is_counted() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder);
    let mut stream = from(&channel, None, None).await;
    let mut over = from(&channel, None, None).await.ends_after(Duration::ZERO);
    settle().await;
    let mut got = Got::default();
    got.read(&mut over).await;
    assert_eq!(channel.status().sent_away, 1);
    got.read(&mut channel.come_back()).await;
    assert_eq!(channel.status().sent_away, 2);
    tokio::join!(channel.hub().drain(Duration::from_secs(5)), got.read(&mut stream));
    got.read(&mut from(&channel, None, None).await).await;
    let status = channel.status();
    assert_eq!((status.sent_away, status.lag_disconnects, status.clients), (4, 0, 0));
}

/// How far the node is behind is known when a subscription begins, and at each look after it.
#[tokio::test(start_paused = true)]
async fn lag_is_what_the_broker_had_and_the_node_had_not_read() {
    let broker = Broker::new(2);
    broker.grow(0, 100);
    let channel = channel(&broker, |builder| builder.prewarm(None));
    assert_eq!(channel.status().lag, None, "it has not been reached yet");
    settle().await;
    let lag = |channel: &Channel| channel.status().lag.unwrap();
    assert_eq!(lag(&channel).offsets, 0, "it starts at the end");
    broker.stall([1], true);
    broker.grow(1, 7);
    broker.grow(0, 3);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((lag(&channel).offsets, channel.status().events_in), (7, 3));
    assert!(lag(&channel).age < Duration::from_secs(10), "{:?}", lag(&channel));
    broker.stall([], false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = channel.status();
    assert_eq!((lag(&channel).offsets, status.events_in), (0, 10));
    assert!(status.stalls > 0 && status.resubscriptions == status.stalls, "{status:?}");

    // What is not reached is not looked at.
    broker.set_away(true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(lag(&channel).age > Duration::from_secs(50), "{:?}", lag(&channel));

    let live = tidewater_hub::Hub::new().channel("live").source(broker.live_source()).open().unwrap();
    broker.set_away(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(live.status().lag, None, "nobody can know");
}
