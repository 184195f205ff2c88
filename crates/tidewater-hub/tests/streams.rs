//! I6 to I10: heartbeats, lag, selection, drain, and streams that are sent away.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use support::{Books, Broker, TINY, at_end, channel, events, settle, tag};
use tidewater_core::{
    Cursor, Error, ErrorKind, Headers, Message, Next, Outgoing, PayloadMode, Start, TopicCursor,
    memory::{MemoryBounds, MemoryLog},
    sse::Event,
};
use tidewater_hub::{
    AllowedReplay, Channel, EventStream, Hub, LagPolicy, MapFailure, Resume, Select, UpstreamState,
};
use tokio::time::{sleep, timeout};

async fn open(channel: &Channel, select: Select) -> EventStream {
    let mut stream = channel.stream(Resume::default(), select).await;
    let first = stream.next().await.unwrap();
    assert!(first.starts_with(b"retry: 2000\nevent: tidewater.cursor\ndata:\nid: "), "{first:?}");
    stream
}

/// I6: an idle client's id moves, to where that client is.
#[tokio::test(start_paused = true)]
async fn an_idle_client_gets_its_cursor() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.heartbeat(Duration::from_secs(5)));
    let mut stream = open(&channel, Select::key("nobody")).await;
    broker.publish(0);
    let beat = timeout(Duration::from_secs(6), stream.next()).await.unwrap().unwrap();
    let [event] = &events(&beat)[..] else { panic!("{beat:?}") };
    assert_eq!((&*event.event_type, &*event.data), ("tidewater.cursor", ""));
    assert_eq!(
        event.last_event_id.parse::<Cursor>().unwrap().next_offset(tag(), 0),
        Some(1),
        "past what it didn't want"
    );
}

/// I6: a client that falls off the log after a heartbeat goes on from there, not from where it fell asleep.
#[tokio::test(start_paused = true)]
async fn an_id_does_not_go_down_behind_a_heartbeat() {
    for policy in [LagPolicy::Skip, LagPolicy::Backfill] {
        let broker = Broker::new(1);
        let channel =
            channel(&broker, |builder| builder.log(TINY).lag(policy).heartbeat(Duration::from_secs(5)));
        let mut by_hand = tokio_test_task(open(&channel, Select::key("k0")).await);
        assert!(by_hand.poll().is_none());
        broker.publish(0);
        settle().await;
        assert_eq!(events(&by_hand.poll().unwrap())[0].data, "1/0/0");
        assert!(by_hand.poll().is_none());
        broker.publish(0);
        broker.publish(0);
        sleep(Duration::from_secs(6)).await;
        let at =
            |event: &Event| event.last_event_id.parse::<Cursor>().unwrap().next_offset(tag(), 0).unwrap();
        let beat = events(&by_hand.poll().unwrap());
        assert_eq!((&*beat[0].event_type, at(&beat[0])), ("tidewater.cursor", 3));
        for _ in 0..60 {
            broker.publish(0);
            tokio::task::yield_now().await;
        }
        settle().await;
        let mut last = 3;
        while last < 60 {
            settle().await;
            for event in by_hand.poll().iter().flat_map(|chunk| events(chunk)) {
                assert!(at(&event) >= last, "{policy:?}: {event:?} after {last}");
                last = at(&event);
                let from = serde_json::from_str::<serde_json::Value>(&event.data).ok();
                let from = from.and_then(|gap| gap["from"].as_u64());
                assert!(from.is_none_or(|from| from >= 3), "{event:?}");
            }
        }
        assert_eq!(channel.status().lagged, 1);
    }
}

