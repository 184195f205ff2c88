//! What a page gets: the browser's own `EventSource`, through every web server, over a gateway that is killed.
//!
//! `TIDEWATER_REPEAT=20` runs each twenty times in a row.

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidewater_tests::{
    Broker, Case, Feed, Gateway,
    browser::{Browser, Page},
    heavy, http, repeat,
};

/// For one browser: a name for the test, what it does and a web server for each.
macro_rules! pages {
    ($browser:ident: $($name:ident: $test:ident, $server:literal, $needs:literal;)*) => {
        mod $browser {
            use super::*;

            $(
                #[tokio::test]
                #[ignore = $needs]
                async fn $name() -> Result<()> {
                    let _alone = heavy().await;
                    let browser = Browser::$browser().start().await?;
                    for round in 1..=repeat() {
                        let done: Result<()> = $test(&browser, $server).await;
                        done.with_context(|| format!("round {round}"))?;
                        let name = concat!(stringify!($browser), "::", stringify!($name));
                        println!("round {round} of {}: {name} passed", repeat());
                    }
                    Ok(())
                }
            )*
        }
    };
}

pages! { chromium:
    kafka_payloads: payloads, "direct", "needs Kafka and Chromium: run cargo xtask test";
    kafka_through_direct: kafka, "direct", "needs Kafka and Chromium: run cargo xtask test";
    kafka_through_hyper: kafka, "hyper", "needs Kafka and Chromium: run cargo xtask test";
    kafka_through_warp: kafka, "warp", "needs Kafka and Chromium: run cargo xtask test";
    kafka_through_rocket: kafka, "rocket", "needs Kafka and Chromium: run cargo xtask test";
    kafka_through_salvo: kafka, "salvo", "needs Kafka and Chromium: run cargo xtask test";
    jetstream_through_direct: jetstream, "direct", "needs NATS and Chromium: run cargo xtask test";
    jetstream_through_hyper: jetstream, "hyper", "needs NATS and Chromium: run cargo xtask test";
    jetstream_through_warp: jetstream, "warp", "needs NATS and Chromium: run cargo xtask test";
    jetstream_through_rocket: jetstream, "rocket", "needs NATS and Chromium: run cargo xtask test";
    jetstream_through_salvo: jetstream, "salvo", "needs NATS and Chromium: run cargo xtask test";
    compressed_with_gzip: gzip, "hyper", "needs NATS and Chromium: run cargo xtask test";
    compressed_with_zstd: zstd, "direct", "needs NATS and Chromium: run cargo xtask test";
    nats_through_direct: nats, "direct", "needs NATS and Chromium: run cargo xtask test";
    nats_through_hyper: nats, "hyper", "needs NATS and Chromium: run cargo xtask test";
    nats_through_warp: nats, "warp", "needs NATS and Chromium: run cargo xtask test";
    nats_through_rocket: nats, "rocket", "needs NATS and Chromium: run cargo xtask test";
    nats_through_salvo: nats, "salvo", "needs NATS and Chromium: run cargo xtask test";
    memory_through_direct: memory, "direct", "needs Chromium: run cargo xtask test";
    memory_through_hyper: memory, "hyper", "needs Chromium: run cargo xtask test";
    memory_through_warp: memory, "warp", "needs Chromium: run cargo xtask test";
    memory_through_rocket: memory, "rocket", "needs Chromium: run cargo xtask test";
    memory_through_salvo: memory, "salvo", "needs Chromium: run cargo xtask test";
}

// What differs from browser to browser does not from one framework to the next: each way of writing a stream once.
pages! { firefox:
    kafka_payloads: payloads, "direct", "needs Kafka and Firefox: run cargo xtask test";
    kafka_through_direct: kafka, "direct", "needs Kafka and Firefox: run cargo xtask test";
    kafka_through_hyper: kafka, "hyper", "needs Kafka and Firefox: run cargo xtask test";
    jetstream_through_direct: jetstream, "direct", "needs NATS and Firefox: run cargo xtask test";
    jetstream_through_hyper: jetstream, "hyper", "needs NATS and Firefox: run cargo xtask test";
    compressed_with_gzip: gzip, "hyper", "needs NATS and Firefox: run cargo xtask test";
    compressed_with_zstd: zstd, "direct", "needs NATS and Firefox: run cargo xtask test";
    nats_through_direct: nats, "direct", "needs NATS and Firefox: run cargo xtask test";
    nats_through_hyper: nats, "hyper", "needs NATS and Firefox: run cargo xtask test";
    memory_through_direct: memory, "direct", "needs Firefox: run cargo xtask test";
    memory_through_hyper: memory, "hyper", "needs Firefox: run cargo xtask test";
}

