//! A topic that is removed and made again: one gap of reason `epoch`, then the new incarnation from its start (I1, I2).

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Broker, Feed, Gateway, SseClient, heavy};

const PATH: &str = "/channels/feed";

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_topic_while_a_client_is_connected() -> Result<()> {
    while_connected(Broker::Kafka).await
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn jetstream_stream_while_a_client_is_connected() -> Result<()> {
    while_connected(Broker::JetStream).await
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_topic_between_two_connections() -> Result<()> {
    between_connections(Broker::Kafka).await
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn jetstream_stream_between_two_connections() -> Result<()> {
    between_connections(Broker::JetStream).await
}

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_topic_while_the_gateway_is_down() -> Result<()> {
    while_down(Broker::Kafka).await
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn jetstream_stream_while_the_gateway_is_down() -> Result<()> {
    while_down(Broker::JetStream).await
}

async fn while_connected(broker: Broker) -> Result<()> {
    let _alone = heavy().await;
    let (feed, gateway, mut client) = old_incarnation(broker).await?;
    feed.recreate().await?;
    // As many as there were, and one more: an offset of the old incarnation says nothing about the new one.
    feed.produce(new_lines()).await?;
    new_incarnation(&mut client, &gateway).await?;
    Ok(())
}

async fn between_connections(broker: Broker) -> Result<()> {
    let _alone = heavy().await;
    let (feed, gateway, client) = old_incarnation(broker).await?;
    let id = client.last_event_id().context("no id")?.to_owned();
    drop(client);
    feed.recreate().await?;
    feed.produce(new_lines()).await?;
    // The node may not have seen it yet when the client comes.
    let mut client = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
    new_incarnation(&mut client, &gateway).await?;
    // An id of the new incarnation is no reason for another gap.
    let id = client.last_event_id().context("no id")?.to_owned();
    let mut client = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
    feed.produce(["after"]).await?;
    let event = client.expect_shown().await?;
    ensure!((&*event.event_type, &*event.data) == ("message", "after"), "{event:?}");
    Ok(())
}

async fn while_down(broker: Broker) -> Result<()> {
    let _alone = heavy().await;
    let (feed, mut gateway, client) = old_incarnation(broker).await?;
    let id = client.last_event_id().context("no id")?.to_owned();
    gateway.kill().await?;
    feed.recreate().await?;
    feed.produce(new_lines()).await?;
    gateway.restart().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, Some(&id)).await?;
    new_incarnation(&mut client, &gateway).await
}

/// A topic with ten messages, all of which a client has.
async fn old_incarnation(broker: Broker) -> Result<(Feed, Gateway, SseClient)> {
    let feed = Feed::create(broker, "recreation").await?;
    let gateway = Gateway::new("hyper").channel("feed", &feed.url()).start().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    feed.produce((1..=10).map(|n| format!("old {n}"))).await?;
    for n in 1..=10 {
        let event = client.expect_shown().await?;
        ensure!(event.data == format!("old {n}"), "{event:?}");
    }
    Ok((feed, gateway, client))
}

fn new_lines() -> impl Iterator<Item = String> {
    (1..=11).map(|n| format!("new {n}"))
}

/// One gap, then all of the new incarnation.
async fn new_incarnation(client: &mut SseClient, gateway: &Gateway) -> Result<()> {
    let told = async {
        let gap = client.expect_shown().await.context("waiting for the gap")?;
        ensure!(gap.event_type == "tidewater.gap", "{gap:?}");
        let gap: serde_json::Value = serde_json::from_str(&gap.data)?;
        ensure!(gap["reason"] == "epoch", "{gap}");
        for line in new_lines() {
            let event = client.expect_shown().await.with_context(|| format!("waiting for {line:?}"))?;
            ensure!(
                (&*event.event_type, &*event.data) == ("message", &*line),
                "{event:?} instead of {line:?}"
            );
        }
        Ok(())
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}
