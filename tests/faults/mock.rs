//! Kafka's error codes that a real broker doesn't give on demand: librdkafka's mock cluster, of three brokers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::{
    mocking::MockCluster,
    types::{RDKafkaApiKey as Key, RDKafkaRespErr as Code},
};
use tidewater_tests::{Feed, eventually, heavy, kafka};
use tokio::time::sleep;

use crate::stage::{Plan, Stage};

/// What three requests are answered with instead.
const ANSWERS: &[(Key, Code)] = &[
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_INVALID_MSG),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_UNKNOWN),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART),
    (Key::Fetch, Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE),
    (Key::ListOffsets, Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
    (Key::ListOffsets, Code::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE),
    (Key::Metadata, Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE),
    (Key::Metadata, Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART),
    (Key::Metadata, Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
];

/// Every answer in turn; then a broker goes down and leaders move, and a broker is slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn a_cluster_answers_with_errors() -> Result<()> {
    let _alone = heavy().await;
    let mock = MockCluster::new(3)?;
    let topic = kafka::Topic::absent_at(&mock.bootstrap_servers(), "mock", 3);
    mock.create_topic(topic.name(), 3, 3)?;
    let name = topic.name().to_owned();
    let stage = Stage::new(Plan::new("Kafka (mock): error codes, leaders that move"), Feed::Kafka(topic), 3);
    let stage = stage.await.context("the gateway on the mock cluster")?;
    stage
        .play(async |stage| {
            for (key, code) in ANSWERS {
                mock.request_errors(*key, &[*code; 3]);
                // A partition that was answered so is asked about again after half a second.
                sleep(Duration::from_millis(600)).await;
                mock.clear_request_errors(*key);
            }
            // This one ends a subscription, and so it is seen that they arrive.
            let ends = || stage.gateway.output().matches("reading: TopicAuthorizationFailed").count();
            let before = ends();
            mock.request_errors(Key::Fetch, &[Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 3]);
            eventually("the gateway to be told that it may not", async || {
                ensure!(ends() > before, "it isn't");
                Ok(())
            })
            .await?;
            mock.clear_request_errors(Key::Fetch);
            for broker in 1..=3 {
                mock.broker_down(broker)?;
                for partition in 0..3 {
                    mock.partition_leader(&name, partition, Some(1 + (broker + partition) % 3))?;
                }
                sleep(Duration::from_millis(300)).await;
                mock.broker_up(broker)?;
            }
            mock.broker_round_trip_time(2, Duration::from_millis(700))?;
            sleep(Duration::from_millis(1_000)).await;
            mock.broker_round_trip_time(2, Duration::ZERO)?;
            Ok(())
        })
        .await
}