/// I6: a heartbeat that falls due while messages come says what the client has, never what is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_is_never_ahead_of_its_client() {
    const MESSAGES: u64 = 20_000;
    let log = MemoryLog::new("beats");
    let hub = Hub::new();
    let channel = hub.channel("c").source(log.source()).heartbeat(Duration::from_micros(50)).open().unwrap();
    let mut readers = Vec::new();
    for n in 0..8 {
        let select = if n % 2 == 0 { Select::all() } else { Select::key("k") };
        let mut stream = open(&channel, select).await;
        readers.push(tokio::spawn(async move {
            let (mut next, mut beats) = (0, 0);
            while next < MESSAGES {
                for event in events(&stream.next().await.unwrap()) {
                    let id: Cursor = event.last_event_id.parse().unwrap();
                    let at = id.topics()[0].offset(0);
                    if event.event_type == "message" {
                        next += 1;
                    } else {
                        beats += 1;
                    }
                    assert_eq!(at, next, "{}", event.event_type);
                }
            }
            beats
        }));
    }
    let publisher = std::thread::spawn(move || {
        for _ in 0..MESSAGES {
            log.publish(Message::new("", "x").with_key("k"));
            std::thread::sleep(Duration::from_micros(20));
        }
    });
    let mut beats = 0;
    for reader in readers {
        beats += reader.await.unwrap();
    }
    publisher.join().unwrap();
    assert!(beats > 100, "{beats} heartbeats");
}

/// I8: a message wakes only the clients that want it.
#[tokio::test(start_paused = true)]
async fn a_message_wakes_only_whom_it_concerns() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder);
    let mut zero = tokio_test_task(open(&channel, Select::key("k0")).await);
    let mut one = tokio_test_task(open(&channel, Select::key("k1")).await);
    assert!(zero.poll().is_none() && one.poll().is_none());
    broker.publish(0); // offset 0: k0
    settle().await;
    assert!(zero.woken() && !one.woken());
    assert_eq!(events(&zero.poll().unwrap())[0].data, "1/0/0");
    for _ in 0..3 {
        broker.publish(0); // k1, k2, k0
    }
    settle().await;
    assert!(one.woken());
    assert_eq!(events(&one.poll().unwrap())[0].data, "1/0/1");
    assert!(one.poll().is_none());
    assert_eq!(events(&zero.poll().unwrap())[0].data, "1/0/3");
}

/// A stream that is polled by hand and counts its wakes.
struct ByHand {
    stream: EventStream,
    flag: Arc<Flag>,
}

#[derive(Default)]
struct Flag(std::sync::atomic::AtomicBool);

impl std::task::Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

fn tokio_test_task(stream: EventStream) -> ByHand {
    ByHand { stream, flag: Arc::default() }
}

impl ByHand {
    fn poll(&mut self) -> Option<bytes::Bytes> {
        self.flag.0.store(false, std::sync::atomic::Ordering::SeqCst);
        let waker = std::task::Waker::from(self.flag.clone());
        let mut cx = std::task::Context::from_waker(&waker);
        match self.stream.poll_next_unpin(&mut cx) {
            std::task::Poll::Ready(chunk) => chunk,
            std::task::Poll::Pending => None,
        }
    }

    fn woken(&self) -> bool {
        self.flag.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// I5: slots belong to readers. Clients that ask for ancient history and are gone leave no queue behind.
#[tokio::test(start_paused = true)]
async fn clients_that_come_and_go_do_not_hold_up_those_who_stay() {
    let broker = Broker::new(2);
    let channel = channel(&broker, |builder| builder.log(TINY));
    let mut books = Books::default();
    books.read(&mut books.open(&channel, Select::all()).await, 1, |_| false).await;
    for n in 0..600 {
        broker.publish(n % 2);
        tokio::task::yield_now().await;
    }
    settle().await;
    let before = broker.subscriptions.load(Ordering::Relaxed);
    // Each segment takes its two seconds from now on.
    broker.delay.store(20, Ordering::Relaxed);
    for n in 0..200_u64 {
        // No two of them can share what is read for the other.
        let next = Next::Offsets(vec![n, 200 - n]);
        let topic = TopicCursor { tag: tag(), epoch: broker.epoch().tag(), next };
        let forged: Cursor = [topic].into_iter().collect();
        let gone = Books { last_id: Some(forged.to_string()), ..Books::default() };
        let mut stream = gone.open(&channel, Select::all()).await;
        assert!(stream.next().await.is_some());
        tokio::task::yield_now().await;
    }
    let mut stream = books.open(&channel, Select::all()).await;
    let first = books.read(&mut stream, 100, |books| !books.got.is_empty());
    assert!(
        timeout(Duration::from_secs(5), first).await.unwrap_or(false),
        "held up by clients that are gone"
    );
    let readers = broker.subscriptions.load(Ordering::Relaxed) - before;
    assert!(readers <= 12, "{readers} readers for clients that are gone");
}

/// I3: an id moves the start within what the channel allows.
#[tokio::test(start_paused = true)]
async fn nobody_goes_back_further_than_allowed() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.log(TINY).replay(AllowedReplay::Log));
    let mut books = Books::default();
    books.read(&mut books.open(&channel, Select::all()).await, 1, |_| false).await;
    for _ in 0..100 {
        broker.publish(0);
        tokio::task::yield_now().await;
    }
    settle().await;
    let mut stream = books.open(&channel, Select::all()).await;
    assert!(books.read(&mut stream, 1000, |books| at_end(books, &broker)).await);
    assert_eq!(books.gaps[0]["reason"], "replay");
    assert_eq!(books.gaps[0]["to"].as_u64(), books.of(1, 0).first().copied());
}

