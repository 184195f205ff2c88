//! Clients that are cut, that stop reading, or whose connection has a dead end.

use std::time::Duration;

use anyhow::{Result, ensure};
use tidewater_tests::{Feed, heavy, kafka};
use tokio::time::sleep;

use crate::{
    leaks::Held,
    load::{Rate, flood},
    proxy::{Mode, Proxy},
    stage::{Plan, Stage},
};

/// Each connection lives for 50 to 500 ms, for three seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn clients_are_cut_again_and_again() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("cut", 4).await?;
    let plan = Plan { server: "salvo", ..Plan::new("clients cut every 50 to 500 ms") };
    let mut stage = Stage::new(plan, Feed::Kafka(topic), 4).await?;
    let proxy = Proxy::start(stage.gateway.address()).await?;
    stage.front = proxy.address();
    stage
        .play(async |stage| {
            let before = stage.crowd()?.connections();
            proxy.set(Mode::Cut(50..500));
            sleep(Duration::from_secs(3)).await;
            proxy.set(Mode::Pass);
            let cut = stage.crowd()?.connections() - before;
            ensure!(cut > 2 * plan.clients as u64, "only {cut} connections were made anew");
            Ok(())
        })
        .await
}

/// Clients read nothing while more is written than the channel's log holds (64 MiB); then they read on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn readers_stop() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("stopped", 2).await?;
    let plan = Plan {
        rate: Rate::of(100),
        clients: 4,
        some_earlier: false,
        ..Plan::new("clients that stop reading")
    };
    let stage = Stage::new(plan, Feed::Kafka(topic.clone()), 2).await?;
    stage
        .play(async |stage| {
            stage.crowd()?.deaf(true);
            flood(&topic, 2, 80 * 8, 128 << 10).await?;
            stage.crowd()?.deaf(false);
            Ok(())
        })
        .await
}

/// The client is gone, and the gateway is not told: its end of the connection takes what fits, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn connections_are_half_open() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("half-open", 4).await?;
    let plan = Plan::new("connections half open");
    let mut stage = Stage::new(plan, Feed::Kafka(topic), 4).await?;
    let proxy = Proxy::start(stage.gateway.address()).await?;
    stage.front = proxy.address();
    stage
        .play(async |stage| {
            proxy.set(Mode::Forget);
            stage.crowd()?.over();
            sleep(Duration::from_secs(2)).await;
            let held = Held::of(&stage.gateway).await?;
            ensure!(proxy.forgotten() >= plan.clients, "{} dead ends", proxy.forgotten());
            ensure!(held.connections > plan.clients, "the dead ends are connections still: {held:?}");
            proxy.bury();
            proxy.set(Mode::Pass);
            Ok(())
        })
        .await
}
