//! Subjects and streams of a test's own at the broker that runs.

#![allow(dead_code, unreachable_pub)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Client, HeaderMap,
    jetstream::{self, ErrorCode, context::CreateStreamErrorKind, stream},
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use tidewater_core::{Deliveries, Delivery, Error, Source, plugin};
use tidewater_nats as _;
use tidewater_testkit::source::{Failure, Record, Topic};

/// Where the broker is.
pub fn url() -> String {
    std::env::var("TIDEWATER_TEST_NATS")
        .expect("needs NATS: run `cargo xtask test`, or set TIDEWATER_TEST_NATS to nats://HOST:PORT")
}

/// `HOST:PORT` of the broker.
pub fn host() -> String {
    url().trim_start_matches("nats://").to_owned()
}

/// A name that nobody else uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() % 1_000_000_000_000;
    format!("{what}-{}-{now}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed))
}

/// The source of a URL, through the registry as applications open it.
pub fn open(url: &str) -> Arc<dyn Source> {
    plugin::open_source(url).unwrap()
}

/// A connection that knows nothing of this crate.
pub async fn client(url: &str) -> Client {
    async_nats::connect(url).await.unwrap()
}

/// The next delivery, within a time that is generous.
pub async fn next(deliveries: &mut Deliveries) -> Result<Delivery, Error> {
    let next = tokio::time::timeout(Duration::from_secs(30), deliveries.next()).await;
    next.expect("a delivery within 30 s").expect("the stream goes on")
}

/// The next message's payload as text, past what is told of progress.
pub async fn next_text(deliveries: &mut Deliveries) -> String {
    loop {
        match next(deliveries).await.unwrap() {
            Delivery::Progress(_) => {}
            Delivery::Message(message) => {
                return String::from_utf8(message.payload.unwrap().to_vec()).unwrap();
            }
            other => panic!("a message was expected, and {other:?} came"),
        }
    }
}

/// A stream of a test's own. Its subjects are `NAME.>`.
pub struct TestStream {
    pub name: String,
    pub context: jetstream::Context,
    pub config: stream::Config,
    pub filter: Option<String>,
    pub at: String,
    /// What stands behind `?`: how the source is let in.
    pub params: String,
    /// Deleted in the end.
    ours: bool,
}

impl TestStream {
    pub async fn new(at: &str, change: impl FnOnce(&mut stream::Config)) -> Self {
        Self::with_client(client(at).await, at, change).await
    }

    /// The same by somebody who may make streams.
    pub async fn with_client(client: Client, at: &str, change: impl FnOnce(&mut stream::Config)) -> Self {
        let context = jetstream::new(client);
        let name = unique("S");
        let mut config =
            stream::Config { name: name.clone(), subjects: vec![format!("{name}.>")], ..Default::default() };
        change(&mut config);
        context.create_stream(config.clone()).await.unwrap();
        Self {
            name,
            context,
            config,
            filter: None,
            params: String::new(),
            at: at.trim_start_matches("nats://").to_owned(),
            ours: true,
        }
    }

    /// The same stream, read through a filter.
    pub fn filtered(mut self) -> Self {
        self.filter = Some(format!("{}.in.>", self.name));
        self
    }

    pub fn url(&self) -> String {
        let filter = self.filter.as_ref().map(|filter| format!("/{filter}")).unwrap_or_default();
        format!("jetstream://{}/{}{filter}{}", self.at, self.name, self.params)
    }

    pub fn open(&self) -> Arc<dyn Source> {
        open(&self.url())
    }

    pub fn subject(&self) -> String {
        format!("{}.in.x", self.name)
    }

    pub async fn say(&self, subject: &str, payload: impl Into<String>) -> u64 {
        let subject = format!("{}.{subject}", self.name);
        let sent = self.context.publish(subject, payload.into().into()).await.unwrap();
        sent.await.unwrap().sequence
    }

    /// The same stream over another connection: after its server was restarted.
    pub async fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            context: jetstream::new(client(&format!("nats://{}", self.at)).await),
            config: self.config.clone(),
            filter: self.filter.clone(),
            params: self.params.clone(),
            at: self.at.clone(),
            ours: false,
        }
    }

    pub async fn stream(&self) -> stream::Stream {
        self.context.get_stream(&self.name).await.unwrap()
    }

    pub async fn recreate(&self) {
        self.context.delete_stream(&self.name).await.unwrap();
        self.make().await;
    }

    /// Makes the stream after it was deleted. The server answers a deletion before it has removed the files, and may
    /// find them in the way of the new ones.
    pub async fn make(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.context.create_stream(self.config.clone()).await {
            let in_the_way = matches!(error.kind(), CreateStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_CREATE);
            assert!(in_the_way && tokio::time::Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for TestStream {
    fn drop(&mut self) {
        let (context, name) = (self.context.clone(), self.name.clone());
        if let (true, Ok(runtime)) = (self.ours, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { context.delete_stream(name).await });
        }
    }
}

#[async_trait]
impl Topic for TestStream {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(plugin::open_source(&self.url())?)
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        let mut acknowledgements = Vec::new();
        for record in records {
            let headers = headers(&record);
            let sent = self.context.publish_with_headers(self.subject(), headers, record.payload).await?;
            acknowledgements.push(sent);
        }
        for acknowledged in acknowledgements {
            acknowledged.await?;
        }
        Ok(())
    }

    fn published_to(&self) -> Option<String> {
        Some(self.subject())
    }

    async fn remove_before(&self, _partition: u32, offset: u64) -> Result<(), Failure> {
        self.stream().await.purge().sequence(offset).await?;
        Ok(())
    }

    async fn recreate(&self) -> Result<(), Failure> {
        Self::recreate(self).await;
        Ok(())
    }

    /// With a filter: another subject. Without: a message that is deleted again.
    async fn hide(&self) -> Result<(), Failure> {
        let sequence = self.say("other", "nobody reads this").await;
        if self.filter.is_none() {
            self.stream().await.delete_message(sequence).await?;
        }
        Ok(())
    }
}

/// A record's headers, by hand.
pub fn headers(record: &Record) -> HeaderMap {
    let mut map = HeaderMap::new();
    for header in &record.headers {
        map.append(&*header.name, std::str::from_utf8(&header.value).unwrap());
    }
    if let Some(key) = &record.key {
        map.insert("tidewater-key", std::str::from_utf8(key).unwrap());
    }
    map
}

/// Tries until it works, within a time that is generous.
pub async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
