//! Channels that read the same share one upstream subscription, and harm each other in nothing.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::StreamExt as _;
use support::{Books, Broker, at_end};
use tidewater_core::{Cursor, ErrorKind, Message, Outgoing, memory::MemoryLog, sse::Decoder};
use tidewater_hub::{Channel, Hub, LogBounds, Resume, Select, Status, UpstreamState};
use tokio::time::{Instant, sleep, timeout};

const TINY: LogBounds = LogBounds { events: 40, bytes: 1 << 20, age: Duration::from_secs(600) };

/// Without the readers that pre-warm: subscriptions are counted here.
fn open(hub: &Hub, name: &str, broker: &Arc<Broker>) -> Channel {
    hub.channel(name).source(broker.shared_source("a")).prewarm(None).open().unwrap()
}

fn subscriptions(broker: &Broker) -> usize {
    broker.subscriptions.load(Ordering::Relaxed)
}

/// Waits for a channel to be so.
async fn until(channel: &Channel, what: impl Fn(&Status) -> bool) {
    let wait = async {
        while !what(&channel.status()) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = timeout(Duration::from_secs(60), wait).await;
    assert!(reached.is_ok(), "{}: {:?}", channel.name(), channel.status());
}

async fn live(channel: &Channel) {
    until(channel, |status| status.upstream == UpstreamState::Live).await;
}

/// Starts keeping books of a channel, at its live edge.
async fn books(channel: &Channel) -> Books {
    let mut books = Books::default();
    books.read(&mut books.open(channel, Select::all()).await, 1, |_| false).await;
    books
}

/// Reads from where the books end to the broker's end.
async fn read_on(books: &mut Books, channel: &Channel, broker: &Broker) {
    let mut stream = books.open(channel, Select::all()).await;
    let read =
        timeout(Duration::from_secs(60), books.read(&mut stream, 1_000_000, |books| at_end(books, broker)));
    assert!(read.await.unwrap_or(false), "{} never gets to the end: {:?}", channel.name(), books.last_id);
}

#[tokio::test(start_paused = true)]
async fn channels_that_read_the_same_subscribe_once() {
    let (hub, broker) = (Hub::new(), Broker::new(3));
    let channels: Vec<_> = (0..20).map(|n| open(&hub, &format!("c{n}"), &broker)).collect();
    let mut clients = Vec::new();
    for channel in &channels {
        clients.push(books(channel).await);
    }
    for n in 0..200 {
        broker.publish(n % 3);
    }
    for (client, channel) in clients.iter_mut().zip(&channels) {
        read_on(client, channel, &broker).await;
        client.assert_exact(&broker);
    }
    assert_eq!(subscriptions(&broker), 1);
}

#[tokio::test(start_paused = true)]
async fn other_credentials_and_other_wishes_have_a_subscription_of_their_own() {
    let (hub, broker) = (Hub::new(), Broker::new(1));
    let builders = [
        hub.channel("shared").source(broker.shared_source("a")),
        hub.channel("other").source(broker.shared_source("b")),
        hub.channel("unknown").source(broker.source(1)),
        hub.channel("own").source(broker.shared_source("a")).share_upstream(false),
        Hub::new().channel("elsewhere").source(broker.shared_source("a")),
    ];
    let channels: Vec<_> = builders.into_iter().map(|builder| builder.open().unwrap()).collect();
    for (channel, expected) in channels.iter().zip(1..) {
        live(channel).await;
        assert!(subscriptions(&broker) >= expected, "{}", channel.name());
    }
    assert_eq!(subscriptions(&broker), channels.len());
}

/// I1: a channel that joins in the middle starts exactly where the upstream is, and an id of one channel goes on
/// exactly on another, whichever came first.
#[tokio::test(start_paused = true)]
async fn clients_hop_between_channels_that_came_at_different_times() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let partitions = 1 + seed as usize % 4;
        let (hub, broker) = (Hub::new(), Broker::new(partitions));
        let mut channels = vec![open(&hub, "c0", &broker)];
        let mut clients: Vec<Books> = (0..6).map(|_| Books::default()).collect();
        for round in 1..50 {
            for _ in 0..rng.usize(..40) {
                broker.publish(rng.usize(..partitions));
            }
            if round % 5 == 0 {
                let log = if rng.bool() { TINY } else { LogBounds::default() };
                let builder = hub.channel(format!("c{round}")).source(broker.shared_source("a"));
                channels.push(builder.log(log).open().unwrap());
            }
            for _ in 0..rng.usize(..8) {
                tokio::task::yield_now().await;
            }
            for client in &mut clients {
                let mut stream = client.open(&channels[rng.usize(..channels.len())], Select::all()).await;
                let reading = client.read(&mut stream, rng.usize(1..12), |_| false);
                drop(timeout(Duration::from_millis(rng.u64(1..20)), reading).await);
            }
        }
        for client in &mut clients {
            for channel in &channels {
                read_on(client, channel, &broker).await;
            }
            client.assert_exact(&broker);
        }
    }
}

