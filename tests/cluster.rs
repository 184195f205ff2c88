//! A Kafka of several brokers, of which one is gone: nothing is lost while another leads (I1), and what a cluster has
//! lost itself is told.

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Gateway, KafkaCluster, Offset, Oracle, SseClient, heavy, kafka::Topic};

const EARLIEST: &str = "?since=earliest";

/// Each broker dies once, whatever it was for the gateway: a leader, the one it asked its questions, its bootstrap.
/// While it is down an open stream goes on, and what only the brokers have still comes to a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn each_broker_can_be_done_without() -> Result<()> {
    let _alone = heavy().await;
    let mut cluster = KafkaCluster::start().await?;
    let replicas: [&[i32]; 3] = [&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]];
    let topic = cluster.topic("outlived", &replicas, &[("min.insync.replicas", "2")]).await?;
    let mut ends = [0; 3];
    produce(&topic, &mut ends, 50).await?;

    // One channel for each round: what a channel has read from the brokers once, it needn't ask for again.
    let channels = ["one", "two", "three"];
    let mut gateway = Gateway::new("hyper");
    for channel in channels {
        gateway = gateway.channel(channel, &topic.url());
    }
    let gateway = gateway.start().await?;
    gateway.until_live().await?;
    let open = format!("/channels/one{EARLIEST}");
    let mut open = Client {
        oracle: Oracle::new(3, 0),
        stream: SseClient::connect(gateway.address(), &open, None).await?,
    };
    open.reach(&ends).await?;

    for (number, channel) in (1..).zip(channels) {
        cluster.kill(number)?;
        for partition in 0..3 {
            cluster.until_led(&topic, partition, |leader| leader != number).await?;
        }
        produce(&topic, &mut ends, 50).await?;
        let context = || format!("while broker {number} is down; the gateway wrote:\n{}", gateway.output());
        open.reach(&ends).await.with_context(context)?;
        let path = format!("/channels/{channel}{EARLIEST}");
        let stream = SseClient::connect(gateway.address(), &path, None).await?;
        Client { oracle: Oracle::new(3, 0), stream }.reach(&ends).await.with_context(context)?;
        cluster.restart(number)?;
        cluster.until_in_sync(&topic, 3).await?;
    }
    Ok(())
}

/// A broker that lags becomes the leader, and what it hasn't got is gone: the stream ends, and its client is told when it
/// comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn what_an_unclean_election_lost_is_told() -> Result<()> {
    let _alone = heavy().await;
    let mut cluster = KafkaCluster::start().await?;
    let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
    let topic = cluster.topic("unclean", &[&[1, 2]], &settings).await?;
    let gateway = Gateway::new("hyper").channel("feed", &topic.url()).start().await?;
    gateway.until_live().await?;
    let mut stream = SseClient::connect(gateway.address(), "/channels/feed", None).await?;
    stream.expect_start().await?;
    topic.produce(0, texts("kept", 10)).await?;
    expect(&mut stream, texts("kept", 10)).await?;

    cluster.kill(2)?;
    cluster.until_in_sync(&topic, 1).await?;
    topic.produce(0, texts("lost", 10)).await?;
    expect(&mut stream, texts("lost", 10)).await?;
    cluster.kill(1)?;
    cluster.restart(2)?;
    cluster.until_led(&topic, 0, |leader| leader == 2).await?;

    let id = stream.last_event_id().context("no id")?.to_owned();
    stream.expect_end().await.with_context(|| gateway.output())?;
    let mut stream = SseClient::connect(gateway.address(), "/channels/feed", Some(&id)).await?;
    let gap = stream.expect_shown().await.with_context(|| gateway.output())?;
    ensure!(gap.event_type == "tidewater.gap" && gap.data.contains("\"ahead\""), "{gap:?}");
    topic.produce(0, texts("new", 30)).await?;
    expect(&mut stream, texts("new", 30)).await
}

fn texts(base: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{base} {number}")).collect()
}

async fn expect(stream: &mut SseClient, texts: Vec<String>) -> Result<()> {
    for text in texts {
        let event = stream.expect_shown().await?;
        ensure!((&*event.event_type, &*event.data) == ("message", &*text), "{event:?} instead of {text:?}");
    }
    Ok(())
}

/// So many messages more in each partition, each of which says where it stands.
async fn produce(topic: &Topic, ends: &mut [u64], count: u64) -> Result<()> {
    for (partition, end) in (0..).zip(ends) {
        let lines: Vec<String> = (*end..*end + count).map(|at| Offset(partition, at).into()).collect();
        topic.produce(partition, lines).await?;
        *end += count;
    }
    Ok(())
}

struct Client {
    stream: SseClient,
    oracle: Oracle,
}

impl Client {
    async fn reach(&mut self, ends: &[u64]) -> Result<()> {
        while !self.oracle.has_reached(ends) {
            self.oracle.take(&self.stream.expect().await?)?;
        }
        Ok(())
    }
}
