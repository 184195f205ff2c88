//! `tidewater pipe` between real brokers: every message arrives, in its order, and a pipe that was stopped or killed goes on.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::HashMap, time::Duration};

use anyhow::{Result, ensure};
use tidewater_tests::{Pipe, Record, eventually, kafka, nats};
use tokio::time::sleep;

const PARTITIONS: u32 = 4;

/// `PARTITION-NUMBER`
fn lines(partition: u32, numbers: std::ops::Range<u64>) -> impl Iterator<Item = (String, String)> {
    numbers.map(move |number| (format!("key {partition}"), format!("{partition}-{number}")))
}

/// Of each partition all of these, in their order, and each once.
fn in_order(payloads: &[String], partitions: u32, count: u64) -> Result<()> {
    let mut next = HashMap::new();
    for payload in payloads {
        let (partition, number) = payload.split_once('-').unwrap();
        let (partition, number): (u32, u64) = (partition.parse()?, number.parse()?);
        let expected = next.entry(partition).or_insert(0);
        ensure!(number == *expected, "{payload} comes where {partition}-{expected} should");
        *expected += 1;
    }
    for partition in 0..partitions {
        let got = next.get(&partition).copied().unwrap_or(0);
        ensure!(got == count, "{got} of {count} messages of partition {partition}");
    }
    Ok(())
}

/// Of each partition all of these. What comes again comes from somewhere before on.
fn at_least(payloads: &[String], partitions: u32, count: u64) -> Result<()> {
    let mut first = Vec::new();
    let mut seen = HashMap::new();
    for payload in payloads {
        let (partition, number) = payload.split_once('-').unwrap();
        let (partition, number): (u32, u64) = (partition.parse()?, number.parse()?);
        let next = seen.entry(partition).or_insert(0);
        if number >= *next {
            *next = number + 1;
            first.push(payload.clone());
        }
    }
    in_order(&first, partitions, count)
}

async fn stored(stream: &nats::Stream) -> Result<Vec<String>> {
    let messages = stream.messages().await?;
    messages.into_iter().map(|message| Ok(String::from_utf8(message.payload)?)).collect()
}

async fn produced(topic: &kafka::Topic) -> Result<Vec<String>> {
    Ok(topic.consume_all(0).await?.into_iter().map(|(_, _, payload)| payload).collect())
}

#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn a_pipe_takes_kafka_into_jetstream() -> Result<()> {
    let topic = kafka::Topic::create("pipe", PARTITIONS).await?;
    let stream = nats::Stream::create("pipe").await?;
    for partition in 0..PARTITIONS {
        topic.produce_keyed(partition, lines(partition, 0..250)).await?;
    }
    let pipe = Pipe::new(&topic.url(), &stream.url())?.args(["--until-caught-up"]);
    let output = pipe.run().await?;
    ensure!(output.starts_with("exactly once: ") && output.contains("caught up: 1,000 messages"), "{output}");
    in_order(&stored(&stream).await?, PARTITIONS, 250)?;
    let first = stream.message(1).await?;
    ensure!(first.header("tidewater-key").is_some_and(|key| key.starts_with("key ")), "{first:?}");
    // Nothing comes again, and what is new does.
    ensure!(pipe.run().await?.contains("caught up: 0 messages"));
    for partition in 0..PARTITIONS {
        topic.produce_keyed(partition, lines(partition, 250..300)).await?;
    }
    ensure!(pipe.run().await?.contains("caught up: 200 messages"));
    in_order(&stored(&stream).await?, PARTITIONS, 300)?;
    let told = pipe.checkpointed()?;
    ensure!(told["messages"] == 1_200 && told["complete"] == true, "{told}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn a_pipe_takes_jetstream_into_kafka() -> Result<()> {
    let stream = nats::Stream::create("pipe").await?;
    let topic = kafka::Topic::create("pipe", 1).await?;
    let mut producer = stream.producer().await?;
    let payloads =
        |numbers: std::ops::Range<u64>| numbers.map(|number| format!("0-{number}")).collect::<Vec<_>>();
    producer.store(&stream.subject(), &[], &payloads(0..500)).await?;
    let headers = [("trace".to_owned(), "7".to_owned()), ("tidewater-key".to_owned(), "ada".to_owned())];
    producer.store(&stream.subject(), &headers, &["0-500"]).await?;
    let pipe = Pipe::new(&stream.url(), &topic.url())?.args(["--until-caught-up"]);
    pipe.run().await?;
    let messages = topic.consume_all(0).await?;
    ensure!(
        messages.last().unwrap() == &("ada".to_owned(), "trace=7".to_owned(), "0-500".to_owned()),
        "{messages:?}"
    );
    in_order(&produced(&topic).await?, 1, 501)?;
    producer.store(&stream.subject(), &[], &payloads(501..600)).await?;
    pipe.run().await?;
    in_order(&produced(&topic).await?, 1, 600)
}

