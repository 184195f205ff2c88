//! Brokers that are late, lost, or without the topic: said by `ready`, waited for behind open streams, and no message
//! lost (I10, I1).

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidewater_tests::{
    Feed, Gateway, KafkaServer, NatsProducer, NatsServer, Offset, Oracle, SseClient, env, eventually, heavy,
    kafka, nats,
};

const PATH: &str = "/channels/feed";

/// `ready` stays 200 and names what is down; the channel comes alive when its broker does. Meanwhile I10.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_broker_that_is_not_there_at_start_is_tried_again() -> Result<()> {
    for scheme in ["nats", "jetstream"] {
        let mut server = NatsServer::reserve()?;
        let stream = nats::Stream::absent_at(&server.url(), "late");
        let url =
            if scheme == "nats" { format!("{}/{}", server.url(), stream.subject()) } else { stream.url() };
        let gateway = Gateway::new("hyper").channel("feed", &url).channel("other", "memory:").start().await?;
        let told = degraded(&gateway).await?;
        ensure!(told["channels"]["other"]["upstream"] == "live", "{told}");
        comes_back(&gateway).await?;

        server.start().await?;
        if scheme == "jetstream" {
            stream.make().await?;
        }
        gateway.until_live().await?;
        exchange(&gateway, &stream).await.with_context(|| gateway.output())?;
    }
    Ok(())
}

#[cfg(feature = "kafka")]
#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn an_unreachable_kafka_is_named_and_streams_are_told_to_come_back() -> Result<()> {
    let url = format!("kafka://127.0.0.1:{}/orders", tidewater_tests::free_port()?);
    let gateway = Gateway::new("warp").channel("feed", &url).start().await?;
    degraded(&gateway).await?;
    comes_back(&gateway).await
}

/// A topic or stream that does not exist (yet) is told, and read as soon as it is there.
#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn a_topic_that_does_not_exist_is_told_and_read_once_it_does() -> Result<()> {
    let topic = kafka::Topic::absent_at(&env::kafka()?, "absent", 1);
    let stream = nats::Stream::absent_at(&env::nats()?, "absent");
    for feed in [Feed::Kafka(topic), Feed::JetStream(stream)] {
        let gateway = Gateway::new("hyper").channel("feed", &feed.url()).start().await?;
        let told = degraded(&gateway).await?;
        let name = match &feed {
            Feed::Kafka(topic) => topic.name(),
            Feed::JetStream(stream) => stream.name(),
            Feed::Nats(subject) => subject.name(),
        };
        let error = told["channels"]["feed"]["error"].as_str().context("no error")?;
        ensure!(error.contains(name), "{name:?} is not in {error:?}");
        comes_back(&gateway).await?;
        match &feed {
            Feed::Kafka(topic) => topic.make().await?,
            Feed::JetStream(stream) => stream.make().await?,
            Feed::Nats(_) => {}
        }
        gateway.until_live().await?;
        let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
        client.expect_start().await?;
        feed.produce(["first"]).await?;
        let event = client.expect_shown().await?;
        ensure!((&*event.event_type, &*event.data) == ("message", "first"), "{event:?}");
    }
    Ok(())
}