/// I9: each stream ends at an event boundary with a reconnection time of its own.
#[tokio::test(start_paused = true)]
async fn a_drain_ends_every_stream_within_the_deadline() {
    let log = MemoryLog::new("drain");
    let hub = Hub::new();
    let channel = hub.channel("c").source(log.source()).open().unwrap();
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(open(&channel, Select::all()).await);
    }
    let readers: Vec<_> =
        streams.into_iter().map(|stream| tokio::spawn(stream.collect::<Vec<_>>())).collect();
    settle().await;
    timeout(Duration::from_secs(1), hub.drain(Duration::from_secs(10)))
        .await
        .expect("long before the deadline");
    let mut retries = Vec::new();
    for reader in readers {
        let chunks = reader.await.unwrap();
        let last = String::from_utf8(chunks.last().unwrap().to_vec()).unwrap();
        let millis: u64 =
            last.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap().parse().unwrap();
        assert!(millis >= 500, "{millis}");
        retries.push(millis);
    }
    retries.sort_unstable();
    retries.dedup();
    assert!(retries.len() > 10, "spread: {retries:?}");
    // Who comes now is sent away at once, and told when to come back.
    let chunks: Vec<_> = channel.stream(Resume::default(), Select::all()).await.collect().await;
    assert!(chunks.len() == 1 && chunks[0].starts_with(b"retry: "), "{chunks:?}");
    assert_eq!(hub.channel("d").source("memory:x").open().unwrap_err().kind(), ErrorKind::Closed);
}

/// I9: a client that doesn't read can't hold a drain up for longer than its deadline.
#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_those_who_do_not_read() {
    let hub = Hub::new();
    let channel = hub.channel("c").source("memory:drain-stalled").open().unwrap();
    let _stalled = open(&channel, Select::all()).await;
    let began = tokio::time::Instant::now();
    hub.drain(Duration::from_secs(3)).await;
    assert_eq!(began.elapsed().as_secs(), 3);
}

/// A source that can't be reached.
#[derive(Debug)]
struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("down:")
    }
}

#[async_trait::async_trait]
impl tidewater_core::Source for Down {
    fn kind(&self) -> &'static str {
        "down"
    }
    fn capabilities(&self) -> tidewater_core::Capabilities {
        tidewater_core::Capabilities { replay: true, from_time: false, partitioned: false, mergeable: true }
    }
    async fn bounds(&self) -> tidewater_core::Result<tidewater_core::Bounds> {
        Err(Error::new(ErrorKind::Unavailable, "nobody answers"))
    }
    async fn subscribe(
        &self,
        _: tidewater_core::Subscription,
    ) -> tidewater_core::Result<tidewater_core::Subscribed> {
        Err(Error::new(ErrorKind::Unavailable, "nobody answers"))
    }
}

