//! Channels of one gateway on the same topic share one subscription at the broker, and a client that goes from one to
//! the other misses nothing (I1).

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Broker, Feed, Gateway, SseClient, heavy};

const CHANNELS: [&str; 3] = ["one", "two", "three"];

#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_channels_share() -> Result<()> {
    share(Broker::Kafka).await
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn nats_channels_share() -> Result<()> {
    share(Broker::Nats).await
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn jetstream_channels_share() -> Result<()> {
    share(Broker::JetStream).await
}

async fn share(broker: Broker) -> Result<()> {
    let _alone = heavy().await;
    let feed = Feed::create(broker, "shared").await?;
    let mut builder = Gateway::new("hyper");
    for name in CHANNELS {
        builder = builder.channel(name, &feed.url());
    }
    let gateway = builder.start().await?;
    gateway.until_live().await?;
    let told = gateway.output();
    // The console's feed has its own, of memory.
    let live =
        told.lines().filter(|line| line.contains("upstream live") && !line.contains("memory:console."));
    ensure!(live.count() == 1, "more than one subscription:\n{told}");

    let connect = async |channel: usize, id: Option<&str>| {
        let path = format!("/channels/{}", CHANNELS[channel % CHANNELS.len()]);
        SseClient::connect(gateway.address(), &path, id).await
    };
    let mut id = connect(0, None).await?.expect_start().await?.to_string();
    // Each keeps a stream open from the start on; one more goes from channel to channel.
    let mut stay = Vec::new();
    for channel in 0..CHANNELS.len() {
        stay.push(connect(channel, Some(&id)).await?);
    }
    let line = |n: usize| format!("line {n}");
    let (mut produced, mut read) = (0, 0);
    for round in 0..9 {
        feed.produce((produced..produced + 30).map(line)).await?;
        produced += 30;
        let mut client = connect(round, Some(&id)).await?;
        // Now and then it lags behind, and then catches up.
        let until = if round % 3 == 2 { produced } else { produced - 17 };
        while read < until {
            let event = client.expect_shown().await.with_context(|| gateway.output())?;
            ensure!(event.data == line(read), "round {round}: {event:?} instead of {}", line(read));
            id = event.last_event_id.into();
            read += 1;
        }
    }
    for (name, client) in CHANNELS.iter().zip(&mut stay) {
        for n in 0..produced {
            let event = client.expect_shown().await.with_context(|| gateway.output())?;
            ensure!(event.data == line(n), "{name}: {event:?} instead of {}", line(n));
        }
    }
    if broker == Broker::Nats {
        return Ok(());
    }
    // What happens to the topic is told to all.
    feed.recreate().await?;
    feed.produce(["anew"]).await?;
    for (name, client) in CHANNELS.iter().zip(&mut stay) {
        let gap = client.expect_shown().await.with_context(|| gateway.output())?;
        ensure!(gap.event_type == "tidewater.gap" && gap.data.contains("epoch"), "{name}: {gap:?}");
        ensure!(client.expect_shown().await?.data == "anew", "{name}");
    }
    Ok(())
}
