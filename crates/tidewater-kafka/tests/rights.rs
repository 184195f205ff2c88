//! Which rights are needed, and what is said without them. A real broker with an authorizer.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;

use support::{Cluster, PATIENCE, Reading, Topic};
use tidewater_core::{ErrorKind, Message, Result, Retry, Sink as _, Source as _, Subscription, Transfer};
use tidewater_kafka::KafkaConfig;
use tidewater_secure_kafka::{Listener, Operation, Resource, Scram, SecureKafka, User};
use tokio::time::Instant;

fn kafka() -> &'static SecureKafka {
    SecureKafka::shared().unwrap()
}

/// A topic that a user of the admin's listener makes and writes.
async fn topic() -> Topic {
    let broker = kafka().admin().to_owned();
    let at = broker.clone();
    let reader = Box::new(move |topic: &str| KafkaConfig::new(&at, [topic]).unwrap());
    Topic::on(Arc::new(Cluster { broker, compression: "none", reader }), 2).await
}

fn config(topic: &Topic, user: &User) -> KafkaConfig {
    [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.pem", &kafka().authority().pem()),
        ("sasl.mechanism", user.mechanism),
        ("sasl.username", &user.name),
        ("sasl.password", &user.password),
    ]
    .into_iter()
    .fold(
        KafkaConfig::new(kafka().address(Listener::Sasl), [topic.name.as_str()]).unwrap(),
        |config, (name, value)| config.with_property(name, value).unwrap(),
    )
}

fn user(name: &str) -> User {
    kafka().user(name, Scram::Sha256).unwrap()
}

/// What is denied, and said with the right that is missing.
fn denied<T: std::fmt::Debug>(result: Result<T>, right: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Later), "{error}");
    assert!(error.to_string().contains(right), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn read_on_the_topic_is_enough_to_read() {
    let (topic, user) = (topic().await, user("rights-read"));
    topic.publish(0, ["0", "1"]).await;
    let source = config(&topic, &user).source();
    denied(source.bounds().await, "the right Read on the topic");
    denied(source.subscribe(Subscription::earliest()).await, "the right Read on the topic");
    kafka().allow(&user.name, Operation::Read, Resource::Topic(&topic.name)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = source.bounds().await {
        assert!(Instant::now() < deadline, "{error}");
    }
    let mut reading = Reading::open(&source, Subscription::earliest()).await;
    assert_eq!(reading.payloads(2).await, ["0", "1"]);
    topic.publish(1, ["2"]).await;
    assert_eq!(reading.payloads(1).await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn describe_alone_shows_where_a_topic_ends_and_nothing_of_it() {
    let (topic, user) = (topic().await, user("rights-describe"));
    topic.publish(0, ["0"]).await;
    kafka().allow(&user.name, Operation::Describe, Resource::Topic(&topic.name)).unwrap();
    let source = config(&topic, &user).source();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = source.bounds().await {
        assert!(Instant::now() < deadline, "{error}");
    }
    let mut reading = Reading::open(&source, Subscription::earliest()).await;
    denied(reading.any().await, "the right Read on the topic");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn write_on_the_topic_is_enough_to_write() {
    let (topic, user) = (topic().await, user("rights-write"));
    let sink = config(&topic, &user).with_property("message.timeout.ms", "3000").unwrap().sink().unwrap();
    denied(sink.send(Message::new("", "x")).await, "Write");
    kafka().allow(&user.name, Operation::Write, Resource::Topic(&topic.name)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let receipt = loop {
        match sink.send(Message::new("", "x")).await {
            Ok(receipt) => break receipt,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert!(receipt.place.is_some(), "with the topic's id: {receipt:?}");
}

/// The topic of positions is this user's alone, so each right is missing until it is given.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_writer_that_writes_each_message_once_needs_these_rights() {
    let (topic, user) = (topic().await, user("rights-once"));
    let positions = format!("positions-of-{}", topic.name);
    let sink = config(&topic, &user).with_property("message.timeout.ms", "3000").unwrap();
    let sink = sink.with_positions(positions.as_str()).unwrap().sink().unwrap();
    let write = async || {
        let mut writer = sink.exactly_once("w").unwrap().unwrap();
        let position = writer.resume().await?;
        let (message, next) = (Message::new("", "x"), position.unwrap_or_default());
        writer.write(vec![Transfer { message, next: next.clone() }], &next).await
    };
    let kafka_topic = |name| Resource::Topic(name);
    let steps = [
        ("positions-of-", Operation::Read, kafka_topic(&positions)),
        ("the right Create on it", Operation::Create, kafka_topic(&positions)),
        ("transactional id tidewater/", Operation::Write, Resource::TransactionalIdsFrom("tidewater/")),
        (&topic.name, Operation::Write, kafka_topic(&topic.name)),
        ("Write", Operation::Write, kafka_topic(&positions)),
    ];
    for (missing, operation, resource) in steps {
        let deadline = Instant::now() + PATIENCE;
        // What was given before takes a moment.
        loop {
            let error = write().await.unwrap_err();
            if error.kind() == ErrorKind::Denied && error.to_string().contains(missing) {
                break;
            }
            assert!(Instant::now() < deadline, "without {operation:?} on {resource:?}: {error}");
        }
        kafka().allow(&user.name, operation, resource).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = write().await {
        assert!(Instant::now() < deadline, "{error}");
    }
}
