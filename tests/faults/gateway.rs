//! A gateway that dies or is asked to end, with a thousand clients.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Feed, heavy, kafka, nats};
use tokio::time::sleep;

use crate::{
    leaks::allow_descriptors,
    load::Rate,
    stage::{Plan, Stage},
};

const MANY: usize = 1_000;

/// A thousand clients come back to a gateway that knows nothing of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_gateway_of_a_thousand_clients_is_killed() -> Result<()> {
    let _alone = heavy().await;
    allow_descriptors()?;
    let topic = kafka::Topic::create("gateway-killed", 4).await?;
    let plan = Plan {
        clients: MANY,
        rate: Rate::of(60),
        some_earlier: false,
        ..Plan::new("gateway killed (-9), 1,000 clients come back")
    };
    let stage = Stage::new(plan, Feed::Kafka(topic), 4).await?;
    stage
        .play(async |stage| {
            stage.gateway.kill().await?;
            sleep(Duration::from_millis(500)).await;
            stage.gateway.restart().await
        })
        .await
}

/// A thousand streams are drained, and their clients come back to the next process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_gateway_of_a_thousand_clients_is_asked_to_end() -> Result<()> {
    let _alone = heavy().await;
    allow_descriptors()?;
    let stream = nats::Stream::create("gateway-ended").await?;
    let plan = Plan {
        clients: MANY,
        rate: Rate::of(60),
        some_earlier: false,
        server: "warp",
        ..Plan::new("gateway asked to end (SIGTERM), 1,000 streams open")
    };
    let stage = Stage::new(plan, Feed::JetStream(stream), 1).await?;
    stage
        .play(async |stage| {
            stage.gateway.terminate()?;
            let status = stage.gateway.wait().await?;
            ensure!(status.success(), "the gateway ended with {status}");
            stage.gateway.restart().await.context("starting it again")
        })
        .await
}
