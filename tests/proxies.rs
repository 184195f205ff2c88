//! What stands in front: nginx and HAProxy by the files of docs/proxies, from a page that outlives its gateway down to
//! single answers.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater_tests::{
    Broker, Feed, Gateway, GatewayBuilder, Make, PATIENCE, Proxy, ProxyBuilder, SseClient,
    browser::{Browser, BrowserBuilder, Page},
    eventually, free_port, heavy, http,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep, sleep_until, timeout},
};

const PATH: &str = "/channels/feed";
const STREAM: (&str, &str) = ("accept", "text/event-stream");

/// Each of these through both.
macro_rules! through_both {
    ($($test:ident)*) => {
        mod nginx {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs nginx: run cargo xtask test"]
                async fn $test() -> Result<()> {
                    super::$test(Make::Nginx).await
                }
            )*
        }

        mod haproxy {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs HAProxy: run cargo xtask test"]
                async fn $test() -> Result<()> {
                    super::$test(Make::HaProxy).await
                }
            )*
        }
    };
}

through_both! {
    what_it_says_itself_is_no_end
    an_event_comes_at_once
    a_quiet_stream_stays_open
    clients_are_told_apart
    a_unix_socket_will_do
    long_ids_are_answered
}

#[tokio::test]
#[ignore = "needs NATS, nginx and Chromium: run cargo xtask test"]
async fn chromium_outlives_the_gateway_behind_nginx() -> Result<()> {
    a_page_outlives_the_gateway(Browser::chromium(), Make::Nginx).await
}

#[tokio::test]
#[ignore = "needs NATS, HAProxy and Chromium: run cargo xtask test"]
async fn chromium_outlives_the_gateway_behind_haproxy() -> Result<()> {
    a_page_outlives_the_gateway(Browser::chromium(), Make::HaProxy).await
}

#[tokio::test]
#[ignore = "needs NATS, nginx and Firefox: run cargo xtask test"]
async fn firefox_outlives_the_gateway_behind_nginx() -> Result<()> {
    a_page_outlives_the_gateway(Browser::firefox(), Make::Nginx).await
}

#[tokio::test]
#[ignore = "needs NATS, HAProxy and Firefox: run cargo xtask test"]
async fn firefox_outlives_the_gateway_behind_haproxy() -> Result<()> {
    a_page_outlives_the_gateway(Browser::firefox(), Make::HaProxy).await
}

/// I1 and I10: two pages with a plain `EventSource`, one of the proxy's origin and one of another, whose gateway is killed for
/// half a minute while messages go on being published. Over TLS and HTTP/2, compressed.
async fn a_page_outlives_the_gateway(browser: BrowserBuilder, make: Make) -> Result<()> {
    let _alone = heavy().await;
    let browser = browser.accept_insecure_certs().start().await?;
    let port = free_port()?;
    let proxy = in_front(make, port).start().await?;
    let feed = Feed::create(Broker::JetStream, "proxies").await?;
    let args = ["--compress", "feed=zstd", "--cors-origin", &proxy.http()].map(str::to_owned);
    let gateway = Gateway::new("direct").channel("feed", &feed.url()).args(args).port(port);
    let mut gateway = gateway.start().await?;
    gateway.until_live().await?;

    // Any page of an origin would do: this one opens no stream of its own.
    let [same, other] = [proxy.https(), proxy.http()].map(|origin| origin + "/health/live");
    let stream = proxy.https() + PATH;
    let same = Page::open(browser.tab(), &same, &stream).await?;
    let used = "return [encodings, performance.getEntriesByType('navigation')[0].nextHopProtocol]";
    let used = browser.run(used).await?;
    ensure!(used == json!([["zstd"], "h2"]), "{used}");
    let other = Page::open(browser.open_tab().await?, &other, &stream).await?;

    let pages = [("of the same origin", same), ("of another origin", other)];
    let done = outage(&pages, &mut gateway, &feed).await;
    for (which, page) in &pages {
        let told = page.told().await?;
        let right = told["data"] == json!(numbers(1, 201).collect::<Vec<_>>()) && told["gaps"] == json!([]);
        ensure!(right && done.is_ok(), "{which}, not 1..201: {told}\n{done:?}\n{}", proxy.output());
    }
    Ok(())
}