/// What comes after a channel was opened is in it, and what its first client is told to have is where it starts.
#[tokio::test(start_paused = true)]
async fn a_channel_that_joins_misses_nothing_from_then_on() {
    let (hub, broker) = (Hub::new(), Broker::new(1));
    live(&open(&hub, "first", &broker)).await;
    for n in 0..50 {
        broker.publish(0);
        let opened_at = broker.ranges()[0].end;
        let late = open(&hub, &format!("late{n}"), &broker);
        broker.publish(0);
        let mut client = books(&late).await;
        let start = client.start.clone().unwrap().next_offset(support::tag(), 0).unwrap();
        assert!(start <= opened_at + 1, "{start} is past what came after it was opened");
        read_on(&mut client, &late, &broker).await;
        client.assert_exact(&broker);
    }
    assert_eq!(subscriptions(&broker), 1);
}

#[tokio::test(start_paused = true)]
async fn what_happens_upstream_happens_to_all() {
    let (hub, broker) = (Hub::new(), Broker::new(2));
    let channels = ["one", "two", "three"].map(|name| open(&hub, name, &broker));
    let mut clients = Vec::new();
    for channel in &channels {
        clients.push(books(channel).await);
    }

    // An outage that ends the stream, and what retention takes in the meantime.
    broker.set_away(true);
    broker.cut();
    for channel in &channels {
        until(channel, |status| status.upstream == UpstreamState::Degraded).await;
        assert_eq!(channel.status().error.unwrap().kind(), ErrorKind::Unavailable);
    }
    for n in 0..100 {
        broker.publish(n % 2);
    }
    broker.truncate(0, 10);
    broker.set_away(false);
    for (client, channel) in clients.iter_mut().zip(&channels) {
        live(channel).await;
        assert!(channel.status().error.is_none());
        read_on(client, channel, &broker).await;
        let told =
            serde_json::json!({"reason": "retention", "topic": "t", "partition": 0, "from": 0, "to": 10});
        assert_eq!(client.gaps, [told]);
        assert_eq!(client.of(1, 0), (10..50).collect::<Vec<_>>());
        assert_eq!(client.of(1, 1), (0..50).collect::<Vec<_>>());
    }
    // The topic is made anew.
    broker.recreate();
    for _ in 0..5 {
        broker.publish(1);
    }
    for (client, channel) in clients.iter_mut().zip(&channels) {
        read_on(client, channel, &broker).await;
        assert_eq!(client.gaps[1..], [serde_json::json!({"reason": "epoch", "topic": "t"})]);
        assert_eq!(client.of(2, 1), [0, 1, 2, 3, 4]);
    }
    // The broker comes back without its tail: streams end, and clients are told that they are ahead.
    let streams: Vec<_> = {
        let mut streams = Vec::new();
        for (client, channel) in clients.iter().zip(&channels) {
            streams.push(client.open(channel, Select::all()).await);
        }
        streams
    };
    broker.lose_tail(1, 2);
    broker.cut();
    for stream in streams {
        timeout(Duration::from_secs(60), stream.collect::<Vec<_>>()).await.expect("the stream ends");
    }
    for (client, channel) in clients.iter_mut().zip(&channels) {
        let mut stream = client.open(channel, Select::all()).await;
        client.read(&mut stream, 100, |books| books.gaps.len() == 3).await;
        assert_eq!(client.gaps[2]["reason"], "ahead");
    }
    // Two cuts, and each time one subscription for all.
    assert_eq!(broker.readers.load(Ordering::Relaxed), 1);
}

