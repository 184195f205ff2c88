//! A channel without a broker: what was answered 202 is with every client that stays, once and in order, however often the
//! gateway is killed. And of two gateways on one folder, the second says why it has to wait.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future;
use serde_json::json;
use tempfile::TempDir;
use tidewater_tests::{
    Gateway, PATIENCE, SseClient,
    browser::{Browser, BrowserBuilder, Page},
    heavy, http, seed,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// How often the gateway is killed.
const KILLS: u32 = 20;
/// Who publish at the same time, each one message after the other.
const WRITERS: usize = 3;
/// How long they publish before a kill, at most.
const BEFORE_KILL: Duration = Duration::from_millis(600);
/// Clients that are no browser.
const FOLLOWERS: usize = 30;
/// When clients come back.
const RETRY: &str = "500ms";
/// What is published when nothing more is killed.
const LAST: &str = "the last";
const PATH: &str = "/channels/demo";

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn chromium_has_every_event_once_over_kills() -> Result<()> {
    a_page_has_every_event_once_over_kills(Browser::chromium()).await
}

#[tokio::test]
#[ignore = "needs Firefox: run cargo xtask test"]
async fn firefox_has_every_event_once_over_kills() -> Result<()> {
    a_page_has_every_event_once_over_kills(Browser::firefox()).await
}

/// I1 without a broker, with a browser's own `EventSource`.
async fn a_page_has_every_event_once_over_kills(browser: BrowserBuilder) -> Result<()> {
    let _alone = heavy().await;
    let mut stage = Stage::start().await?;
    let browser = browser.start().await?;
    let page = Page::open(browser.tab(), &stage.gateway.url("/health/live"), PATH).await?;
    for round in 1..=KILLS {
        // In every other round it may be on its way back when the next kill comes.
        if round % 2 == 0 {
            page.until(&format!("opened > {}", round / 2)).await?;
        }
        stage.kill_amid_writes().await.with_context(|| format!("round {round}"))?;
    }
    let kept = stage.finish().await?;
    let came = page.until(&format!("events.at(-1)?.data === {}", json!(LAST))).await;
    let told = page.told().await?;
    came.with_context(|| format!("{told}\nthe gateway wrote:\n{}", stage.gateway.output()))?;

    ensure!(told["data"] == json!(kept), "the page has not what the channel has: {told}\n{kept:?}");
    ensure!(told["gaps"] == json!([]), "a gap: {told}");
    ensure!(told["opened"].as_u64() > Some(u64::from(KILLS / 2)), "it did not come back: {told}");
    stage.check(&kept)
}

/// The same with clients that need no browser.
#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn clients_have_every_event_once_over_kills() -> Result<()> {
    let _alone = heavy().await;
    let mut stage = Stage::start().await?;
    let mut followers = Followers::start(stage.gateway.address());
    followers.until("the first block", |seen| seen.opened > 0).await?;
    for round in 1..=KILLS {
        if round % 2 == 0 {
            followers.until("to be back", |seen| seen.opened > round / 2).await?;
        }
        stage.kill_amid_writes().await.with_context(|| format!("round {round}"))?;
    }
    let kept = stage.finish().await?;
    followers.until("the last event", |seen| seen.data.last().is_some_and(|last| last == LAST)).await?;
    // What comes twice may come late.
    sleep(Duration::from_millis(200)).await;
    for seen in &followers.seen {
        let seen = seen.lock().unwrap();
        ensure!(seen.data == kept, "a client has not what the channel has: {seen:?}\n{kept:?}");
    }
    stage.check(&kept)
}

/// A folder is one process's own. The second gateway says so, and takes it when the first has ended.
#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn of_two_gateways_on_one_folder_the_second_waits() -> Result<()> {
    let data = TempDir::new()?;
    let url = url(data.path());
    let mut first = Gateway::new("direct").channel("demo", &url).start().await?;
    first.until_live().await?;
    ensure!(post(first.address(), "of the first").await?, "not taken");

    let second = Gateway::new("direct").channel("demo", &url).start().await?;
    second.until("degraded").await?;
    let (_, told) = second.ready().await?;
    let error = told["channels"]["demo"]["error"].as_str().context("no error")?;
    let process = first.id().context("it does not run")?.to_string();
    for says in [url.as_str(), "another process", &process] {
        ensure!(error.contains(says), "{says:?} is not in {error:?}");
    }
    ensure!(second.output().contains(error), "it is not in the log: {}", second.output());
    ensure!(!post(second.address(), "of the second").await?, "two write one log");
    ensure!(post(first.address(), "of the first again").await?, "the second is in the way of the first");

    first.terminate()?;
    ensure!(first.wait().await?.success(), "the first failed");
    second.until_live().await?;
    ensure!(post(second.address(), LAST).await?, "not taken");
    let kept = kept(second.address()).await?;
    ensure!(kept == ["of the first", "of the first again", LAST], "{kept:?}");
    Ok(())
}

/// A gateway with a channel in a folder, and what publishers know of it.
struct Stage {
    gateway: Gateway,
    writers: Vec<Writer>,
    random: fastrand::Rng,
    _data: TempDir,
}

/// What one publisher knows.
#[derive(Clone, Debug, Default)]
struct Writer {
    /// How many it has sent.
    sent: u32,
    /// Those that were answered 202.
    answered: Vec<u32>,
}