/// The stream stays open, and goes on exactly where it was (I10, I1).
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_nats_server_that_is_lost_leaves_streams_open() -> Result<()> {
    let mut server = NatsServer::reserve()?;
    server.start().await?;
    let stream = nats::Stream::create_at(&server.url(), "lost").await?;
    let feed = Feed::JetStream(stream);
    let gateway = Gateway::new("hyper").channel("feed", &feed.url()).start().await?;
    let told = async {
        let mut client = Watcher::start(&gateway, &feed).await?;
        client.goes_on(&feed).await?;
        for wait in [false, true] {
            server.kill().await?;
            client.while_down(&gateway).await?;
            server.start().await?;
            if wait {
                gateway.until_live().await?;
            }
            client.goes_on(&feed).await?;
        }
        anyhow::Ok(())
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_kafka_that_is_lost_leaves_streams_open() -> Result<()> {
    let _alone = heavy().await;
    let server = KafkaServer::start().await?;
    let feed = Feed::Kafka(kafka::Topic::create_at(server.broker(), "lost", 1).await?);
    let gateway = Gateway::new("hyper").channel("feed", &feed.url()).start().await?;
    let told = async {
        let mut client = Watcher::start(&gateway, &feed).await?;
        client.goes_on(&feed).await?;
        server.kill().await?;
        client.while_down(&gateway).await?;
        server.restart().await?;
        client.goes_on(&feed).await
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

/// A client whose stream stays open over a broker's death.
struct Watcher {
    stream: SseClient,
    oracle: Oracle,
    /// After the first message.
    early: Option<(String, Oracle)>,
    next: u64,
}

impl Watcher {
    async fn start(gateway: &Gateway, feed: &Feed) -> Result<Self> {
        gateway.until_live().await?;
        let mut stream = SseClient::connect(gateway.address(), PATH, None).await?;
        let mut oracle = Oracle::new(1, feed.first());
        oracle.take(&stream.expect().await?)?;
        Ok(Self { stream, oracle, early: None, next: feed.first() })
    }

    /// Another twenty messages come, and nothing else.
    async fn goes_on(&mut self, feed: &Feed) -> Result<()> {
        let end = self.next + 20;
        feed.produce((self.next..end).map(|offset| Offset(0, offset))).await?;
        while !self.oracle.has_reached(&[end]) {
            self.oracle.take(&self.stream.expect().await?)?;
            let id = self.stream.last_event_id().context("no id")?.to_owned();
            self.early.get_or_insert_with(|| (id, self.oracle.clone()));
        }
        self.next = end;
        Ok(())
    }

    /// The channel is told as degraded; who comes meanwhile is served from what the node has.
    async fn while_down(&self, gateway: &Gateway) -> Result<()> {
        degraded(gateway).await?;
        let (id, mut oracle) = self.early.clone().context("no early id")?;
        let mut client = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
        while !oracle.has_reached(&[self.next]) {
            oracle.take(&client.expect().await?).context("while the broker is down")?;
        }
        Ok(())
    }
}

/// At most once: what was published while the connection was down is told as a gap, and the stream stays open.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_core_nats_server_that_is_lost_is_told_as_a_gap() -> Result<()> {
    let mut server = NatsServer::reserve()?;
    server.start().await?;
    let gateway = Gateway::new("hyper").channel("feed", &format!("{}/lost", server.url())).start().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    let told = async {
        publish(&server, "before").await?;
        ensure!(client.expect_shown().await?.data == "before", "another message");
        server.kill().await?;
        degraded(&gateway).await?;
        server.start().await?;
        gateway.until_live().await?;
        publish(&server, "after").await?;
        let mut events = vec![client.expect_shown().await?];
        while events.last().is_some_and(|event| event.data != "after") {
            events.push(client.expect_shown().await?);
        }
        let gaps = events.iter().filter(|event| event.event_type == "tidewater.gap").count();
        ensure!(gaps == 1 && events.len() == 2, "not one gap: {events:?}");
        Ok(())
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

/// Waits until `ready` says 200 and that the channel is degraded, and why.
async fn degraded(gateway: &Gateway) -> Result<Value> {
    eventually("the channel to be told as degraded", || async {
        let (status, told) = gateway.ready().await?;
        ensure!(status == 200, "{status}: {told}");
        let listed = told["degraded"].as_array().is_some_and(|names| names.iter().any(|name| name == "feed"));
        ensure!(told["status"] == "degraded" && listed, "{told}");
        ensure!(told["channels"]["feed"]["error"].is_string(), "{told}");
        Ok(told)
    })
    .await
    .with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

/// I10: before the channel has a position, 200, `retry:`, and the end.
async fn comes_back(gateway: &Gateway) -> Result<()> {
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    ensure!(client.status() == 200, "status {}", client.status());
    let events = client.expect_end().await?;
    ensure!(events.is_empty(), "{events:?}");
    ensure!(client.retry() >= Some(Duration::from_millis(500)), "retry {:?}", client.retry());
    Ok(())
}

/// A message through a subject, to see that the channel is alive.
async fn exchange(gateway: &Gateway, stream: &nats::Stream) -> Result<()> {
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    let mut producer = stream.producer().await?;
    producer.publish(&stream.subject(), &[], b"here").await?;
    producer.flush().await?;
    let event = client.expect_shown().await?;
    ensure!((&*event.event_type, &*event.data) == ("message", "here"), "{event:?}");
    Ok(())
}

async fn publish(server: &NatsServer, text: &str) -> Result<()> {
    let mut producer = NatsProducer::connect(&server.url()).await?;
    producer.publish("lost", &[], text.as_bytes()).await?;
    producer.flush().await
}
