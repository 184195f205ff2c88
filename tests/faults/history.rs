//! What a broker has no longer: retention, purges, topics made anew, compaction; and what it has never had for readers,
//! aborted transactions.

use std::time::Duration;

use anyhow::{Result, ensure};
use tidewater_tests::{Feed, Holes, PATIENCE, Transactions, env, heavy, kafka, nats};
use tokio::time::{Instant, sleep};

use crate::{
    load::Rate,
    stage::{Plan, Stage},
};

/// Kafka's `DeleteRecords` passes clients that are away, and the gateway has forgotten too what they need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_retention_passes_clients() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("retention", 4).await?;
    let plan = Plan { gaps: &["retention"], ..Plan::new("Kafka: retention passes clients that are away") };
    let stage = Stage::new(plan, Feed::Kafka(topic), 4).await?;
    stage.play(async |stage| retention(stage).await).await
}

/// A purge of a JetStream stream does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_purge_passes_clients() -> Result<()> {
    let _alone = heavy().await;
    let stream = nats::Stream::create("purged").await?;
    let plan = Plan { gaps: &["retention"], ..Plan::new("JetStream: a purge passes clients that are away") };
    let stage = Stage::new(plan, Feed::JetStream(stream), 1).await?;
    stage.play(async |stage| retention(stage).await).await
}

async fn retention(stage: &mut Stage) -> Result<()> {
    stage.settle_midway().await?;
    stage.crowd()?.away();
    stage.write();
    sleep(Duration::from_millis(600)).await;
    stage.hold_back().await?;
    let before = stage.truth.ends();
    stage.truth.read(&stage.feed).await?;
    let ends = stage.truth.ends();
    // From the middle of what they have missed on it is kept.
    for (partition, (before, end)) in (0..).zip(before.iter().zip(&ends)) {
        let kept = (before + end).div_ceil(2);
        ensure!(*before < kept, "nothing was written to partition {partition}");
        match &stage.feed {
            Feed::Kafka(topic) => topic.forget_before(partition, kept).await?,
            feed => feed.forget_before(kept).await?,
        }
    }
    stage.gateway.kill().await?;
    stage.gateway.restart().await?;
    stage.gateway.until_live().await?;
    stage.crowd()?.back();
    Ok(())
}

/// A topic is deleted and made again under its clients, or while they are away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_topic_is_made_again() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("recreated", 4).await?;
    let plan = Plan { gaps: &["epoch"], ..Plan::new("Kafka: topic deleted and made again") };
    let stage = Stage::new(plan, Feed::Kafka(topic), 4).await?;
    made_again(stage).await
}

/// The same of a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn jetstream_stream_is_made_again() -> Result<()> {
    let _alone = heavy().await;
    let stream = nats::Stream::create("recreated").await?;
    let plan = Plan { gaps: &["epoch"], ..Plan::new("JetStream: stream deleted and made again") };
    let stage = Stage::new(plan, Feed::JetStream(stream), 1).await?;
    made_again(stage).await
}

async fn made_again(stage: Stage) -> Result<()> {
    let mut away = true;
    stage
        .play(async |stage| {
            away = !away;
            stage.hold_back().await?;
            stage.truth.read(&stage.feed).await?;
            if away {
                stage.crowd()?.away();
            }
            stage.feed.recreate().await?;
            stage.truth.begin_incarnation();
            stage.write();
            // So that an offset of the old one is passed in the new one.
            sleep(Duration::from_millis(1_500)).await;
            stage.crowd()?.back();
            Ok(())
        })
        .await
}

/// Compaction goes over what clients who are away have missed. What it leaves is given, and nothing is told as a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_compacts_what_clients_have_missed() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::absent_at(&env::kafka()?, "compacted", 2)
        .set("cleanup.policy", "compact")
        .set("segment.ms", "200")
        // Not before it has been read back.
        .set("min.compaction.lag.ms", "5000")
        .set("min.cleanable.dirty.ratio", "0.01");
    topic.make().await?;
    let rate = Rate { keys: 20, ..Rate::of(400) };
    let plan = Plan { rate, compacts: true, ..Plan::new("Kafka: compaction while clients are away") };
    let stage = Stage::new(plan, Feed::Kafka(topic), 2).await?;
    stage
        .play(async |stage| {
            stage.crowd()?.away();
            sleep(Duration::from_millis(800)).await;
            stage.hold_back().await?;
            stage.truth.read(&stage.feed).await?;
            // The segment that is written to is never compacted: another one has to begin.
            stage.write();
            sleep(Duration::from_millis(400)).await;
            stage.hold_back().await?;
            let deadline = Instant::now() + 2 * PATIENCE;
            while stage.truth.reread(&stage.feed).await? < 100 {
                ensure!(Instant::now() < deadline, "nothing is compacted");
                sleep(Duration::from_millis(200)).await;
            }
            stage.gateway.kill().await?;
            stage.gateway.restart().await?;
            stage.gateway.until_live().await?;
            stage.crowd()?.back();
            Ok(())
        })
        .await
}

/// Transactions, every third of which is aborted, while the gateway is killed and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_transactions_are_aborted() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::create("transactions", 2).await?;
    let transactions = Transactions::new(topic.broker(), &topic, &Holes::default())?;
    let plan = Plan { rate: Rate::of(0), ..Plan::new("Kafka: aborted transactions") };
    let stage = Stage::new(plan, Feed::Kafka(topic), 2).await?;
    let mut next = [0; 2];
    stage
        .play(async |stage| {
            for number in 0..30 {
                let partition = fastrand::usize(0..2);
                let count = fastrand::u64(1..30);
                transactions.write(
                    u32::try_from(partition)?,
                    &mut next[partition],
                    count,
                    number % 3 != 0,
                )?;
                match number {
                    10 => stage.gateway.kill().await?,
                    20 => {
                        stage.crowd()?.over();
                        stage.gateway.restart().await?;
                    }
                    _ => sleep(Duration::from_millis(20)).await,
                }
            }
            // The last one of both is aborted: nobody may wait for it.
            for (partition, next) in (0..).zip(&mut next) {
                transactions.write(partition, next, 10, false)?;
            }
            Ok(())
        })
        .await
}
