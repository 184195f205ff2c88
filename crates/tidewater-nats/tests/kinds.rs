//! Every kind of stream that JetStream has, as `docs/nats.md` lists them; and JetStream in another domain.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use async_nats::jetstream::{
    self,
    stream::{
        Compression, Config, DiscardPolicy, Republish, RetentionPolicy, Source as Origin, StorageType,
        SubjectTransform,
    },
};
use tidewater_core::{Delivery, Error, ErrorKind, Subscription};
use tidewater_testkit::broker::NatsServer;

use crate::common::{TestStream, client, eventually, next, next_text, open, unique, url};

/// Reads five messages, of which two come while it reads, and no gap.
async fn reads_on(stream: &TestStream, writes: &TestStream) {
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    for n in 0..5 {
        if n >= 3 {
            writes.say("in.x", n.to_string()).await;
        }
        assert_eq!(next_text(&mut subscribed.deliveries).await, n.to_string());
    }
}

async fn with_three(change: impl FnOnce(&mut Config)) -> TestStream {
    let stream = TestStream::new(&url(), change).await;
    for n in 0..3 {
        stream.say("in.x", n.to_string()).await;
    }
    stream
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn in_files_in_memory_and_compressed() {
    for (storage, compression) in [
        (StorageType::File, Compression::None),
        (StorageType::File, Compression::S2),
        (StorageType::Memory, Compression::None),
    ] {
        let stream = with_three(|config| {
            config.storage = storage;
            config.compression = Some(compression);
        })
        .await;
        reads_on(&stream, &stream).await;
    }
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn mirrors_and_streams_of_sources() {
    let origin = with_three(|_| {}).await;
    let of = |name: &str| Origin { name: name.to_owned(), ..Default::default() };
    let mirror = TestStream::new(&url(), |config| {
        (config.subjects, config.mirror) = (Vec::new(), Some(of(&origin.name)));
    })
    .await;
    // A mirror has the numbers of its origin.
    let source = mirror.open();
    eventually(async || {
        let bounds = source.bounds().await?;
        let partition = &bounds.topics[0].partitions[0];
        (*partition == (1..4)).then_some(()).ok_or_else(|| Error::new(ErrorKind::Internal, "not yet"))
    })
    .await;
    let other = with_three(|_| {}).await;
    let both = TestStream::new(&url(), |config| {
        config.subjects = Vec::new();
        config.sources = Some(vec![of(&origin.name), of(&other.name)]);
    })
    .await;
    let mut subscribed = both.open().subscribe(Subscription::earliest()).await.unwrap();
    let mut texts = Vec::new();
    for _ in 0..6 {
        texts.push(next_text(&mut subscribed.deliveries).await);
    }
    texts.sort();
    assert_eq!(texts, ["0", "0", "1", "1", "2", "2"]);
    reads_on(&mirror, &origin).await;
}

/// What the limits refuse was never there; what they remove in the middle is like compaction.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn limits_that_refuse_and_limits_that_remove() {
    let full = with_three(|config| {
        (config.max_messages, config.discard) = (5, DiscardPolicy::New);
    })
    .await;
    reads_on(&full, &full).await;
    let refused = full.context.publish(full.subject(), "5".into()).await.unwrap().await;
    assert!(refused.is_err(), "{refused:?}");

    let last = TestStream::new(&url(), |config| config.max_messages_per_subject = 1).await;
    for n in 0..9 {
        last.say(if n % 2 == 0 { "in.x" } else { "in.y" }, n.to_string()).await;
    }
    let mut subscribed = last.open().subscribe(Subscription::earliest()).await.unwrap();
    for n in ["7", "8"] {
        assert_eq!(next_text(&mut subscribed.deliveries).await, n);
    }
}

/// What a stream makes of subjects is what the reader sees; and what it publishes again can be read live.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn subjects_that_are_changed_and_messages_that_are_published_again() {
    let again = unique("again");
    let mut live = open(&format!("nats://{}/{again}.>", common::host()))
        .subscribe(Subscription::latest())
        .await
        .unwrap();
    let name = unique("T");
    let stream = with_three(|config| {
        config.republish =
            Some(Republish { source: ">".into(), destination: format!("{again}.>"), headers_only: false });
        config.subject_transform = Some(SubjectTransform {
            source: format!("{}.in.*", config.name),
            destination: format!("{name}.{{{{wildcard(1)}}}}"),
        });
    })
    .await;
    let mut kept = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    for (deliveries, subject) in
        [(&mut kept.deliveries, format!("{name}.x")), (&mut live.deliveries, format!("{again}.{name}.x"))]
    {
        for n in 0..3 {
            let Delivery::Message(message) = next(deliveries).await.unwrap() else { panic!() };
            assert_eq!(message.topic.as_str(), subject);
            assert_eq!(message.payload.as_deref(), Some(n.to_string().as_bytes()));
        }
    }
}

