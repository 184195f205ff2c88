//! Servers of a test's own that are killed and come back.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::StorageType;
use futures_util::StreamExt as _;
use tidewater_core::{Delivery, ErrorKind, GapReason, Retry, Subscription};
use tidewater_testkit::broker::NatsServer;

use crate::common::{TestStream, client, next, next_text, open};

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_stream_is_read_on_exactly_when_its_server_was_killed_and_came_back() {
    let mut server = NatsServer::start().unwrap();
    let stream = TestStream::new(&server.url(), |_| {}).await;
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    for round in 0..3 {
        for n in 0..5 {
            stream.say("in.x", format!("{round}.{n}")).await;
        }
        assert_eq!(next_text(&mut subscribed.deliveries).await, format!("{round}.0"));
        server.restart().unwrap();
        stream.again().await.say("in.x", format!("{round}.5")).await;
        for n in 1..=5 {
            assert_eq!(next_text(&mut subscribed.deliveries).await, format!("{round}.{n}"));
        }
    }
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_server_that_stays_away_ends_the_stream_and_subscribing_again_goes_on() {
    let mut server = NatsServer::start().unwrap();
    let stream = TestStream::new(&server.url(), |_| {}).await;
    let source = stream.open();
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    stream.say("in.x", "1").await;
    assert_eq!(next_text(&mut subscribed.deliveries).await, "1");
    let mut cursor = subscribed.start.clone();
    cursor.raise(cursor.topics()[0].tag, cursor.topics()[0].epoch, 0, 2);

    server.kill().unwrap();
    let began = Instant::now();
    let error = loop {
        match next(&mut subscribed.deliveries).await {
            Ok(Delivery::Progress(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
    let error = source.subscribe(Subscription::after(cursor.clone())).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "{error}");

    server.restart().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut subscribed = loop {
        match source.subscribe(Subscription::after(cursor.clone())).await {
            Ok(subscribed) => break subscribed,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(subscribed.start, cursor);
    let stream = stream.again().await;
    stream.say("in.x", "2").await;
    assert_eq!(next_text(&mut subscribed.deliveries).await, "2");
}

/// A stream in memory is made again by a restart, empty. Whether its time of creation changes or only its end goes
/// back, nothing is read as if it were the old one.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_stream_in_memory_that_a_restart_emptied_is_not_taken_for_the_old_one() {
    let mut server = NatsServer::start().unwrap();
    let stream = TestStream::new(&server.url(), |config| config.storage = StorageType::Memory).await;
    for n in 0..10 {
        stream.say("in.x", format!("old {n}")).await;
    }
    let source = stream.open();
    let mut subscribed = source.subscribe(Subscription::earliest()).await.unwrap();
    for n in 0..10 {
        assert_eq!(next_text(&mut subscribed.deliveries).await, format!("old {n}"));
    }
    server.restart().unwrap();
    let stream = stream.again().await;
    stream.context.get_or_create_stream(stream.config.clone()).await.unwrap();
    match next(&mut subscribed.deliveries).await {
        Ok(Delivery::Epoch(new)) => assert_eq!(new.start, [1]),
        Ok(Delivery::Progress(cursor)) => panic!("{cursor:?}"),
        Ok(other) => panic!("{other:?}"),
        Err(error) => assert_eq!(error.retry(), Retry::Later, "{error}"),
    }
}

/// A loss of the connection stands in the stream where it was: after everything from before, and before everything
/// from after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_lost_connection_of_core_nats_is_a_gap_at_its_place() {
    let mut server = NatsServer::start().unwrap();
    let source = open(&format!("{}/live.>", server.url()));
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let publisher = client(&server.url()).await;
    for n in 0..100 {
        publisher.publish("live.x", n.to_string().into()).await.unwrap();
    }
    publisher.flush().await.unwrap();
    // They have arrived, and are not read before the connection is lost and made again.
    received(&*source, 100).await;
    server.restart().unwrap();
    let publisher = client(&server.url()).await;
    // The gap is one, and something behind it.
    received_more(&*source, 102, async || publisher.publish("live.x", "after".into()).await.unwrap()).await;

    for n in 0..100 {
        assert_eq!(next_text(&mut subscribed.deliveries).await, n.to_string());
    }
    let Delivery::Gap(gap) = next(&mut subscribed.deliveries).await.unwrap() else {
        panic!("a gap was expected")
    };
    assert_eq!((gap.missing, gap.reason), (None, GapReason::Lost));
    let Delivery::Progress(behind) = next(&mut subscribed.deliveries).await.unwrap() else { panic!() };
    assert_eq!(behind.topics()[0].offset(0), 101, "the gap takes an offset");
    assert_eq!(next_text(&mut subscribed.deliveries).await, "after");
}

/// The same when nothing of it has been taken from the socket yet: messages and the end of the connection are found
/// at once.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn what_came_with_the_end_of_the_connection_stands_before_the_gap() {
    let mut server = NatsServer::start().unwrap();
    let source = open(&format!("{}/live", server.url()));
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let at = server.url();
    // This thread is the source's runtime: it sleeps meanwhile.
    let published = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let publisher = client(&at).await;
            for n in 0..2000 {
                publisher.publish("live", n.to_string().into()).await.unwrap();
            }
            // Answered when the server has sent on what came before.
            publisher.request(publisher.new_inbox(), "".into()).await.unwrap_err();
        });
    });
    published.join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.restart().unwrap();
    for n in 0..2000 {
        assert_eq!(next_text(&mut subscribed.deliveries).await, n.to_string());
    }
    let Delivery::Gap(gap) = next(&mut subscribed.deliveries).await.unwrap() else {
        panic!("a gap was expected")
    };
    assert_eq!(gap.missing, None);
}