/// I10: nobody is lost to a source that is down.
#[tokio::test(start_paused = true)]
async fn a_client_of_a_source_that_is_down_is_told_when_to_come_back() {
    let channel = Hub::new().channel("c").source(Arc::new(Down)).open().unwrap();
    let chunks: Vec<_> = channel.stream(Resume::default(), Select::all()).await.collect().await;
    assert!(chunks.len() == 1 && chunks[0].starts_with(b"retry: "), "{chunks:?}");
    let status = channel.status();
    assert_eq!((status.upstream, status.clients), (UpstreamState::Degraded, 0));
    assert!(status.error.unwrap().to_string().contains("nobody answers"));
    assert_eq!(channel.cursor().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// I2: an id that could not come back through the proxies in front is refused, unless it is allowed.
#[tokio::test(start_paused = true)]
async fn a_channel_with_ids_past_4_kib_has_to_allow_them() {
    let broker = Broker::new(400);
    let refused = channel(&broker, |builder| builder);
    settle().await;
    let status = refused.status();
    let error = status.error.unwrap();
    assert_eq!((status.upstream, error.kind()), (UpstreamState::Degraded, ErrorKind::Config));
    assert!(error.to_string().contains("400 partitions") && error.to_string().contains("nginx"), "{error}");

    let allowed = channel(&broker, |builder| builder.large_ids(true));
    drop(open(&allowed, Select::all()).await);
    assert_eq!(allowed.status().upstream, UpstreamState::Live);
}

/// The application's own step: what it leaves out moves the cursor; where it fails, the channel's choice holds.
/// I10: a source may wait for a lost broker by itself. Its stream is silent then, and the channel says why.
#[tokio::test(start_paused = true)]
async fn a_broker_that_a_source_waits_for_is_told() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.heartbeat(Duration::from_secs(1000)));
    let mut stream = open(&channel, Select::all()).await;
    broker.set_away(true);
    broker.publish(0);
    sleep(Duration::from_secs(10)).await;
    let status = channel.status();
    assert_eq!(status.upstream, UpstreamState::Degraded);
    assert_eq!(status.error.unwrap().to_string(), "the broker is away");
    assert!(stream.next().now_or_never().is_none(), "the stream stays open");

    broker.set_away(false);
    let event = timeout(Duration::from_millis(100), stream.next()).await.unwrap().unwrap();
    assert_eq!(events(&event)[0].data, "1/0/0");
    assert_eq!(channel.status().upstream, UpstreamState::Live, "by what came");

    broker.set_away(true);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(channel.status().upstream, UpstreamState::Degraded);
    broker.set_away(false);
    sleep(Duration::from_secs(2)).await;
    let status = channel.status();
    assert_eq!((status.upstream, status.error.is_none()), (UpstreamState::Live, true), "by its answer");
}

#[tokio::test(start_paused = true)]
async fn a_map_chooses_renames_and_may_fail() {
    for on_failure in [MapFailure::Gap, MapFailure::AsIs] {
        let log = MemoryLog::new("map");
        let channel = Hub::new()
            .channel("c")
            .source(log.source())
            .on_map_failure(on_failure)
            .map(|message| match message.payload.as_deref() {
                Some(b"secret") => Ok(None),
                Some(b"bad") => Err(Error::new(ErrorKind::Rejected, "bad")),
                Some(b"panic") => panic!("the map panics"),
                _ => Ok(Some(Outgoing::new("mapped").event("tidewater.gap").tag("x"))),
            })
            .open()
            .unwrap();
        let mut stream = open(&channel, Select::all()).await;
        for payload in ["good", "secret", "bad", "panic"] {
            log.publish(Message::new("", payload));
        }
        settle().await;
        let got: Vec<_> = events(&stream.next().await.unwrap())
            .into_iter()
            .map(|event| (event.event_type, event.data))
            .collect();
        let shown = |name: &'static str, data: &str| (name.into(), data.into());
        let first = shown("message", "mapped");
        let failed = match on_failure {
            MapFailure::AsIs => [shown("message", "bad"), shown("message", "panic")],
            MapFailure::Gap => [2, 3].map(|offset| {
                let told = format!(
                    r#"{{"from":{offset},"partition":0,"reason":"map","to":{},"topic":"map"}}"#,
                    offset + 1
                );
                shown("tidewater.gap", &told)
            }),
        };
        let [one, two] = failed;
        assert_eq!(got, [first, one, two]);
        let status = channel.status();
        assert_eq!(
            (status.map_failures, status.names_replaced),
            (2, 1),
            "a reserved name goes out as message"
        );
        assert_eq!(status.upstream, UpstreamState::Live);
    }
}