/// The advice of the error: a stream that sources a work queue, or one of interest retention, can be read.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_work_queue_can_be_read_by_way_of_another_stream() {
    for retention in [RetentionPolicy::WorkQueue, RetentionPolicy::Interest] {
        let queue = TestStream::new(&url(), |config| config.retention = retention).await;
        let reader = TestStream::new(&url(), |config| {
            config.subjects = Vec::new();
            config.sources = Some(vec![Origin { name: queue.name.clone(), ..Default::default() }]);
        })
        .await;
        let source = reader.open();
        let mut subscribed = source.subscribe(Subscription::earliest()).await.unwrap();
        // What comes before the one has found the other is nobody's where only interest keeps messages.
        eventually(async || {
            queue.say("in.x", "x").await;
            let end = source.bounds().await?.topics[0].partitions[0].end;
            (end > 1).then_some(()).ok_or_else(|| Error::new(ErrorKind::Internal, "nothing has come yet"))
        })
        .await;
        assert_eq!(next_text(&mut subscribed.deliveries).await, "x", "{retention:?}");
        println!("{retention:?}: {} left", queue.stream().await.cached_info().state.messages);
    }
}

/// A leaf node has a JetStream of its own; the hub's is reached by its domain.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn another_domain_by_way_of_a_leaf_node() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let domain = |name: &str| format!("jetstream {{ store_dir: \"{{data}}\", domain: {name} }}\n");
    let hub = domain("hub") + &format!("leafnodes {{ listen: \"127.0.0.1:{port}\" }}");
    let hub = NatsServer::with_config(&hub).unwrap();
    let leaf =
        domain("leaf") + &format!("leafnodes {{ remotes: [ {{ url: \"nats://127.0.0.1:{port}\" }} ] }}");
    let leaf = NatsServer::with_config(&leaf).unwrap();
    let at_hub = jetstream::new(client(&hub.url()).await);
    let config = Config { name: "S".into(), subjects: vec!["s.>".into()], ..Default::default() };
    at_hub.create_stream(config).await.unwrap();
    at_hub.publish("s.x", "0".into()).await.unwrap().await.unwrap();

    let at_leaf = |params: &str| format!("jetstream://127.0.0.1:{}/S{params}", leaf.port());
    let error = open(&at_leaf("")).bounds().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "the leaf's own JetStream has no such stream: {error}");
    let error = open(&at_leaf("?domain=nowhere")).bounds().await.unwrap_err().to_string();
    assert!(error.contains("domain") && error.contains("$JS.nowhere.API"), "{error}");
    for params in ["?domain=hub", "?domain=leaf", "?api_prefix=$JS.hub.API"] {
        let source = open(&at_leaf(params));
        if params.contains("leaf") {
            assert_eq!(source.bounds().await.unwrap_err().kind(), ErrorKind::NotFound);
            continue;
        }
        // The leaf may not be connected yet.
        let mut subscribed = eventually(async || source.subscribe(Subscription::earliest()).await).await;
        assert_eq!(next_text(&mut subscribed.deliveries).await, "0", "{params}");
    }
    let sink = at_leaf("/s.x?domain=hub");
    let sink = tidewater_core::plugin::open_sink(&sink).unwrap();
    let receipt = sink.send(tidewater_core::Message::new("", "1")).await.unwrap();
    let place = receipt.place.unwrap();
    assert_eq!((place.position.offset(), place.epoch.is_some()), (Some(2), true));
}

/// An account that imports the API of another one reads its streams under the subject that it imports it to.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn another_account_by_way_of_an_api_prefix() {
    let config = "accounts {
        KEEPS { jetstream: enabled, users: [ { user: keeps, password: x } ]
            exports: [ { service: \"$JS.API.>\", response_type: stream } ] }
        READS { users: [ { user: reads, password: x } ]
            imports: [ { service: { account: KEEPS, subject: \"$JS.API.>\" }, to: \"JS.keeps.API.>\" } ] }
    }";
    let server = NatsServer::with_config(config).unwrap();
    let keeps = async_nats::ConnectOptions::with_user_and_password("keeps".into(), "x".into());
    let keeps = jetstream::new(keeps.connect(server.url()).await.unwrap());
    let config = Config { name: "S".into(), subjects: vec!["s.>".into()], ..Default::default() };
    keeps.create_stream(config).await.unwrap();
    let source = |params: &str| {
        open(&format!("jetstream://127.0.0.1:{}/S?user=reads&password=x{params}", server.port()))
    };
    let mut subscribed =
        source("&api_prefix=JS.keeps.API").subscribe(Subscription::earliest()).await.unwrap();
    for n in 0..3 {
        keeps.publish("s.x", n.to_string().into()).await.unwrap().await.unwrap();
        assert_eq!(next_text(&mut subscribed.deliveries).await, n.to_string());
    }
    let error = source("").bounds().await.unwrap_err().to_string();
    assert!(error.contains("api_prefix"), "{error}");
}