async fn outage(pages: &[(&str, Page<'_>)], gateway: &mut Gateway, feed: &Feed) -> Result<()> {
    let all = async |condition| {
        for (which, page) in pages {
            page.until(condition).await.with_context(|| (*which).to_owned())?;
        }
        anyhow::Ok(())
    };
    feed.produce(numbers(1, 50)).await?;
    all("events.length >= 50").await?;
    gateway.kill().await?;
    let end = Instant::now() + Duration::from_secs(30);
    for number in 51..=150 {
        feed.produce(numbers(number, number)).await?;
        sleep(Duration::from_millis(250)).await;
    }
    sleep_until(end).await;
    // They have come back at least twice to no avail.
    all("errors >= 3").await?;
    gateway.restart().await?;
    feed.produce(numbers(151, 200)).await?;
    all("events.length >= 200").await?;
    // What would come twice would come before this.
    feed.produce(numbers(201, 201)).await?;
    all("events.at(-1)?.data === '201'").await
}

fn numbers(from: u32, to: u32) -> impl Iterator<Item = String> {
    (from..=to).map(|number| number.to_string())
}

/// Its own 429, 502, 503 and 504, and those of another proxy behind it: 200, a `retry:` that differs, and the end for a
/// stream; for all else, what they are.
async fn what_it_says_itself_is_no_end(make: Make) -> Result<()> {
    let refused = free_port()?;
    let proxy = in_front(make, refused).start().await?;
    let down = if make == Make::Nginx { 502 } else { 503 };
    comes_back(&proxy, down).await.context("a gateway that is not there")?;

    let silent = Upstream::start(None).await?;
    let patience = match make {
        Make::Nginx => ("proxy_read_timeout 60s", "proxy_read_timeout 200ms"),
        Make::HaProxy => ("timeout server 60s", "timeout server 200ms"),
    };
    let proxy = unchecked(make, silent.port).edit(patience.0, patience.1).start().await?;
    comes_back(&proxy, 504).await.context("a gateway that does not answer")?;

    let busy =
        Upstream::start(Some("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy"));
    let busy = busy.await?;
    let proxy = unchecked(make, busy.port).start().await?;
    comes_back(&proxy, 503).await.context("another proxy")?;

    let limit = match make {
        Make::Nginx => ("rate=50r/s", "rate=1r/m"),
        Make::HaProxy => ("gt 500", "gt 0"),
    };
    let burst = match make {
        Make::Nginx => ("burst=100 nodelay", "burst=1 nodelay"),
        Make::HaProxy => ("http_req_rate(10s)", "http_req_rate(10m)"),
    };
    let proxy = unchecked(make, busy.port).edit(limit.0, limit.1).edit(burst.0, burst.1).start().await?;
    for _ in 0..2 {
        http::get(proxy.address(), PATH).await?;
    }
    comes_back(&proxy, 429).await.context("a limit of the proxy's own")
}

async fn comes_back(proxy: &Proxy, status: u16) -> Result<()> {
    let mut times = BTreeSet::new();
    for _ in 0..8 {
        let origin = ("origin", "https://page.example");
        let answer = http::request(proxy.address(), "GET", PATH, &[STREAM, origin], b"").await?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(answer.header("content-type") == Some("text/event-stream"), "{answer:?}");
        ensure!(answer.header("cache-control") == Some("no-store"), "{answer:?}");
        ensure!(answer.header("access-control-allow-origin") == Some(origin.1), "{answer:?}");
        ensure!(answer.header("access-control-allow-credentials") == Some("true"), "{answer:?}");
        let body = std::str::from_utf8(&answer.body)?;
        let time = body.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
        let time: u32 = time.with_context(|| format!("{body:?}"))?.parse()?;
        ensure!((1000..5000).contains(&time), "{time}");
        times.insert(time);
    }
    // Of eight among four thousand two may well be equal, hardly four.
    ensure!(times.len() >= 5, "no jitter: {times:?}");
    let cursor = [("accept", "application/json")];
    for answer in [
        http::post(proxy.address(), PATH, b"hello").await?,
        http::request(proxy.address(), "POST", PATH, &[STREAM], b"hello").await?,
        http::request(proxy.address(), "GET", PATH, &cursor, b"").await?,
    ] {
        ensure!(answer.status == status, "{status} instead of {answer:?}");
        ensure!(answer.header("content-type") != Some("text/event-stream"), "{answer:?}");
    }
    Ok(())
}

/// An event is not kept until more follows it.
async fn an_event_comes_at_once(make: Make) -> Result<()> {
    let gateway = in_memory().envs([heartbeat("1h")]).start().await?;
    let proxy = in_front(make, gateway.address().port()).start().await?;
    let mut client = SseClient::connect(proxy.address(), PATH, None).await?;
    client.expect_start().await?;
    for n in 1..=10 {
        let answer = http::post(proxy.address(), PATH, n.to_string().as_bytes()).await?;
        ensure!(answer.status == 202, "{answer:?}");
        ensure!(client.expect().await?.data == n.to_string());
    }
    Ok(())
}

/// The heartbeat keeps it open; without it, the proxy's timeout would end it.
async fn a_quiet_stream_stays_open(make: Make) -> Result<()> {
    let (long, short) = match make {
        Make::Nginx => ("proxy_read_timeout 60s", "proxy_read_timeout 4s"),
        Make::HaProxy => ("timeout server 60s", "timeout server 4s"),
    };
    for beats in [true, false] {
        let gateway = in_memory().envs([heartbeat(if beats { "1s" } else { "1h" })]).start().await?;
        let proxy = in_front(make, gateway.address().port()).edit(long, short).start().await?;
        let mut client = SseClient::connect(proxy.address(), PATH, None).await?;
        client.expect_start().await?;
        if beats {
            for _ in 0..10 {
                let event = client.expect().await?;
                ensure!(event.event_type == "tidewater.cursor", "{event:?}");
            }
        } else {
            let end = timeout(PATIENCE, client.next()).await.context("the timeout is none")?;
            ensure!(!matches!(end, Ok(Some(_))), "{end:?}");
        }
    }
    Ok(())
}

/// By `X-Forwarded-For`, whatever a client has written there itself.
async fn clients_are_told_apart(make: Make) -> Result<()> {
    let args = ["--streams-per-address", "1", "--trusted-proxy", "127.0.0.1"].map(str::to_owned);
    let gateway = in_memory().args(args).start().await?;
    let proxy = in_front(make, gateway.address().port()).start().await?;
    one_stream_each(&proxy).await
}

/// HAProxy says it by the PROXY protocol, and its checks go to the administration's listener.
#[tokio::test]
#[ignore = "needs HAProxy: run cargo xtask test"]
async fn clients_are_told_apart_by_the_proxy_protocol() -> Result<()> {
    let (public, admin) = (free_port()?, free_port()?);
    let folder = TempDir::new()?;
    let file = folder.path().join("tidewater.toml");
    let text = format!(
        "[server]
         listen = \"127.0.0.1:{public}\"
         admin_listen = \"127.0.0.1:{admin}\"
         proxy_protocol_from = \"127.0.0.1\"
         [limits]
         streams_per_address = 1
         [channels.feed]
         source = \"memory:\"
         "
    );
    std::fs::write(&file, text)?;
    let gateway = Gateway::by_file(&file.display().to_string(), admin).start().await?;
    let proxy = Proxy::to(Make::HaProxy, format!("127.0.0.1:{public} send-proxy-v2"))
        .edit("check port 9090", &format!("check port {admin}"))
        .edit("option httpchk", "option log-health-checks\n    option httpchk")
        .edit("option forwardfor", "http-request del-header X-Forwarded-For")
        .start()
        .await?;
    eventually("a check", || async {
        let told = proxy.output();
        ensure!(told.contains("Health check for server streams/gateway succeeded"), "{told}");
        Ok(())
    })
    .await?;
    one_stream_each(&proxy).await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

async fn one_stream_each(proxy: &Proxy) -> Result<()> {
    let [ada, bob] = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let connect = |from| {
        let claim = ("x-forwarded-for", "127.0.0.77");
        async move { SseClient::connect_from(from, proxy.address(), PATH, None, &[claim]).await }
    };
    let mut first = connect(ada).await?;
    first.expect_start().await.context("the first")?;
    let mut second = connect(ada).await?;
    let events = second.expect_end().await.context("one too many")?;
    ensure!(events.is_empty() && second.retry().is_some(), "{events:?}, {:?}", second.retry());
    connect(bob).await?.expect_start().await.context("another address")?;
    Ok(())
}

async fn a_unix_socket_will_do(make: Make) -> Result<()> {
    let folder = TempDir::new()?;
    let socket = folder.path().join("tidewater.sock").display().to_string();
    let _gateway = in_memory().args(["--listen".to_owned(), format!("unix:{socket}")]).start().await?;
    let proxy = match make {
        Make::Nginx => Proxy::to(make, format!("unix:{socket}")),
        Make::HaProxy => Proxy::to(make, &socket).edit("check port 9090", "check"),
    };
    let proxy = proxy.start().await?;
    let mut client = SseClient::connect(proxy.address(), PATH, None).await?;
    client.expect_start().await.with_context(|| format!("the proxy wrote:\n{}", proxy.output()))?;
    let answer = http::post(proxy.address(), PATH, b"hello").await?;
    ensure!(answer.status == 202, "{answer:?}");
    ensure!(client.expect().await?.data == "hello");
    Ok(())
}

/// Longer than any that there is: not refused on the way, which would end an `EventSource`, but told as unreadable.
async fn long_ids_are_answered(make: Make) -> Result<()> {
    let gateway = in_memory().start().await?;
    let proxy = in_front(make, gateway.address().port()).start().await?;
    // With a cookie as large as browsers keep.
    let cookie = format!("session={}", "c".repeat(4000));
    let headers = [("cookie", &*cookie)];
    for length in [4096, 8192] {
        let id = "A".repeat(length);
        let from = Ipv4Addr::LOCALHOST;
        let mut client = SseClient::connect_from(from, proxy.address(), PATH, Some(&id), &headers).await?;
        ensure!(client.status() == 200, "{length}: {}", client.status());
        let event = client.expect().await?;
        ensure!(event.event_type == "tidewater.gap", "{length}: {event:?}");
        let gap: Value = serde_json::from_str(&event.data)?;
        ensure!(gap["reason"] == "unreadable", "{length}: {gap}");
    }
    Ok(())
}

/// A proxy in front of what listens on this port of loopback, and answers `/health/ready` there too.
fn in_front(make: Make, port: u16) -> ProxyBuilder {
    let proxy = Proxy::to(make, format!("127.0.0.1:{port}"));
    match make {
        Make::Nginx => proxy,
        Make::HaProxy => proxy.edit("check port 9090", &format!("check port {port}")),
    }
}

/// The same in front of what is no gateway.
fn unchecked(make: Make, port: u16) -> ProxyBuilder {
    let proxy = Proxy::to(make, format!("127.0.0.1:{port}"));
    match make {
        Make::Nginx => proxy,
        Make::HaProxy => proxy.edit("default-server check port 9090 inter 2s", ""),
    }
}

fn in_memory() -> GatewayBuilder {
    Gateway::new("direct").channel("feed", "memory:")
}

fn heartbeat(every: &str) -> (String, String) {
    ("TIDEWATER_CHANNELS__FEED__HEARTBEAT".to_owned(), every.to_owned())
}

/// What listens, and answers each request with the same, or never.
struct Upstream {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    async fn start(answer: Option<&'static str>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        if let Some(answer) = answer {
                            drop(stream.write_all(answer.as_bytes()).await);
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}
