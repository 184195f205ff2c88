//! What is wrong from outside: an error that a person can act on, or the behaviour of the design. Never a panic, a
//! hang or a silent loss.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidewater_core::{Cursor, Epoch, TopicTag};
use tidewater_tests::{
    Broker, Feed, Gateway, NatsServer, SseClient, eventually, free_port, http, kafka, nats,
};
use tokio::net::TcpListener;

const PATH: &str = "/channels/feed";
const SERVERS: [&str; 4] = ["hyper", "warp", "rocket", "salvo"];

/// Starts a gateway that can't start; gives its exit code and what it wrote.
async fn refused(channel: &str) -> Result<(Option<i32>, String)> {
    let args = ["--channel".to_owned(), channel.to_owned()];
    let mut gateway = Gateway::new("hyper").args(args).spawn()?;
    let status = gateway.wait().await?;
    Ok((status.code(), gateway.output()))
}

#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn malformed_urls_say_what_is_wrong() -> Result<()> {
    for (channel, told) in [
        ("feed=orders", &["orders", "scheme"][..]),
        ("feed=kafka://127.0.0.1:9092", &["kafka://", "topic"]),
        ("feed=kafka:///orders", &["kafka://", "broker"]),
        ("feed=kafka://127.0.0.1:9092/orders?auto.offset.reset=latest", &["auto.offset.reset"]),
        ("feed=nats://127.0.0.1:4222/a..b", &["a..b", "subject"]),
        ("feed=nats://127.0.0.1:4222/", &["subject"]),
        ("feed=jetstream://127.0.0.1:4222/", &["stream"]),
        ("feed=memory:feed?size=3", &["size", "events, bytes"]),
        ("orders", &["--channel orders=kafka://"]),
        ("a/b=memory:", &["a/b"]),
    ] {
        let (code, wrote) = refused(channel).await?;
        ensure!(
            matches!(code, Some(1 | 2)),
            "--channel {channel}: exit code {code:?}, and it wrote:\n{wrote}"
        );
        for word in told {
            let (wrote, word) = (wrote.to_lowercase(), word.to_lowercase());
            ensure!(wrote.contains(&word), "--channel {channel}: no {word:?} in:\n{wrote}");
        }
        ensure!(!wrote.contains("panicked"), "{wrote}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn an_unknown_scheme_lists_those_there_are() -> Result<()> {
    let (code, wrote) = refused("feed=kafak://127.0.0.1:9092/orders").await?;
    ensure!(matches!(code, Some(1 | 2)), "exit code {code:?}");
    for word in ["kafak", "kafka", "nats", "jetstream", "memory"] {
        ensure!(wrote.contains(word), "no {word:?} in:\n{wrote}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn an_unknown_channel_is_404_and_lists_those_there_are() -> Result<()> {
    for server in SERVERS {
        let gateway = Gateway::new(server).channel("feed", "memory:").start().await?;
        for path in ["/channels/fed", "/channels/", "/channels/feed/x", "/chanels/feed"] {
            let answer = http::get(gateway.address(), path).await?;
            ensure!(answer.status == 404, "{server}: {path}: {answer:?}");
        }
        let answer = http::get(gateway.address(), "/channels/fed").await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(text.contains("fed") && text.contains("feed"), "{server}: {text}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn a_port_in_use_is_an_error_with_a_code_of_its_own() -> Result<()> {
    for server in SERVERS {
        let port = free_port()?;
        let _taken = TcpListener::bind(("127.0.0.1", port)).await?;
        let mut gateway = Gateway::new(server).channel("feed", "memory:").port(port).spawn()?;
        let (status, wrote) = (gateway.wait().await?, gateway.output());
        ensure!(status.code() == Some(3), "{server}: {status}, and it wrote:\n{wrote}");
        ensure!(wrote.contains(&port.to_string()), "{server}: {wrote}");
    }
    Ok(())
}

/// 413, and the channel goes on.
#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn a_body_over_the_limit_is_413() -> Result<()> {
    for server in SERVERS {
        let gateway = Gateway::new(server).channel("feed", "memory:").start().await?;
        gateway.until_live().await?;
        let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
        client.expect_start().await?;
        let answer = http::post(gateway.address(), PATH, &vec![b'x'; 32 << 20]).await?;
        ensure!(answer.status == 413, "{server}: {}", answer.status);
        let answer = http::post(gateway.address(), PATH, b"small").await?;
        ensure!(answer.status == 202, "{server}: {answer:?}");
        let event = client.expect_shown().await?;
        ensure!(event.data == "small", "{server}: {event:?}");
    }
    Ok(())
}

/// I3 and I10: whatever an id is, the answer is 200 and a stream that goes on behind a gap.
#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn ids_that_are_unreadable_forged_or_ahead_are_a_gap() -> Result<()> {
    for (broker, kind) in
        [(Some(Broker::Kafka), "kafka"), (Some(Broker::JetStream), "jetstream"), (None, "memory")]
    {
        let feed = match broker {
            Some(broker) => Some(Feed::create(broker, "ids").await?),
            None => None,
        };
        let url = feed.as_ref().map_or("memory:".to_owned(), Feed::url);
        let gateway = Gateway::new("hyper").channel("feed", &url).allow_publish("feed").start().await?;
        gateway.until_live().await?;
        for n in 1..=3 {
            let answer = http::post(gateway.address(), PATH, format!("before {n}").as_bytes()).await?;
            ensure!(answer.status == 202, "{answer:?}");
        }
        let id = current_id(&gateway, |id| !id.is_empty()).await?;
        let ids = Ids::from(&id)?;
        let long = "A".repeat(4_000);
        let mut number = 0;
        for (id, reason) in [
            ("7", "unreadable"),
            ("not an id", "unreadable"),
            ("%00%0d%0adata: x", "unreadable"),
            ("AQ==", "unreadable"),
            (&long, "unreadable"),
            (&ids.other_epoch, "epoch"),
            (&ids.ahead, "ahead"),
            (&ids.far_ahead, "ahead"),
        ] {
            let what = format!("{kind}: the id {id:.60}");
            let mut client = SseClient::connect(gateway.address(), PATH, Some(id)).await?;
            ensure!(client.status() == 200, "{what}: status {}", client.status());
            let gap = first_shown(&mut client).await.with_context(|| what.clone())?;
            ensure!(gap["reason"] == reason, "{what}: {gap}");
            number += 1;
            let text = format!("after {number}");
            let answer = http::post(gateway.address(), PATH, text.as_bytes()).await?;
            ensure!(answer.status == 202, "{answer:?}");
            // An incarnation that begins afresh begins at its start: what was there before may come first.
            loop {
                let event = client.expect_shown().await.with_context(|| what.clone())?;
                ensure!(event.event_type == "message", "{what}: {event:?}");
                if event.data == text {
                    break;
                }
            }
        }
        // Topics that the channel hasn't got are ignored: no gap.
        let mut client = SseClient::connect(gateway.address(), PATH, Some(&ids.other_topic)).await?;
        client.expect_start().await?;
        let answer = http::post(gateway.address(), PATH, b"the last").await?;
        ensure!(answer.status == 202, "{answer:?}");
        let event = client.expect_shown().await?;
        ensure!((&*event.event_type, &*event.data) == ("message", "the last"), "{kind}: {event:?}");
    }
    Ok(())
}

/// Ids that no honest client has.
struct Ids {
    other_epoch: String,
    other_topic: String,
    ahead: String,
    far_ahead: String,
}

impl Ids {
    fn from(id: &str) -> Result<Self> {
        let id: Cursor = id.parse()?;
        let topic = id.topics().first().context("no topic")?.clone();
        let with = |change: &dyn Fn(&mut Cursor)| {
            let mut changed = id.clone();
            change(&mut changed);
            changed.to_string()
        };
        let (tag, epoch, next) = (topic.tag, topic.epoch, topic.offset(0));
        Ok(Self {
            other_epoch: with(&|id| id.raise(tag, Epoch(12345).tag(), 0, 1)),
            other_topic: with(&|id| {
                id.remove(tag);
                id.raise(TopicTag(tag.0 ^ 1), epoch, 0, 1);
            }),
            ahead: with(&|id| id.raise(tag, epoch, 0, next + 1_000)),
            far_ahead: with(&|id| id.raise(tag, epoch, 0, u64::MAX)),
        })
    }
}

/// The channel's cursor, by `Accept: application/json`'s header, once it is as wanted.
async fn current_id(gateway: &Gateway, wanted: impl Fn(&str) -> bool) -> Result<String> {
    eventually("the channel's cursor", || async {
        let answer = http::request(gateway.address(), "HEAD", PATH, &[], b"").await?;
        let id = answer.header("tidewater-cursor").unwrap_or_default();
        ensure!(answer.status == 200 && wanted(id), "{answer:?}");
        Ok(id.to_owned())
    })
    .await
}

/// The gap that a stream tells.
async fn first_shown(client: &mut SseClient) -> Result<Value> {
    let gap = client.expect_shown().await?;
    ensure!(gap.event_type == "tidewater.gap", "{gap:?}");
    Ok(serde_json::from_str(&gap.data)?)
}

/// `ready` stays 200 and names what is down; the channel comes alive when its broker does. Meanwhile I10.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_broker_that_is_not_there_at_start_is_tried_again() -> Result<()> {
    for scheme in ["nats", "jetstream"] {
        let mut server = NatsServer::reserve()?;
        let stream = nats::Stream::absent_at(&server.url(), "late");
        let url =
            if scheme == "nats" { format!("{}/{}", server.url(), stream.subject()) } else { stream.url() };
        let gateway = Gateway::new("hyper").channel("feed", &url).channel("other", "memory:").start().await?;
        let told = degraded(&gateway).await?;
        ensure!(told["channels"]["other"]["upstream"] == "live", "{told}");
        comes_back(&gateway).await?;

        server.start().await?;
        if scheme == "jetstream" {
            stream.make().await?;
        }
        gateway.until_live().await?;
        exchange(&gateway, &stream).await.with_context(|| gateway.output())?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn an_unreachable_kafka_is_named_and_streams_are_told_to_come_back() -> Result<()> {
    let url = format!("kafka://127.0.0.1:{}/orders", free_port()?);
    let gateway = Gateway::new("warp").channel("feed", &url).start().await?;
    degraded(&gateway).await?;
    comes_back(&gateway).await
}

/// A topic or stream that does not exist (yet) is told, and read as soon as it is there.
#[tokio::test]
#[ignore = "needs Kafka and NATS: run cargo xtask test"]
async fn a_topic_that_does_not_exist_is_told_and_read_once_it_does() -> Result<()> {
    let topic = kafka::Topic::absent("absent", 1)?;
    let stream = nats::Stream::absent_at(&tidewater_tests::env::nats()?, "absent");
    for feed in [Feed::Kafka(topic), Feed::JetStream(stream)] {
        let gateway = Gateway::new("hyper").channel("feed", &feed.url()).start().await?;
        let told = degraded(&gateway).await?;
        let name = match &feed {
            Feed::Kafka(topic) => topic.name(),
            Feed::JetStream(stream) => stream.name(),
            Feed::Nats(subject) => subject.name(),
        };
        let error = told["channels"]["feed"]["error"].as_str().context("no error")?;
        ensure!(error.contains(name), "{name:?} is not in {error:?}");
        comes_back(&gateway).await?;
        match &feed {
            Feed::Kafka(topic) => topic.make().await?,
            Feed::JetStream(stream) => stream.make().await?,
            Feed::Nats(_) => {}
        }
        gateway.until_live().await?;
        let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
        client.expect_start().await?;
        feed.produce(["first"]).await?;
        let event = client.expect_shown().await?;
        ensure!((&*event.event_type, &*event.data) == ("message", "first"), "{event:?}");
    }
    Ok(())
}

/// The stream stays open, and goes on exactly where it was (I10, I1).
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_broker_that_is_lost_leaves_streams_open() -> Result<()> {
    let mut server = NatsServer::reserve()?;
    server.start().await?;
    let stream = nats::Stream::create_at(&server.url(), "lost").await?;
    let gateway = Gateway::new("hyper").channel("feed", &stream.url()).start().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    let told = async {
        let mut number = 0;
        for round in 0..3 {
            if round > 0 {
                server.kill().await?;
                degraded(&gateway).await?;
                ensure!(gateway.ready().await?.0 == 200, "ready is not 200");
                server.start().await?;
                if round == 2 {
                    gateway.until_live().await?;
                }
            }
            let lines: Vec<String> = (number..number + 20).map(|n| n.to_string()).collect();
            stream.producer().await?.store(&stream.subject(), &[], &lines).await?;
            for line in &lines {
                let event = client.expect_shown().await?;
                ensure!((&*event.event_type, &event.data) == ("message", line), "{event:?}, not {line}");
            }
            number += 20;
        }
        Ok(())
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

/// At most once: what was published while the connection was down is told as a gap, and the stream stays open.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_core_nats_server_that_is_lost_is_told_as_a_gap() -> Result<()> {
    let mut server = NatsServer::reserve()?;
    server.start().await?;
    let gateway = Gateway::new("hyper").channel("feed", &format!("{}/lost", server.url())).start().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    let told = async {
        publish(&server, "before").await?;
        ensure!(client.expect_shown().await?.data == "before", "another message");
        server.kill().await?;
        degraded(&gateway).await?;
        server.start().await?;
        gateway.until_live().await?;
        publish(&server, "after").await?;
        let mut events = vec![client.expect_shown().await?];
        while events.last().is_some_and(|event| event.data != "after") {
            events.push(client.expect_shown().await?);
        }
        let gaps = events.iter().filter(|event| event.event_type == "tidewater.gap").count();
        ensure!(gaps == 1 && events.len() == 2, "not one gap: {events:?}");
        Ok(())
    };
    told.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

/// I9: every stream ends in order within the deadline, each told when to come back; then the process ends.
#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn sigterm_drains_open_streams() -> Result<()> {
    for server in SERVERS {
        let mut gateway = Gateway::new(server).channel("feed", "memory:").start().await?;
        gateway.until_live().await?;
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
            client.expect_start().await?;
            clients.push(client);
        }
        http::post(gateway.address(), PATH, b"the last").await?;
        for client in &mut clients {
            let event = client.expect_shown().await.context(server)?;
            ensure!(event.data == "the last", "{server}: {event:?}");
        }
        gateway.terminate()?;
        let mut retries = Vec::new();
        for client in &mut clients {
            let events = client.expect_end().await.context(server)?;
            ensure!(
                events.iter().all(|event| event.event_type == "tidewater.cursor"),
                "{server}: {events:?}"
            );
            retries.push(client.retry().context("no retry")?);
        }
        let status = gateway.wait().await?;
        ensure!(status.success(), "{server}: {status}, and it wrote:\n{}", gateway.output());
        ensure!(retries.iter().all(|retry| *retry >= Duration::from_millis(500)), "{server}: {retries:?}");
        retries.sort_unstable();
        retries.dedup();
        ensure!(retries.len() > 1, "{server}: all come back at the same time: {retries:?}");
    }
    Ok(())
}

/// Waits until `ready` says 200 and that the channel is degraded, and why.
async fn degraded(gateway: &Gateway) -> Result<Value> {
    eventually("the channel to be told as degraded", || async {
        let (status, told) = gateway.ready().await?;
        ensure!(status == 200, "{status}: {told}");
        let listed = told["degraded"].as_array().is_some_and(|names| names.iter().any(|name| name == "feed"));
        ensure!(told["status"] == "degraded" && listed, "{told}");
        ensure!(told["channels"]["feed"]["error"].is_string(), "{told}");
        Ok(told)
    })
    .await
    .with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

/// I10: before the channel has a position, 200, `retry:`, and the end.
async fn comes_back(gateway: &Gateway) -> Result<()> {
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    ensure!(client.status() == 200, "status {}", client.status());
    let events = client.expect_end().await?;
    ensure!(events.is_empty(), "{events:?}");
    ensure!(client.retry() >= Some(Duration::from_millis(500)), "retry {:?}", client.retry());
    Ok(())
}

/// A message through a subject, to see that the channel is alive.
async fn exchange(gateway: &Gateway, stream: &nats::Stream) -> Result<()> {
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    let mut producer = stream.producer().await?;
    producer.publish(&stream.subject(), &[], b"here").await?;
    producer.flush().await?;
    let event = client.expect_shown().await?;
    ensure!((&*event.event_type, &*event.data) == ("message", "here"), "{event:?}");
    Ok(())
}

async fn publish(server: &NatsServer, text: &str) -> Result<()> {
    let mut producer = tidewater_tests::NatsProducer::connect(&server.url()).await?;
    producer.publish("lost", &[], text.as_bytes()).await?;
    producer.flush().await
}
