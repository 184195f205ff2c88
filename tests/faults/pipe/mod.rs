//! `tidewater pipe` under faults: whoever of the three is killed, the sink has in the end what the source has, as it was,
//! in its order, and where the pipe says so, once.
//!
//! The oracle is the source, and it is compared with the sink, both read by other clients; what an embedded log has, its
//! writer knows, and it is read again when the pipe has ended.

mod ledger;
mod report;
mod shelf;
mod stage;
mod watch;

use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream;
use tidewater_tests::{Feed, KafkaServer, NatsServer, heavy, kafka, nats};
use tokio::time::sleep;

use self::{
    ledger::Promise,
    stage::{Plan, Stage},
};

/// Partitions of a Kafka topic.
const PARTITIONS: u32 = 4;
/// How often the pipe is killed in a round.
const KILLS: u64 = 3;

/// Both brokers, of this test's own.
struct Brokers {
    kafka: KafkaServer,
    nats: NatsServer,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Pipe,
    Kafka,
    Nats,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own and a NATS of its own: run cargo xtask test"]
async fn kafka_into_jetstream_is_exactly_once() -> Result<()> {
    let _alone = heavy().await;
    let mut brokers = Brokers::start().await?;
    for victim in [Victim::Pipe, Victim::Kafka, Victim::Nats] {
        let (topic, stream) = (brokers.topic().await?, brokers.stream().await?);
        let plan = Plan::new("Kafka → JetStream", victim.name(), Promise::ExactlyOnce);
        let stage = Stage::new(plan, Feed::Kafka(topic), Feed::JetStream(stream))?;
        played(stage, &mut brokers, victim).await?;
    }
    Ok(())
}

/// The same into a stream that takes batches whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own and a NATS of its own: run cargo xtask test"]
async fn kafka_into_jetstream_in_batches_is_exactly_once() -> Result<()> {
    let _alone = heavy().await;
    let mut brokers = Brokers::start().await?;
    for victim in [Victim::Pipe, Victim::Nats] {
        let (topic, stream) = (brokers.topic().await?, brokers.stream_of_batches().await?);
        let plan = Plan::new("Kafka → JetStream, in batches", victim.name(), Promise::ExactlyOnce);
        let stage = Stage::new(plan, Feed::Kafka(topic), Feed::JetStream(stream))?;
        played(stage, &mut brokers, victim).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own and a NATS of its own: run cargo xtask test"]
async fn jetstream_into_kafka_is_exactly_once() -> Result<()> {
    let _alone = heavy().await;
    let mut brokers = Brokers::start().await?;
    for victim in [Victim::Pipe, Victim::Nats, Victim::Kafka] {
        let (topic, stream) = (brokers.topic().await?, brokers.stream().await?);
        let plan = Plan::new("JetStream → Kafka", victim.name(), Promise::ExactlyOnce);
        let stage = Stage::new(plan, Feed::JetStream(stream), Feed::Kafka(topic))?;
        played(stage, &mut brokers, victim).await?;
    }
    Ok(())
}

/// Out of one machine. A folder is open in one process at a time: what the log holds is written before the pipe begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn embedded_into_kafka_is_exactly_once() -> Result<()> {
    let _alone = heavy().await;
    let kafka = KafkaServer::start().await?;
    for victim in [Victim::Pipe, Victim::Kafka] {
        let topic = kafka::Topic::create_at(kafka.broker(), "piped", PARTITIONS).await?;
        let plan = Plan::new("embedded → Kafka", victim.name(), Promise::ExactlyOnce);
        let stage = Stage::of_folder(plan, Feed::Kafka(topic))?;
        stage
            .play(async |stage| match victim {
                Victim::Pipe => kill_pipe(stage).await,
                _ => kill_kafka(stage, &kafka).await,
            })
            .await?;
    }
    Ok(())
}

/// Where the sink keeps no position: what was under way comes again, and nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own and a NATS of its own: run cargo xtask test"]
async fn kafka_into_jetstream_is_at_least_once() -> Result<()> {
    let _alone = heavy().await;
    let mut brokers = Brokers::start().await?;
    for victim in [Victim::Pipe, Victim::Kafka, Victim::Nats] {
        let (topic, stream) = (brokers.topic().await?, brokers.stream().await?);
        let plan = Plan::new("Kafka → JetStream, `--at-least-once`", victim.name(), Promise::AtLeastOnce);
        let stage = Stage::new(plan, Feed::Kafka(topic), Feed::JetStream(stream))?;
        played(stage, &mut brokers, victim).await?;
    }
    Ok(())
}

async fn played(stage: Stage, brokers: &mut Brokers, victim: Victim) -> Result<()> {
    stage
        .play(async |stage| match victim {
            Victim::Pipe => kill_pipe(stage).await,
            Victim::Kafka => kill_kafka(stage, &brokers.kafka).await,
            Victim::Nats => {
                stage.amid().await?;
                brokers.nats.kill().await?;
                sleep(AWAY).await;
                brokers.nats.start().await?;
                stage.goes_on().await
            }
        })
        .await
}

/// How long a broker is away.
const AWAY: Duration = Duration::from_millis(500);

async fn kill_kafka(stage: &mut Stage, kafka: &KafkaServer) -> Result<()> {
    stage.amid().await?;
    kafka.kill().await?;
    sleep(AWAY).await;
    kafka.restart().await?;
    stage.goes_on().await
}

async fn kill_pipe(stage: &mut Stage) -> Result<()> {
    for _ in 0..KILLS {
        stage.amid().await?;
        stage.kill_pipe().await?;
        stage.start_pipe().await?;
        stage.goes_on().await?;
    }
    Ok(())
}

impl Brokers {
    async fn start() -> Result<Self> {
        let (kafka, mut nats) = (KafkaServer::start().await?, NatsServer::reserve()?);
        nats.start().await?;
        Ok(Self { kafka, nats })
    }

    async fn topic(&self) -> Result<kafka::Topic> {
        kafka::Topic::create_at(self.kafka.broker(), "piped", PARTITIONS).await
    }

    async fn stream(&self) -> Result<nats::Stream> {
        nats::Stream::create_at(&self.nats.url(), "piped").await
    }

    async fn stream_of_batches(&self) -> Result<nats::Stream> {
        let stream = self.stream().await?;
        let context = jetstream::new(async_nats::connect(stream.server()).await?);
        let mut config = context.get_stream(stream.name()).await?.cached_info().config.clone();
        config.allow_atomic_publish = true;
        context.update_stream(config).await?;
        Ok(stream)
    }
}

impl Victim {
    fn name(self) -> &'static str {
        match self {
            Self::Pipe => "the pipe",
            Self::Kafka => "Kafka",
            Self::Nats => "nats-server",
        }
    }
}