/// A source that panics is one that is lost, and is tried again.
#[tokio::test(start_paused = true)]
async fn a_source_that_panics_comes_back() {
    let (hub, broker) = (Hub::new(), Broker::new(2));
    let channels = ["one", "two"].map(|name| open(&hub, name, &broker));
    let mut clients = Vec::new();
    for channel in &channels {
        clients.push(books(channel).await);
    }
    for n in 0..100 {
        broker.publish(n % 2);
    }
    broker.break_down();
    for channel in &channels {
        until(channel, |status| status.upstream == UpstreamState::Degraded).await;
        assert!(channel.status().error.unwrap().to_string().contains("panicked"));
    }
    for (client, channel) in clients.iter_mut().zip(&channels) {
        live(channel).await;
        read_on(client, channel, &broker).await;
        client.assert_exact(&broker);
    }
}

/// Each channel has its own map; one that fails or panics is that channel's alone.
#[tokio::test(start_paused = true)]
async fn one_channels_map_does_not_harm_the_others() {
    let (hub, log) = (Hub::new(), MemoryLog::new("maps"));
    let builder = |name: &str| hub.channel(name).source(log.source());
    let text = |message: &Message| String::from_utf8(message.payload.clone().unwrap().to_vec()).unwrap();
    let channels = [
        builder("plain").open().unwrap(),
        builder("panics").map(|_| panic!("the map panics")).open().unwrap(),
        builder("loud")
            .map(move |message| Ok(Some(Outgoing::new(text(message).to_uppercase()))))
            .open()
            .unwrap(),
        builder("silent").map(|_| Ok(None)).open().unwrap(),
    ];
    let mut streams = Vec::new();
    for channel in &channels {
        streams.push(channel.stream(Resume::default(), Select::all()).await);
    }
    for n in 0..3 {
        log.publish(Message::new("", format!("m{n}")));
    }
    let mut ids = BTreeSet::new();
    for ((channel, stream), expected) in channels.iter().zip(streams).zip([
        &["m0", "m1", "m2"][..],
        &["gap", "gap", "gap"],
        &["M0", "M1", "M2"],
        &[],
    ]) {
        until(channel, |status| status.log_events == 3).await;
        let mut decoder = Decoder::new();
        let chunks = stream.take_until(sleep(Duration::from_secs(1))).collect::<Vec<_>>().await;
        chunks.iter().for_each(|chunk| decoder.feed(chunk));
        let mut got = Vec::new();
        while let Some(event) = decoder.next_event().unwrap() {
            match &*event.event_type {
                "tidewater.cursor" => {}
                "tidewater.gap" => got.push("gap".to_owned()),
                _ => got.push(event.data.into()),
            }
        }
        assert_eq!(got, expected, "{}", channel.name());
        assert_eq!(channel.status().upstream, UpstreamState::Live);
        ids.insert(channel.cursor().await.unwrap().to_string());
    }
    assert_eq!(ids.len(), 1, "all are at one place: {ids:?}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_closed_leaves_the_others_alone() {
    let (hub, broker) = (Hub::new(), Broker::new(1));
    let [one, two] = ["one", "two"].map(|name| open(&hub, name, &broker));
    let mut client = books(&two).await;
    let stream = one.stream(Resume::default(), Select::all()).await;
    assert!(hub.close("one") && !hub.close("one"));
    let last = timeout(Duration::from_secs(1), stream.collect::<Vec<_>>()).await.expect("its streams end");
    assert!(last.last().unwrap().starts_with(b"retry: "));
    assert!(hub.get("one").is_none());

    broker.publish(0);
    read_on(&mut client, &two, &broker).await;
    client.assert_exact(&broker);
    // The name is free again, and joins in the middle.
    let again = open(&hub, "one", &broker);
    read_on(&mut client, &again, &broker).await;
    assert_eq!((subscriptions(&broker), broker.readers.load(Ordering::Relaxed)), (1, 1));

    assert!(hub.close("one") && hub.close("two"));
    timeout(Duration::from_secs(1), async {
        while broker.readers.load(Ordering::Relaxed) > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the last one takes the subscription with it");
    live(&open(&hub, "one", &broker)).await;
    assert_eq!(subscriptions(&broker), 2);
}

/// I2: a channel whose ids are too long is refused, and those that allow them go on.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_refused_does_not_stop_the_others() {
    let refused = |channel: &Channel| {
        let status = channel.status();
        let kind = status.error.as_ref().map(|error| error.kind());
        assert_eq!(
            (status.upstream, kind),
            (UpstreamState::Degraded, Some(ErrorKind::Config)),
            "{channel:?}"
        );
    };
    let large = |hub: &Hub, broker: &Arc<Broker>| {
        hub.channel("large").source(broker.shared_source("a")).large_ids(true).open().unwrap()
    };
    for refused_first in [true, false] {
        let (hub, broker) = (Hub::new(), Broker::new(400));
        let small = refused_first.then(|| open(&hub, "small", &broker));
        if let Some(small) = &small {
            until(small, |status| status.upstream == UpstreamState::Degraded).await;
            refused(small);
            // By now the next try is seconds away.
            sleep(Duration::from_secs(1)).await;
            assert_eq!(subscriptions(&broker), 0, "nothing is read for nobody");
        }
        let began = Instant::now();
        let large = large(&hub, &broker);
        live(&large).await;
        assert!(began.elapsed() < Duration::from_secs(1), "it does not wait for the next try of the other");
        let small = small.unwrap_or_else(|| open(&hub, "small", &broker));
        until(&small, |status| status.upstream == UpstreamState::Degraded).await;
        let mut client = books(&large).await;
        broker.publish(7);
        read_on(&mut client, &large, &broker).await;
        client.assert_exact(&broker);
        refused(&small);
        for away in [true, false] {
            broker.set_away(away);
            sleep(Duration::from_secs(10)).await;
            assert_eq!(large.status().upstream == UpstreamState::Live, !away);
            refused(&small);
        }
    }
}

/// A hundred channels that read the same ask their broker once, and channels that don't are not a hundred times the
/// load of one; a broker that is lost is told to all in time.
#[tokio::test(start_paused = true)]
async fn many_silent_channels_do_not_flood_the_broker() {
    for (shared, most) in [(true, 16), (false, 4 * 60 * 3 / 2)] {
        let (hub, broker) = (Hub::new(), Broker::new(1));
        let source = || if shared { broker.shared_source("a") } else { broker.source(1) };
        let channels: Vec<_> =
            (0..100).map(|n| hub.channel(format!("c{n}")).source(source()).open().unwrap()).collect();
        for channel in &channels {
            live(channel).await;
        }
        let before = broker.asked.load(Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
        let asked = broker.asked.load(Ordering::Relaxed) - before;
        assert!((5..=most).contains(&asked), "shared: {shared}: asked {asked} times in a minute");

        broker.set_away(true);
        sleep(Duration::from_secs(8)).await;
        for channel in &channels {
            assert_eq!(channel.status().upstream, UpstreamState::Degraded, "{}", channel.name());
        }
        broker.set_away(false);
        sleep(Duration::from_secs(2)).await;
        for channel in &channels {
            assert_eq!(channel.status().upstream, UpstreamState::Live, "{}", channel.name());
        }
    }
}

/// The cursor that one channel gives is a start for another: both ask the same broker, and share one answer.
#[tokio::test(start_paused = true)]
async fn channels_share_the_broker_s_answers() {
    let (hub, broker) = (Hub::new(), Broker::new(1));
    let channels: Vec<_> = (0..50).map(|n| open(&hub, &format!("c{n}"), &broker)).collect();
    live(&channels[49]).await;
    broker.publish(0);
    let before = broker.asked.load(Ordering::Relaxed);
    let cursors: Vec<Cursor> =
        futures_util::future::try_join_all(channels.iter().map(Channel::cursor)).await.unwrap();
    assert!(cursors.iter().all(|cursor| cursor.next_offset(support::tag(), 0) == Some(1)), "{cursors:?}");
    assert!(broker.asked.load(Ordering::Relaxed) - before <= 2);
}
