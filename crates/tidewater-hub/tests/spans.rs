//! Spans of subscriptions and of reads of the past: what they tell, and what they keep to themselves.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fmt::{Debug, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tidewater_core::{
    Bounds, Capabilities, Error, ErrorKind, Message, Result, Retry, Source, Start, Subscribed, Subscription,
    memory::{MemoryLog, MemorySource},
};
use tidewater_hub::{Hub, Resume, Select, UpstreamState};
use tokio::time::{Instant, sleep, timeout};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

const SECRET: &str = "access_token=the-key";

/// Each span and each value of one, a line: `NAME FIELD TYPE VALUE`.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<String>>);

impl Told {
    /// Waits until all of these were told.
    async fn until(&self, wanted: &[&str]) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let told = self.0.lock().unwrap().clone();
            if wanted.iter().all(|line| told.contains(line)) {
                return told;
            }
            assert!(Instant::now() < until, "{wanted:?} is not in\n{told}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Values<'a>(&'static str, &'a Told);

impl Values<'_> {
    fn put(&self, field: &Field, kind: &str, value: &dyn Debug) {
        writeln!(self.1.0.lock().unwrap(), "{} {field} {kind} {value:?}", self.0).unwrap();
    }
}

impl Visit for Values<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, "any", value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, "number", &value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, "text", &value);
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Told {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        attributes.record(&mut Values(attributes.metadata().name(), self));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, all: Context<'_, S>) {
        values.record(&mut Values(all.span(id).unwrap().name(), self));
    }
}

/// A log whose server answers with what it was asked for, when it is to fail.
#[derive(Debug)]
struct Echoes {
    source: MemorySource,
    fails: Arc<AtomicBool>,
}

impl std::fmt::Display for Echoes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.source)
    }
}

#[async_trait]
impl Source for Echoes {
    fn kind(&self) -> &'static str {
        self.source.kind()
    }
    fn capabilities(&self) -> Capabilities {
        self.source.capabilities()
    }
    async fn bounds(&self) -> Result<Bounds> {
        self.source.bounds().await
    }
    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        if self.fails.load(Ordering::SeqCst) {
            let error =
                Error::new(ErrorKind::Unavailable, format!("it answers 422: GET /?{SECRET} is no topic"));
            return Err(error.with_retry(Retry::Never).context(SECRET));
        }
        self.source.subscribe(subscription).await
    }
}

fn echoes(fails: bool) -> (MemoryLog, Arc<AtomicBool>, Arc<dyn Source>) {
    let log = MemoryLog::new("site");
    let fails = Arc::new(AtomicBool::new(fails));
    let source = Echoes { source: log.source(), fails: fails.clone() };
    (log, fails, Arc::new(source))
}

fn told() -> (Told, tracing::subscriber::DefaultGuard) {
    let told = Told::default();
    let all = tracing_subscriber::registry().with(LevelFilter::DEBUG).with(told.clone());
    (told, tracing::subscriber::set_default(all))
}

#[tokio::test]
async fn a_subscription_that_fails_tells_why_and_nothing_that_another_server_has_said() {
    let (told, _on) = told();
    let (_log, _fails, source) = echoes(true);
    let _channel = Hub::new().channel("c").source(source).open().unwrap();
    let failed = ["subscribe error.type text \"unavailable\"", "subscribe otel.status_code text \"ERROR\""];
    let lines = told.until(&failed).await;
    assert!(!lines.contains("the-key"), "{lines}");
    assert!(lines.contains("subscribe tidewater.subscriptions_before number 0"), "{lines}");
}

#[tokio::test]
async fn a_read_of_the_past_tells_its_bytes_or_why_there_are_none() {
    for broken in [false, true] {
        let (told, _on) = told();
        let (log, fails, source) = echoes(false);
        for index in 0..50 {
            log.publish(Message::new("", format!("{index}")));
        }
        let channel =
            Hub::new().channel("c").source(source).start(Start::Earliest).prewarm(None).open().unwrap();
        while channel.status().upstream != UpstreamState::Live {
            sleep(Duration::from_millis(5)).await;
        }
        fails.store(broken, Ordering::SeqCst);
        let mut stream = channel.stream(Resume::default(), Select::all()).await;
        let wanted = [if broken {
            "backfill error.type text \"unavailable\""
        } else {
            "backfill tidewater.bytes number "
        }];
        let read = async { while stream.next().await.is_some() {} };
        let (lines, ()) = tokio::join!(told.until(&wanted), async {
            timeout(Duration::from_secs(2), read).await.ok();
        });
        assert!(!lines.contains("the-key"), "{lines}");
    }
}

#[tokio::test]
async fn what_is_read_before_the_first_client_tells_how_many_channels_it_is_for() {
    let (told, _on) = told();
    let (log, _fails, source) = echoes(false);
    log.publish(Message::new("", "x"));
    let channel = Hub::new().channel("c").source(source).open().unwrap();
    channel.cursor().await.unwrap();
    told.until(&["prewarm tidewater.channel_count number 1"]).await;
}
