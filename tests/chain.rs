//! A gateway behind a gateway, by `sse+http://`: what the first one knows comes through the second (I1, I2, I3).

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidewater_tests::{Broker, Feed, Gateway, SseClient, heavy, http};

const PATH: &str = "/channels/feed";

/// A gateway that reads a channel of another one.
async fn behind(first: &Gateway, server: &str) -> Result<Gateway> {
    let url = format!("sse+{}", first.url(PATH));
    let second = Gateway::new(server).channel("feed", &url).start().await?;
    second.until_live().await?;
    Ok(second)
}

/// The next shown events are these numbers.
async fn numbers(client: &mut SseClient, from: u64, to: u64) -> Result<()> {
    for number in from..to {
        let event = client.expect_shown().await.with_context(|| format!("waiting for {number}"))?;
        ensure!(
            (&*event.event_type, &*event.data) == ("message", &*number.to_string()),
            "{event:?}, not {number}"
        );
    }
    Ok(())
}

async fn gap(client: &mut SseClient) -> Result<Value> {
    let event = client.expect_shown().await?;
    ensure!(event.event_type == "tidewater.gap", "{event:?} is no gap");
    Ok(serde_json::from_str(&event.data)?)
}

/// Two gateways behind one that stays: a client hops between them, they die, and nothing is lost or comes twice. When the
/// first one dies, whose log dies with it, that is one gap.
#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn clients_of_gateways_behind_a_gateway() -> Result<()> {
    let mut first = Gateway::new("hyper").channel("feed", "memory:").allow_publish("feed").start().await?;
    let mut seconds = [behind(&first, "hyper").await?, behind(&first, "warp").await?];
    let publish = async |first: &Gateway, from: u64, to: u64| -> Result<()> {
        for number in from..to {
            let response = http::post(first.address(), PATH, number.to_string().as_bytes()).await?;
            ensure!(response.status == 202, "{}", response.status);
        }
        Ok(())
    };

    let mut client = SseClient::connect(seconds[0].address(), PATH, None).await?;
    client.expect_start().await?;
    let mut have = 0;
    for round in 0..6 {
        publish(&first, have, have + 10).await?;
        numbers(&mut client, have, have + 7).await?;
        let id = client.last_event_id().context("no id")?.to_owned();
        drop(client);
        // One of them forgets all that it knew; what it needs then, it gets from the first.
        let node = &mut seconds[round % 2];
        node.kill().await?;
        publish(&first, have + 10, have + 20).await?;
        node.restart().await?;
        node.until_live().await?;
        client = SseClient::connect(seconds[(round / 2) % 2].address(), PATH, Some(&id)).await?;
        numbers(&mut client, have + 7, have + 20).await.with_context(|| format!("round {round}"))?;
        have += 20;
    }

    let mut event = SseClient::connect(seconds[0].address(), PATH, None).await?;
    event.expect_start().await?;
    http::post(first.address(), &format!("{PATH}?event=price"), b"a\nb").await?;
    http::post(first.address(), PATH, b"\x00\xff").await?;
    let price = event.expect_shown().await?;
    ensure!((&*price.event_type, &*price.data) == ("price", "a\nb"), "{price:?}");
    let binary = event.expect_shown().await?;
    ensure!((&*binary.event_type, &*binary.data) == ("tidewater.binary", "AP8="), "{binary:?}");

    let id = event.last_event_id().context("no id")?.to_owned();
    first.kill().await?;
    first.restart().await?;
    seconds[0].until_live().await?;
    publish(&first, 0, 1).await?;
    let told = gap(&mut event).await?;
    ensure!(told["reason"] == "epoch", "{told}");
    numbers(&mut event, 0, 1).await?;
    let mut again = SseClient::connect(seconds[0].address(), PATH, Some(&id)).await?;
    ensure!(gap(&mut again).await?["reason"] == "epoch", "who comes back is told, too");
    numbers(&mut again, 0, 1).await
}

/// The first gateway can be restarted, because its broker keeps everything: no gap for anybody.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_first_gateway_that_is_restarted_is_no_gap() -> Result<()> {
    let _alone = heavy().await;
    let feed = Feed::create(Broker::JetStream, "chain").await?;
    let mut first = Gateway::new("hyper").channel("feed", &feed.url()).start().await?;
    first.until_live().await?;
    let second = behind(&first, "salvo").await?;
    let mut client = SseClient::connect(second.address(), PATH, None).await?;
    client.expect_start().await?;
    for from in [0, 20, 40] {
        feed.produce((from..from + 10).map(|number| number.to_string())).await?;
        numbers(&mut client, from, from + 10).await?;
        let id = client.last_event_id().context("no id")?.to_owned();
        first.kill().await?;
        feed.produce((from + 10..from + 20).map(|number| number.to_string())).await?;
        second.until("degraded").await?;
        first.restart().await?;
        numbers(&mut client, from + 10, from + 20).await?;
        let mut back = SseClient::connect(second.address(), PATH, Some(&id)).await?;
        numbers(&mut back, from + 10, from + 20).await?;
    }
    Ok(())
}
