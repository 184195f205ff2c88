//! What changes in a topic while clients come and go: partitions are added, old messages are removed (I1).

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidewater_tests::{Broker, Feed, Gateway, Offset, Oracle, SseClient, heavy, kafka};

const PATH: &str = "/channels/feed";

/// A partition that is new has been read from its first message on, and is no gap for anybody.
#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_partitions_are_added() -> Result<()> {
    let _alone = heavy().await;
    let mut topic = kafka::Topic::create("changes", 1).await?;
    let gateway = Gateway::new("hyper").channel("feed", &topic.url()).start().await?;
    gateway.until_live().await?;
    let told = async {
        let mut oracles = [Oracle::new(3, 0), Oracle::new(3, 0)];
        let mut stays = SseClient::connect(gateway.address(), PATH, None).await?;
        oracles[0].take(&stays.expect().await?)?;
        topic.produce(0, offsets(0, 0, 20)).await?;
        read_to(&mut stays, &mut oracles[0], &[20]).await?;
        // One that was there before and comes back after.
        let id = stays.last_event_id().context("no id")?.to_owned();
        oracles[1] = oracles[0].clone();

        topic.grow(3).await?;
        topic.produce(2, offsets(2, 0, 20)).await?;
        topic.produce(1, offsets(1, 0, 20)).await?;
        topic.produce(0, offsets(0, 20, 40)).await?;
        read_to(&mut stays, &mut oracles[0], &[40, 20, 20]).await?;
        let mut back = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
        read_to(&mut back, &mut oracles[1], &[40, 20, 20]).await
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_retention_has_passed_a_client() -> Result<()> {
    retention(Broker::Kafka).await
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn jetstream_limits_have_passed_a_client() -> Result<()> {
    retention(Broker::JetStream).await
}

/// What this node still has is given; what nobody has any more is one gap with its exact range.
async fn retention(broker: Broker) -> Result<()> {
    let _alone = heavy().await;
    let feed = Feed::create(broker, "changes").await?;
    let first = feed.first();
    let mut gateway = Gateway::new("hyper").channel("feed", &feed.url()).start().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    feed.produce(numbers(0, 10)).await?;
    shown(&mut client, 0, 10).await?;
    let id = client.last_event_id().context("no id")?.to_owned();
    feed.produce(numbers(10, 20)).await?;
    shown(&mut client, 10, 20).await?;
    drop(client);
    feed.forget_before(first + 15).await?;

    let mut client = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
    shown(&mut client, 10, 20).await.context("the log has all of it")?;

    gateway.kill().await?;
    gateway.restart().await?;
    gateway.until_live().await?;
    let told = async {
        let mut client = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
        let gap = client.expect_shown().await?;
        ensure!(gap.event_type == "tidewater.gap", "{gap:?}");
        let gap: Value = serde_json::from_str(&gap.data)?;
        ensure!(gap["reason"] == "retention" && gap["partition"] == 0, "{gap}");
        ensure!((&gap["from"], &gap["to"]) == (&json!(first + 10), &json!(first + 15)), "{gap}");
        shown(&mut client, 15, 20).await?;
        // Behind the gap everything is as ever, also for who comes back with an id of there.
        let id = client.last_event_id().context("no id")?.to_owned();
        let mut client = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
        feed.produce(numbers(20, 30)).await?;
        shown(&mut client, 20, 30).await
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

fn numbers(from: u64, to: u64) -> impl Iterator<Item = String> {
    (from..to).map(|number| number.to_string())
}

fn offsets(partition: u32, from: u64, to: u64) -> impl Iterator<Item = Offset> {
    (from..to).map(move |offset| Offset(partition, offset))
}

/// Reads until the oracle has everything before these offsets.
async fn read_to(client: &mut SseClient, oracle: &mut Oracle, ends: &[u64]) -> Result<()> {
    while !oracle.has_reached(ends) {
        oracle.take(&client.expect().await?)?;
    }
    Ok(())
}

/// The next events are these numbers.
async fn shown(client: &mut SseClient, from: u64, to: u64) -> Result<()> {
    for number in numbers(from, to) {
        let event = client.expect_shown().await.with_context(|| format!("waiting for {number}"))?;
        ensure!((&*event.event_type, &*event.data) == ("message", &*number), "{event:?}, not {number}");
    }
    Ok(())
}