async fn kafka(browser: &Browser, server: &str) -> Result<()> {
    exact(browser, server, Broker::Kafka).await
}

async fn jetstream(browser: &Browser, server: &str) -> Result<()> {
    exact(browser, server, Broker::JetStream).await
}

async fn gzip(browser: &Browser, server: &str) -> Result<()> {
    compressed(browser, server, "gzip").await
}

async fn zstd(browser: &Browser, server: &str) -> Result<()> {
    compressed(browser, server, "zstd").await
}

async fn exact(browser: &Browser, server: &str, broker: Broker) -> Result<()> {
    let feed = Feed::create(broker, "browser").await?;
    let gateway = Gateway::new(server).channel("feed", &feed.url()).start().await?;
    exact_over_a_kill(browser, gateway, &feed).await
}

/// What the browser asks for itself, and decodes.
async fn compressed(browser: &Browser, server: &str, encoding: &str) -> Result<()> {
    let feed = Feed::create(Broker::JetStream, "browser").await?;
    let gateway = Gateway::new(server).channel("feed", &feed.url());
    let gateway = gateway.args(["--compress".to_owned(), format!("feed={encoding}")]).start().await?;
    exact_over_a_kill(browser, gateway, &feed).await?;
    // Its `EventSource` does not tell; a `fetch` of the same page has the same `Accept-Encoding`.
    let used = browser.run("return window.encodings").await?;
    ensure!(used == json!([encoding]), "{used}");
    Ok(())
}

/// I1 where the source replays: 1..N, once each, in order, whatever happens to the gateway in between.
async fn exact_over_a_kill(browser: &Browser, mut gateway: Gateway, feed: &Feed) -> Result<()> {
    gateway.until_live().await?;
    let page = page(browser, &gateway).await?;
    let done = async {
        feed.produce(numbers(1, 60)).await?;
        page.until("events.length >= 30").await?;
        let burst = async {
            for from in (61..=181).step_by(20) {
                feed.produce(numbers(from, from + 19)).await?;
            }
            Ok(())
        };
        let killed = async {
            page.until("events.length >= 80").await?;
            gateway.kill().await
        };
        tokio::try_join!(burst, killed)?;
        feed.produce(numbers(201, 260)).await?;
        page.until("source.readyState === EventSource.CONNECTING").await?;
        gateway.restart().await?;
        feed.produce(numbers(261, 300)).await?;
        page.until("events.length >= 300").await?;
        // What would come twice would come before this.
        feed.produce(numbers(301, 301)).await?;
        page.until("events.at(-1)?.data === '301'").await
    };
    let done = done.await;
    let told = page.told().await?;
    done.with_context(|| format!("{told}\nthe gateway wrote:\n{}", gateway.output()))?;
    ensure!(told["data"] == json!(numbers(1, 301).collect::<Vec<_>>()), "not 1..301: {told}");
    ensure!(told["gaps"] == json!([]), "a gap: {told}");
    ensure!(told["opened"].as_u64() >= Some(2), "it did not reconnect: {told}");
    Ok(())
}