/// A name that is reserved or can't be framed never drops a message.
#[tokio::test(start_paused = true)]
async fn names_that_cannot_be_go_out_as_message() {
    let log = MemoryLog::new("names");
    let channel = Hub::new().channel("c").source(log.source()).payload(PayloadMode::Text).open().unwrap();
    let mut stream = open(&channel, Select::all()).await;
    for name in ["tidewater.gap", "error", "open", "a\nb", "fine: yes"] {
        let headers: Headers = [("tidewater-event", name.to_owned())].into_iter().collect();
        log.publish(Message::new("", "x\r\ny").with_headers(headers));
    }
    settle().await;
    let got: Vec<_> = events(&stream.next().await.unwrap())
        .into_iter()
        .map(|event| (event.event_type, event.data))
        .collect();
    let names: Vec<_> = got.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["message", "message", "message", "message", "fine: yes"]);
    assert!(got.iter().all(|(_, data)| data == "x\ny"));
    assert_eq!(channel.status().names_replaced, 4);
}

/// `?since=` starts in the past, and a default start of the channel's does too.
#[tokio::test(start_paused = true)]
async fn a_stream_may_start_in_the_past() {
    let log = MemoryLog::with_bounds("since", MemoryBounds::default());
    log.publish(Message::new("", "before"));
    let between = std::time::SystemTime::now();
    log.publish(Message { timestamp: Some(between), ..Message::new("", "after") });
    let hub = Hub::new();
    let channel = hub.channel("c").source(log.source()).open().unwrap();
    for (start, expected) in [
        (Start::Earliest, &["before", "after"][..]),
        (Start::Time(between), &["after"]),
        (Start::Latest, &[]),
    ] {
        let resume = Resume { start: Some(start), ..Resume::default() };
        let stream = channel.stream(resume, Select::all()).await;
        let chunks: Vec<_> = stream.take_until(sleep(Duration::from_secs(1))).collect().await;
        let all = chunks.iter().flat_map(|chunk| events(chunk)).filter(|event| event.event_type == "message");
        assert_eq!(all.map(|event| event.data).collect::<Vec<_>>(), expected, "{start:?}");
    }
}

/// A client that is dropped leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_gone_at_once() {
    let channel = Hub::new().channel("c").source("memory:dropped").open().unwrap();
    let mut streams = Vec::new();
    for n in 0..10 {
        let mut stream = open(&channel, if n % 2 == 0 { Select::all() } else { Select::tag("x") }).await;
        assert!(stream.next().now_or_never().is_none());
        streams.push(stream);
    }
    assert_eq!(channel.status().clients, 10);
    streams.clear();
    assert_eq!(channel.status().clients, 0);
}

#[tokio::test]
async fn what_cannot_be_a_channel_says_why() {
    let hub = Hub::new();
    hub.channel("taken").source("memory:taken").open().unwrap();
    for (name, source, what) in [
        ("taken", "memory:x", "already"),
        ("a/b", "memory:x", "letters"),
        ("", "memory:x", "letters"),
        ("..", "memory:x", "dots"),
        ("fine", "nope://x", "\"nope\""),
        ("fine", "memory", "no scheme"),
    ] {
        let error = hub.channel(name).source(source).open().unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(&format!("{name:?}")), "{name}: {error}");
    }
    assert!(hub.channel("fine").open().unwrap_err().to_string().contains("no source"));
}