/// What a Kafka topic has that a stream has not: tombstones, keys without a payload; and binary payloads stay as they are.
#[tokio::test]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_pipe_leaves_messages_as_they_are() -> Result<()> {
    let (from, to) = (kafka::Topic::create("pipe", 1).await?, kafka::Topic::create("pipe", 1).await?);
    let tombstone = Record { key: Some("gone"), headers: Vec::new(), payload: None };
    from.produce_record(0, &Record::new("a\nb\u{7f}").header("x", "1").header("x", "2")).await?;
    from.produce_record(0, &tombstone).await?;
    Pipe::new(&from.url(), &to.url())?.args(["--until-caught-up"]).run().await?;
    let (before, after) = (from.consume_all(0).await?, to.consume_all(0).await?);
    ensure!(before.len() == 2 && before == after, "{before:?} became {after:?}");
    Ok(())
}

/// It follows, ends when it is asked, and nobody else takes its checkpoint meanwhile.
#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn a_pipe_follows_until_it_is_asked_to_end() -> Result<()> {
    let topic = kafka::Topic::create("pipe", 1).await?;
    let stream = nats::Stream::create("pipe").await?;
    let builder = Pipe::new(&topic.url(), &stream.url())?;
    let pipe = builder.start()?;
    pipe.until_written("checkpoint").await?;
    for part in 0..5 {
        topic.produce_keyed(0, lines(0, part * 20..(part + 1) * 20)).await?;
        sleep(Duration::from_millis(50)).await;
    }
    eventually("all messages", || async { in_order(&stored(&stream).await?, 1, 100) }).await?;
    let (status, output) = builder.start()?.wait().await?;
    ensure!(
        status.code() == Some(1) && output.contains("another pipe has the checkpoint"),
        "{status}: {output}"
    );
    pipe.terminate()?;
    let (status, output) = pipe.wait().await?;
    ensure!(status.code() == Some(0) && output.contains("stopped: 100 messages"), "{status}: {output}");
    // Another pipe's checkpoint is left alone.
    let other = Pipe::new(&topic.url(), &nats::Stream::create("pipe").await?.url())?;
    std::fs::copy(builder.checkpoint(), other.checkpoint())?;
    let (status, output) = other.start()?.wait().await?;
    ensure!(status.code() == Some(2) && output.contains("is that of another pipe"), "{status}: {output}");
    ensure!(other.checkpointed()? == builder.checkpointed()?);
    topic.produce_keyed(0, lines(0, 100..120)).await?;
    builder.clone().args(["--until-caught-up"]).run().await?;
    in_order(&stored(&stream).await?, 1, 120)
}

/// Killed again and again without the sink's position: everything is there, and what comes twice is what was written last.
#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn a_pipe_that_is_killed_loses_nothing() -> Result<()> {
    let topic = kafka::Topic::create("pipe", PARTITIONS).await?;
    let stream = nats::Stream::create("pipe").await?;
    for partition in 0..PARTITIONS {
        topic.produce_keyed(partition, lines(partition, 0..400)).await?;
    }
    let builder = Pipe::new(&topic.url(), &stream.url())?.args(["--at-least-once"]);
    for wait in [200, 400, 600] {
        let pipe = builder.start()?;
        pipe.until_written("at least once").await?;
        sleep(Duration::from_millis(wait)).await;
        pipe.kill().await?;
    }
    builder.args(["--until-caught-up"]).run().await?;
    at_least(&stored(&stream).await?, PARTITIONS, 400)
}

/// What retention has taken is told, and passed over if that is wanted.
#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn a_pipe_tells_what_is_missing() -> Result<()> {
    let topic = kafka::Topic::create("pipe", 1).await?;
    let stream = nats::Stream::create("pipe").await?;
    topic.produce_keyed(0, lines(0, 0..10)).await?;
    let builder = Pipe::new(&topic.url(), &stream.url())?.args(["--until-caught-up"]);
    builder.run().await?;
    topic.produce_keyed(0, lines(0, 10..30)).await?;
    topic.forget_before(0, 20).await?;
    let (status, output) = builder.start()?.wait().await?;
    ensure!(status.code() == Some(1) && output.contains("the offsets 10 to 19 (10)"), "{status}: {output}");
    let output = builder.clone().args(["--skip-gaps"]).run().await?;
    ensure!(output.contains("10 messages") && output.contains("1 gap"), "{output}");
    topic.recreate().await?;
    let (status, output) = builder.start()?.wait().await?;
    ensure!(status.code() == Some(1) && output.contains("made again"), "{status}: {output}");
    ensure!(stored(&stream).await?.len() == 20);
    Ok(())
}
