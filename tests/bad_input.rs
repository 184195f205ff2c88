//! What is wrong from outside: an error that a person can act on, or the behaviour of the design. Never a panic, a
//! hang or a silent loss.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidewater_core::{Cursor, Epoch, TopicTag};
use tidewater_tests::{Broker, Feed, Gateway, SseClient, eventually, free_port, http};
use tokio::net::TcpListener;

const PATH: &str = "/channels/feed";
const SERVERS: [&str; 5] = ["direct", "hyper", "warp", "rocket", "salvo"];

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
        let absent = |scheme, built: bool| !built && channel.starts_with(scheme);
        if absent("feed=kafka:", cfg!(feature = "kafka"))
            || absent("feed=nats:", cfg!(feature = "nats"))
            || absent("feed=jetstream:", cfg!(feature = "nats"))
        {
            continue;
        }
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
    let mut words = vec!["kafak", "memory"];
    words.extend(cfg!(feature = "kafka").then_some("kafka"));
    words.extend(cfg!(feature = "nats").then_some(["nats", "jetstream"]).into_iter().flatten());
    for word in words {
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
