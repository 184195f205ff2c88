//! Brokers that are killed and started again, or stand still.

use std::time::Duration;

use anyhow::Result;
use tidewater_tests::{Feed, KafkaServer, NatsServer, heavy, kafka, nats};
use tokio::time::sleep;

use crate::{
    report::rounds,
    stage::{Plan, Stage},
};

/// A Kafka is killed while it is written to and read from, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn kafka_is_killed() -> Result<()> {
    let _alone = heavy().await;
    let server = KafkaServer::start().await?;
    let topic = kafka::Topic::create_at(server.broker(), "killed", 4).await?;
    let stage = Stage::new(Plan::new("Kafka killed (-9) and started again"), Feed::Kafka(topic), 4).await?;
    stage
        .play(async |_| {
            server.kill().await?;
            sleep(Duration::from_millis(500)).await;
            server.restart().await
        })
        .await
}

/// The same of a nats-server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn nats_is_killed() -> Result<()> {
    let _alone = heavy().await;
    let mut server = NatsServer::reserve()?;
    server.start().await?;
    let stream = nats::Stream::create_at(&server.url(), "killed").await?;
    let plan = Plan::new("nats-server killed (-9) and started again");
    let stage = Stage::new(plan, Feed::JetStream(stream), 1).await?;
    stage
        .play(async |_| {
            server.kill().await?;
            sleep(Duration::from_millis(500)).await;
            server.start().await
        })
        .await
}

/// Both stand still (SIGSTOP) for 30 seconds, in the short form for 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own and a NATS of its own: run cargo xtask test"]
async fn brokers_stand_still() -> Result<()> {
    let _alone = heavy().await;
    let still = Duration::from_secs(if rounds()? > 1 { 30 } else { 3 });
    let kafka = async {
        let server = KafkaServer::start().await?;
        let topic = kafka::Topic::create_at(server.broker(), "still", 4).await?;
        let stage = Stage::new(Plan::new("Kafka stands still (SIGSTOP)"), Feed::Kafka(topic), 4).await?;
        stage
            .play(async |_| {
                server.freeze()?;
                sleep(still).await;
                server.thaw()
            })
            .await
    };
    let nats = async {
        let mut server = NatsServer::reserve()?;
        server.start().await?;
        let stream = nats::Stream::create_at(&server.url(), "still").await?;
        let plan = Plan::new("nats-server stands still (SIGSTOP)");
        let stage = Stage::new(plan, Feed::JetStream(stream), 1).await?;
        stage
            .play(async |_| {
                server.freeze()?;
                sleep(still).await;
                server.thaw()
            })
            .await
    };
    tokio::try_join!(kafka, nats).map(drop)
}
