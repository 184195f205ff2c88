//! A gateway that dies or is asked to end, with a thousand clients, and with ten thousand.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Feed, PATIENCE, SseClient, heavy, kafka, nats};
use tokio::time::{sleep, timeout};

use crate::{
    leaks::allow_descriptors,
    load::Rate,
    report::measures,
    stage::{PATH, Plan, Stage},
};

const MANY: usize = 1_000;
const MOST: usize = 10_000;
/// Instead of those in `cargo xtask test`, which shall take seconds.
const FEWER: usize = 2_000;

/// A thousand clients come back to a gateway that knows nothing of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_gateway_of_a_thousand_clients_is_killed() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("gateway-killed", 4).await?;
    let plan = Plan { server: "hyper", ..many("gateway killed (-9), 1,000 clients of hyper come back") };
    killed(plan, topic).await
}

/// A thousand streams are drained, and their clients come back to the next process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_gateway_of_a_thousand_clients_is_asked_to_end() -> Result<()> {
    let _alone = heavy().await;
    for (server, name) in [
        ("hyper", "gateway asked to end (SIGTERM), 1,000 streams of hyper open"),
        ("warp", "gateway asked to end (SIGTERM), 1,000 streams of warp open"),
    ] {
        let stream = nats::Stream::create("gateway-ended").await?;
        asked_to_end(Plan { server, ..many(name) }, stream).await?;
    }
    Ok(())
}

/// Ten thousand direct streams break, and their clients come back when they were told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_gateway_of_ten_thousand_direct_streams_is_killed() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("direct-killed", 4).await?;
    killed(most("gateway killed (-9), a crowd of direct streams resumes"), topic).await
}

/// The same when they are drained.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_gateway_of_ten_thousand_direct_streams_is_asked_to_end() -> Result<()> {
    let _alone = heavy().await;
    let stream = nats::Stream::create("direct-ended").await?;
    asked_to_end(most("gateway asked to end (SIGTERM), a crowd of direct streams resumes"), stream).await
}

fn many(name: &'static str) -> Plan {
    Plan { clients: MANY, rate: Rate::of(60), some_earlier: false, ..Plan::new(name) }
}

fn most(name: &'static str) -> Plan {
    /// All together are given so many messages a second: what a test program takes in on one core.
    const DELIVERIES: usize = 50_000;
    let clients = if measures() { MOST } else { FEWER };
    Plan {
        clients,
        rate: Rate::of((DELIVERIES / clients) as u64),
        // As long as they are told: in less than a second so many would not get in.
        retry: Duration::from_secs(10),
        ..many(name)
    }
}

async fn killed(plan: Plan, topic: kafka::Topic) -> Result<()> {
    allow_descriptors(plan.clients)?;
    let stage = Stage::new(plan, Feed::Kafka(topic), 4).await?;
    stage
        .play(async |stage| {
            is_direct(stage, plan).await?;
            let before = stage.crowd()?.connections();
            stage.gateway.kill().await?;
            sleep(Duration::from_millis(500)).await;
            stage.gateway.restart().await?;
            all_back(stage, plan, before).await
        })
        .await
}

async fn asked_to_end(plan: Plan, stream: nats::Stream) -> Result<()> {
    allow_descriptors(plan.clients)?;
    let stage = Stage::new(plan, Feed::JetStream(stream), 1).await?;
    stage
        .play(async |stage| {
            is_direct(stage, plan).await?;
            let before = stage.crowd()?.connections();
            stage.gateway.terminate()?;
            let status = stage.gateway.wait().await?;
            ensure!(status.success(), "the gateway ended with {status}");
            stage.gateway.restart().await.context("starting it again")?;
            all_back(stage, plan, before).await
        })
        .await
}

/// It is over when the gateway listens; messages are written until as many streams have been opened again as broke.
async fn all_back(stage: &mut Stage, plan: Plan, before: u64) -> Result<()> {
    let crowd = stage.crowd()?;
    crowd.over();
    let back = async {
        while crowd.connections() < before + plan.clients as u64 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let within = timeout(PATIENCE, back).await;
    within.with_context(|| format!("{} streams were opened again", crowd.connections() - before))
}

/// A stream of the server `direct` that is a direct one ends with its connection; one that its fallback serves has
/// chunks, as with the other servers.
async fn is_direct(stage: &Stage, plan: Plan) -> Result<()> {
    let stream = SseClient::connect(stage.front, PATH, None).await?;
    let chunked = stream.header("transfer-encoding").is_some();
    ensure!(chunked == (plan.server != "direct"), "{} answers with chunks: {chunked}", plan.server);
    Ok(())
}