/// What the browser's own parser makes of payloads that are easily got wrong: exactly what they were.
async fn payloads(browser: &Browser, server: &str) -> Result<()> {
    let feed = Feed::create(Broker::Kafka, "browser").await?;
    let gateway = Gateway::new(server).channel("feed", &feed.url()).start().await?;
    gateway.until_live().await?;
    let page = page(browser, &gateway).await?;
    let cases = Case::all(Broker::Kafka);
    let names: Vec<&str> = cases.iter().map(|case| case.event).collect();
    let keep = format!(
        "window.kept = [];
         const keep = event => kept.push([event.type, event.data]);
         new Set({}).forEach(name => source.addEventListener(name, keep));",
        json!(names)
    );
    browser.run(&keep).await?;
    for case in &cases {
        feed.produce_record(&case.record).await.with_context(|| case.what)?;
    }
    let done = page.until("kept.at(-1)?.[1] === 'the last'").await;
    let kept = browser.run("return kept").await?;
    let kept = kept.as_array().context("no list")?;
    done.with_context(|| format!("{} of {} came", kept.len(), cases.len()))?;
    ensure!(kept.len() == cases.len(), "{} events of {} messages", kept.len(), cases.len());
    for (case, event) in cases.iter().zip(kept) {
        case.check(event[0].as_str().context("no name")?, event[1].as_str().context("no data")?)?;
    }
    Ok(())
}

async fn nats(browser: &Browser, server: &str) -> Result<()> {
    let feed = Feed::create(Broker::Nats, "browser").await?;
    let gateway = Gateway::new(server).channel("feed", &feed.url()).start().await?;
    one_gap(browser, gateway, &feed).await
}

async fn memory(browser: &Browser, server: &str) -> Result<()> {
    let gateway = Gateway::new(server).channel("feed", "memory:").start().await?;
    let posts = Posts(format!("{}", gateway.address()));
    one_gap(browser, gateway, &posts).await
}

/// I1 where the source can't replay: one gap of reason `epoch`, and exact on either side of it.
async fn one_gap(browser: &Browser, mut gateway: Gateway, to: &impl Produce) -> Result<()> {
    gateway.until_live().await?;
    let page = page(browser, &gateway).await?;
    let done = async {
        to.produce(1, 50).await?;
        page.until("events.length >= 50").await?;
        gateway.kill().await?;
        page.until("source.readyState === EventSource.CONNECTING").await?;
        gateway.restart().await?;
        gateway.until_live().await?;
        page.until("gaps.length > 0").await?;
        to.produce(51, 100).await?;
        page.until("events.at(-1)?.data === '100'").await?;
        // A reconnect to the same process is no reason for another gap.
        browser.run("reconnect()").await?;
        page.until("source.readyState === EventSource.OPEN").await?;
        to.produce(101, 101).await?;
        page.until("events.at(-1)?.data === '101'").await
    };
    let done = done.await;
    let told = page.told().await?;
    done.with_context(|| format!("{told}\nthe gateway wrote:\n{}", gateway.output()))?;
    ensure!(told["data"] == json!(numbers(1, 101).collect::<Vec<_>>()), "not 1..101: {told}");
    let gaps = told["gaps"].as_array().context("no list")?;
    ensure!(gaps.len() == 1, "not one gap: {told}");
    let gap: Value = serde_json::from_str(gaps[0].as_str().context("no text")?)?;
    ensure!(gap["reason"] == "epoch", "{gap}");
    Ok(())
}

/// What numbers are produced through.
trait Produce {
    async fn produce(&self, from: u32, to: u32) -> Result<()>;
}

impl Produce for Feed {
    async fn produce(&self, from: u32, to: u32) -> Result<()> {
        self.produce(numbers(from, to)).await
    }
}

/// `POST` to a memory channel.
struct Posts(String);

impl Produce for Posts {
    async fn produce(&self, from: u32, to: u32) -> Result<()> {
        for number in numbers(from, to) {
            let answer = http::post(self.0.parse()?, "/channels/feed", number.as_bytes()).await?;
            ensure!(answer.status == 202, "{answer:?}");
        }
        Ok(())
    }
}

fn numbers(from: u32, to: u32) -> impl Iterator<Item = String> {
    (from..=to).map(|number| number.to_string())
}

/// Any page of the gateway's would do: this one opens no stream of its own.
async fn page<'a>(browser: &'a Browser, gateway: &Gateway) -> Result<Page<'a>> {
    Page::open(browser.tab(), &gateway.url("/health/live"), "/channels/feed").await
}
