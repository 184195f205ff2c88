//! Core NATS: what comes, what is lost, and what is refused.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant, SystemTime};

use tidewater_core::{Delivery, ErrorKind, GapReason, Retry, Subscription};
use tidewater_testkit::broker::NatsServer;

use crate::common::{client, host, next, next_text, open, unique, url};

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn wildcards_deliver_the_real_subjects() {
    let name = unique("core");
    let publisher = client(&url()).await;
    let source = open(&format!("nats://{}/{name}.*.new", host()));
    assert_eq!(source.bounds().await.unwrap().topics[0].name.as_str(), format!("{name}.*.new"));
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    for subject in ["eu.new", "eu.old", "us.new", "us.new.x"] {
        publisher.publish(format!("{name}.{subject}"), subject.into()).await.unwrap();
    }
    for (offset, subject) in (0..).zip(["eu.new", "us.new"]) {
        let Delivery::Message(message) = next(&mut subscribed.deliveries).await.unwrap() else { panic!() };
        assert_eq!(message.topic.as_str(), format!("{name}.{subject}"));
        assert_eq!(message.position.offset(), Some(offset));
        assert_eq!(message.tag, source.bounds().await.unwrap().topics[0].tag);
    }
}

/// What waits is bounded by bytes, and what doesn't fit is counted exactly where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_reader_that_is_too_slow_loses_what_does_not_fit_and_is_told() {
    let name = unique("core");
    let source = open(&format!("nats://{}/{name}?buffer=100000", host()));
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let publisher = client(&url()).await;
    let publish = async |from: u64, to: u64| {
        for n in from..to {
            publisher.publish(name.clone(), format!("{n:04}{}", ".".repeat(1000)).into()).await.unwrap();
        }
        publisher.flush().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while source.bounds().await.unwrap().topics[0].partitions[0].end < to {
            assert!(Instant::now() < deadline, "they never came");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    publish(0, 500).await;
    let mut kept = 0;
    let missing = loop {
        match next(&mut subscribed.deliveries).await.unwrap() {
            Delivery::Message(message) => {
                assert!(message.payload.unwrap().starts_with(format!("{kept:04}").as_bytes()));
                kept += 1;
            }
            Delivery::Gap(gap) => {
                assert_eq!(gap.reason, GapReason::Lost);
                break gap.missing.unwrap();
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(missing, kept..500);
    assert!((50..100).contains(&kept), "100,000 bytes, and {kept} messages of 1,000 were kept");
    publish(500, 510).await;
    for n in 500..510 {
        assert!(next_text(&mut subscribed.deliveries).await.starts_with(&format!("{n:04}")));
    }
}

/// A burst that comes while nothing runs is more than the client's own queue holds. Whatever it drops is told.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn what_the_client_itself_drops_is_told_too() {
    const COUNT: u64 = 200_000;
    let name = unique("core");
    let source = open(&format!("nats://{}/{name}?buffer=1000000000", host()));
    let mut subscribed = source.subscribe(Subscription::latest()).await.unwrap();
    let (at, subject) = (url(), name.clone());
    // This thread is the source's runtime: it sleeps meanwhile.
    let published = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let publisher = client(&at).await;
            for n in 0..COUNT {
                publisher.publish(subject.clone(), n.to_string().into()).await.unwrap();
            }
            publisher.flush().await.unwrap();
        });
    });
    published.join().unwrap();
    std::thread::sleep(Duration::from_millis(300));

    let publisher = client(&url()).await;
    let (mut last, mut arrived, mut gaps) = (None, 0, 0);
    loop {
        let soon = tokio::time::timeout(Duration::from_millis(300), next(&mut subscribed.deliveries)).await;
        match soon.map(Result::unwrap) {
            Ok(Delivery::Message(message)) => {
                let payload = message.payload.unwrap();
                if &payload[..] == b"end" {
                    break;
                }
                let n: u64 = std::str::from_utf8(&payload).unwrap().parse().unwrap();
                assert!(last < Some(n), "{n} after {last:?}");
                (last, arrived) = (Some(n), arrived + 1);
            }
            Ok(Delivery::Gap(gap)) => {
                assert_eq!((gap.missing, gap.reason), (None, GapReason::Lost));
                gaps += 1;
            }
            Ok(_) => {}
            // The end may be dropped like any other.
            Err(_) => publisher.publish(name.clone(), "end".into()).await.unwrap(),
        }
    }
    println!("{arrived} of {COUNT} arrived, {gaps} gaps");
    assert!(arrived == COUNT || gaps > 0, "{arrived} of {COUNT} arrived, and nothing was told");
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_second_subscription_beside_the_first_counts_for_itself() {
    let name = unique("core");
    let source = open(&format!("nats://{}/{name}", host()));
    let publisher = client(&url()).await;
    let mut first = source.subscribe(Subscription::latest()).await.unwrap();
    publisher.publish(name.clone(), "0".into()).await.unwrap();
    assert_eq!(next_text(&mut first.deliveries).await, "0");
    let mut second = source.subscribe(Subscription::latest()).await.unwrap();
    assert_ne!(second.start.topics()[0].epoch, first.start.topics()[0].epoch);
    assert_eq!(second.start.topics()[0].offset(0), 0);
    publisher.publish(name.clone(), "1".into()).await.unwrap();
    assert_eq!(next_text(&mut first.deliveries).await, "1");
    assert_eq!(next_text(&mut second.deliveries).await, "1");
    assert_eq!(source.bounds().await.unwrap().topics[0].epoch.tag(), first.start.topics()[0].epoch);
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn what_nats_cannot_do_is_refused() {
    let source = open(&format!("nats://{}/x", host()));
    let error = source.subscribe(Subscription::at(SystemTime::now())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("JetStream"), "{error}");
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn servers_that_are_not_there_or_refuse_us_are_named_without_the_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["nats", "jetstream"] {
        let source = open(&format!("{scheme}://me:hunter2@127.0.0.1:{port}/x"));
        let error = source.subscribe(Subscription::latest()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later));
        let text = format!("{error} {error:?}");
        assert!(text.contains(&format!("no NATS server answers at 127.0.0.1:{port}")), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    let config = "authorization { users: [\n{ user: me, password: \"p@ss\" }\n\
                  { user: other, password: x, permissions: { subscribe: [\"_INBOX.>\"] } } ] }";
    let server = NatsServer::with_config(config).unwrap();
    let at = format!("127.0.0.1:{}", server.port());
    let refused =
        open(&format!("nats://me:wrong@{at}/x")).subscribe(Subscription::latest()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    assert!(open(&format!("nats://me:p%40ss@{at}/x")).subscribe(Subscription::latest()).await.is_ok());

    // Let in, but not to this subject: known at once or a moment later, as the server tells it on the side.
    let denied = match open(&format!("nats://other:x@{at}/x")).subscribe(Subscription::latest()).await {
        Err(error) => error,
        Ok(mut subscribed) => next(&mut subscribed.deliveries).await.unwrap_err(),
    };
    assert_eq!(denied.kind(), ErrorKind::Denied, "{denied}");
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_server_is_tried_after_another_that_is_not_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = open(&format!("nats://127.0.0.1:{port},{}/{}", host(), unique("core")));
    assert!(source.subscribe(Subscription::latest()).await.is_ok());
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_server_without_jetstream_is_told() {
    let server = NatsServer::with_config("jetstream: disabled").unwrap();
    let error = open(&format!("jetstream://127.0.0.1:{}/S", server.port())).bounds().await.unwrap_err();
    assert!(error.to_string().contains("JetStream"), "{error}");
}