/// The hub learns that the source is down, and goes on with the same count when it is back, behind one gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn core_nats_that_stays_away_ends_the_stream_and_the_count_goes_on() {
    let mut server = NatsServer::start().unwrap();
    let source = open(&format!("{}/live", server.url()));
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let epoch = subscribed.start.topics()[0].epoch;
    let publisher = client(&server.url()).await;
    publisher.publish("live", "0".into()).await.unwrap();
    publisher.flush().await.unwrap();
    assert_eq!(next_text(&mut subscribed.deliveries).await, "0");

    server.kill().unwrap();
    assert!(matches!(next(&mut subscribed.deliveries).await.unwrap(), Delivery::Gap(_)), "told at once");
    assert!(matches!(next(&mut subscribed.deliveries).await.unwrap(), Delivery::Progress(_)));
    let error = next(&mut subscribed.deliveries).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
    assert!(subscribed.deliveries.next().await.is_none());
    drop(subscribed);
    let error = source.subscribe(Subscription::latest()).await.unwrap_err();
    assert!(error.to_string().contains("no NATS server answers at 127.0.0.1:"), "{error}");

    server.restart().unwrap();
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    assert_eq!((subscribed.start.topics()[0].epoch, subscribed.start.topics()[0].offset(0)), (epoch, 2));
    let publisher = client(&server.url()).await;
    publisher.publish("live", "1".into()).await.unwrap();
    // The loss was told already, and nothing has come since.
    assert_eq!(next_text(&mut subscribed.deliveries).await, "1");
    drop(subscribed);

    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let Delivery::Gap(gap) = next(&mut subscribed.deliveries).await.unwrap() else {
        panic!("a gap was expected")
    };
    assert_eq!((gap.missing, gap.reason), (None, GapReason::Lost), "nobody listened in between");
}

/// Waits until the source has received this many messages.
async fn received(source: &dyn tidewater_core::Source, end: u64) {
    received_more(source, end, async || {}).await;
}

/// The same, doing something again and again meanwhile.
async fn received_more(source: &dyn tidewater_core::Source, end: u64, meanwhile: impl AsyncFn()) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = source.bounds().await.unwrap().topics[0].partitions[0].end;
        if now >= end {
            return;
        }
        assert!(Instant::now() < deadline, "they never came: {now} of {end}");
        meanwhile().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was on its way when a connection was cut is lost, while the server has counted it as sent: only the
/// consumer's own count shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn what_was_on_its_way_when_a_connection_was_cut_comes_again() {
    const COUNT: u64 = 3000;
    let stream = TestStream::new(&common::url(), |_| {}).await;
    for n in 1..=COUNT {
        let subject = format!("{}.in.x", stream.name);
        // Not waited for one by one; the last one's acknowledgement is.
        stream.context.client().publish(subject, format!("{n}:{}", ".".repeat(4000)).into()).await.unwrap();
    }
    stream.say("in.x", "end:").await;
    let proxy = Proxy::start(common::host()).await;
    let source = open(&format!("jetstream://127.0.0.1:{}/{}?read_ahead=200000", proxy.port, stream.name));
    let mut subscribed = source.subscribe(Subscription::earliest()).await.unwrap();
    for n in 1..=COUNT {
        let text = next_text(&mut subscribed.deliveries).await;
        assert_eq!(text.split_once(':').unwrap().0, n.to_string());
        if n % 700 == 0 {
            proxy.cut();
        }
    }
    assert_eq!(next_text(&mut subscribed.deliveries).await, "end:");
}

/// Passes connections on, until they are cut.
struct Proxy {
    port: u16,
    cuts: tokio::sync::watch::Sender<()>,
}

impl Proxy {
    async fn start(to: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, cut) = tokio::sync::watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (to, mut cut) = (to.clone(), cut.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, cuts }
    }

    fn cut(&self) {
        self.cuts.send_replace(());
    }
}