impl Stage {
    async fn start() -> Result<Self> {
        let data = TempDir::new()?;
        let retry = ("TIDEWATER_CHANNELS__DEMO__RETRY".to_owned(), RETRY.to_owned());
        let gateway = Gateway::new("direct").channel("demo", &url(data.path())).envs([retry]).start().await?;
        gateway.until_live().await?;
        let random = fastrand::Rng::with_seed(seed());
        Ok(Self { gateway, writers: vec![Writer::default(); WRITERS], random, _data: data })
    }

    /// Publishes, kills the gateway in the middle of it, and starts it again.
    async fn kill_amid_writes(&mut self) -> Result<()> {
        let (to, ended) = (self.gateway.address(), AtomicBool::new(false));
        let after = BEFORE_KILL.mul_f64(self.random.f64());
        let write = future::join_all(self.writers.iter_mut().zip(0..).map(|(writer, name)| {
            let ended = &ended;
            async move {
                while !ended.load(Ordering::Relaxed) {
                    writer.sent += 1;
                    match post(to, &format!("{name}:{}", writer.sent)).await {
                        Ok(true) => writer.answered.push(writer.sent),
                        // Killed before the answer: it may be there, or not.
                        Ok(false) | Err(_) => break,
                    }
                }
            }
        }));
        let kill = async {
            sleep(after).await;
            let killed = self.gateway.kill().await;
            ended.store(true, Ordering::Relaxed);
            killed
        };
        future::join(write, kill).await.1?;
        self.gateway.restart().await?;
        self.gateway.until_live().await
    }

    /// Publishes the last message. What the channel has then.
    async fn finish(&self) -> Result<Vec<String>> {
        ensure!(post(self.gateway.address(), LAST).await?, "the last message was not taken");
        kept(self.gateway.address()).await
    }

    /// All that was answered, once; nothing twice; each writer's in its order.
    fn check(&self, kept: &[String]) -> Result<()> {
        let mut of: HashMap<usize, Vec<u32>> = HashMap::new();
        for data in kept.iter().filter(|data| *data != LAST) {
            let (name, number) = data.split_once(':').context("no number")?;
            of.entry(name.parse()?).or_default().push(number.parse()?);
        }
        for (name, writer) in self.writers.iter().enumerate() {
            let numbers = of.remove(&name).unwrap_or_default();
            let in_order = numbers.is_sorted_by(|one, next| one < next);
            ensure!(in_order, "writer {name}: twice, or out of order: {numbers:?}");
            let lost = writer.answered.iter().filter(|number| numbers.binary_search(number).is_err());
            let lost: Vec<_> = lost.collect();
            ensure!(lost.is_empty(), "writer {name}: answered, and lost: {lost:?}");
            let answers = writer.answered.len();
            ensure!(answers >= KILLS as usize, "writer {name} got {answers} answers");
            ensure!(numbers.last() <= Some(&writer.sent), "writer {name} has sent no {numbers:?}");
        }
        ensure!(of.is_empty(), "from nobody: {of:?}");
        Ok(())
    }
}

/// Clients that come back with their last id, as an `EventSource` does.
struct Followers {
    seen: Vec<Arc<Mutex<Seen>>>,
    tasks: JoinSet<Result<()>>,
}

/// What a client was given, over all its connections.
#[derive(Debug, Default)]
struct Seen {
    opened: u32,
    data: Vec<String>,
}

impl Followers {
    fn start(to: SocketAddr) -> Self {
        let seen: Vec<_> = std::iter::repeat_with(Arc::<Mutex<Seen>>::default).take(FOLLOWERS).collect();
        let tasks = seen.iter().map(|seen| follow(to, seen.clone())).collect();
        Self { seen, tasks }
    }

    /// Waits until it is so for all of them.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Result<()> {
        let all = async {
            while !self.seen.iter().all(|seen| is_so(&seen.lock().unwrap())) {
                if let Some(ended) = self.tasks.try_join_next() {
                    ended??;
                    bail!("a client has ended");
                }
                sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        };
        timeout(PATIENCE, all).await.with_context(|| format!("not all have {what}"))?
    }
}

async fn follow(to: SocketAddr, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let (mut id, mut retry) = (None::<String>, Duration::ZERO);
    loop {
        sleep(retry).await;
        // Else nobody listens.
        if let Ok(mut stream) = SseClient::connect(to, PATH, id.as_deref()).await {
            ensure!(stream.status() == 200, "status {} (I10)", stream.status());
            let mut is_first = true;
            while let Ok(Some(event)) = stream.next().await {
                let mut seen = seen.lock().unwrap();
                seen.opened += u32::from(std::mem::take(&mut is_first));
                match &*event.event_type {
                    "message" => seen.data.push(event.data.to_string()),
                    "tidewater.cursor" => {}
                    _ => bail!("{event:?}"),
                }
                id = stream.last_event_id().map(str::to_owned);
            }
            retry = stream.retry().unwrap_or(retry);
        }
        retry = retry.max(Duration::from_millis(50));
    }
}

fn url(data: &Path) -> String {
    format!("embedded:{}", data.join("demo").display())
}

/// Whether it was taken.
async fn post(to: SocketAddr, data: &str) -> Result<bool> {
    Ok(http::post(to, PATH, data.as_bytes()).await?.status == 202)
}

/// What the channel has, from its first message to the last.
async fn kept(to: SocketAddr) -> Result<Vec<String>> {
    let mut client = SseClient::connect(to, &format!("{PATH}?since=earliest"), None).await?;
    let mut kept = Vec::new();
    while kept.last().is_none_or(|data| data != LAST) {
        let event = client.expect_shown().await?;
        ensure!(event.event_type == "message", "{event:?}");
        kept.push(event.data.to_string());
    }
    Ok(kept)
}
