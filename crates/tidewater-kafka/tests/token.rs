//! Tokens of a provider, taken by a real broker (its validator of unsecured tokens).

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use support::{Cluster, PATIENCE, Reading, Topic, text};
use tidewater_core::{Error, ErrorKind, Message, Retry, Sink as _, Source as _, Subscription};
use tidewater_kafka::{KafkaConfig, Token, TokenProvider};
use tidewater_secure_kafka::{Listener, Operation, Resource, SecureKafka};
use tokio::time::Instant;

/// What `KafkaConfig` is given for this topic.
fn config(topic: &str, provider: Arc<dyn TokenProvider>) -> KafkaConfig {
    let kafka = SecureKafka::shared().unwrap();
    KafkaConfig::new(kafka.address(Listener::Sasl), [topic])
        .and_then(|config| config.with_property("security.protocol", "sasl_ssl"))
        .and_then(|config| config.with_property("ssl.ca.pem", kafka.authority().pem()))
        .unwrap()
        .with_token_provider(provider)
}

async fn topic(user: &'static str) -> Topic {
    let kafka = SecureKafka::shared().unwrap();
    for operation in [Operation::Read, Operation::Write] {
        kafka.allow(user, operation, Resource::TopicsFrom("tidewater-kafka-")).unwrap();
    }
    let good = Arc::new(move || Ok(unsecured(user, Duration::from_secs(600))));
    let reader = Box::new(move |topic: &str| config(topic, good.clone()));
    Topic::on(Arc::new(Cluster { broker: kafka.admin().to_owned(), compression: "none", reader }), 1).await
}

/// A token that nobody has signed (RFC 7515, A.5).
fn unsecured(user: &str, life: Duration) -> Token {
    let now = SystemTime::now();
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"sub":"{user}","iat":{},"exp":{}}}"#, seconds(now), seconds(now + life));
    let value = format!("{}.{}.", base64(br#"{"alg":"none"}"#), base64(claims.as_bytes()));
    tidewater_testkit::secret::record(&value);
    Token::new(value, user, now + life)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_providers_token_is_used_and_renewed_before_it_expires() {
    let topic = topic("token-renewed").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let provider: Arc<dyn TokenProvider> = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(unsecured("token-renewed", Duration::from_secs(6)))
    });
    let config = config(&topic.name, provider);
    let (source, sink) = (config.clone().source(), config.sink().unwrap());
    let mut reading = Reading::open(&source, Subscription::earliest()).await;
    let deadline = Instant::now() + PATIENCE;
    let mut round = 0;
    while asked.load(Ordering::SeqCst) < 4 {
        assert!(Instant::now() < deadline, "asked {asked:?} times");
        let payload = format!("{round}");
        sink.send(Message::new("", payload.clone())).await.unwrap();
        assert_eq!(text(&reading.message().await), payload);
        round += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_provider_that_fails_is_told_and_asked_again() {
    let topic = topic("token-late").await;
    for (kind, wanted) in
        [(ErrorKind::Denied, ErrorKind::Denied), (ErrorKind::Unavailable, ErrorKind::Unavailable)]
    {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let provider = Arc::new(move || match count.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Error::new(kind, "the issuer is on holiday")),
            _ => Ok(unsecured("token-late", Duration::from_secs(600))),
        });
        let source = config(&topic.name, provider).source();
        let error = source.bounds().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (wanted, Retry::Later), "{error}");
        let text = error.to_string();
        assert!(text.contains("on holiday") && text.contains("with_token_provider"), "{text}");
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = source.bounds().await {
            assert!(Instant::now() < deadline, "{error}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_token_that_the_broker_refuses_is_not_shown() {
    let topic = topic("token-refused").await;
    let token = Token::new("not-a-token-at-all", "web", SystemTime::now() + Duration::from_secs(600));
    let source = config(&topic.name, Arc::new(move || Ok(token.clone()))).source();
    let error = source.bounds().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Later), "{error}");
    let text = error.to_string();
    assert!(text.contains("token provider") && !text.contains("not-a-token-at-all"), "{text}");
}
