//! Writers that write each message once: the testkit's suite, and what it can't see.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use async_nats::{HeaderMap, jetstream::stream::RetentionPolicy};
use async_trait::async_trait;
use tidewater_core::{
    Cursor, Delivery, EpochTag, ErrorKind, ExactlyOnce, Message, Next, Retry, Sink, Source, Subscription,
    TopicCursor, TopicTag, Transfer, plugin,
};
use tidewater_testkit::{
    broker::NatsServer,
    exactly_once::{self, Failure, Harness, Target},
};

use crate::common::{TestStream, eventually, next, next_text, url};

/// A stream that takes whole batches, or doesn't.
struct JetStream {
    atomic: bool,
}

struct InStream(TestStream);

#[async_trait]
impl Harness for JetStream {
    async fn target(&self) -> Result<Box<dyn Target>, Failure> {
        Ok(Box::new(InStream(
            TestStream::new(&url(), |config| config.allow_atomic_publish = self.atomic).await,
        )))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        vec![
            ("3c", "NATS has no absent payloads: a tombstone is empty"),
            ("3d", "headers of NATS, where the key stands too, are text"),
        ]
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(90)
    }
}

#[async_trait]
impl Target for InStream {
    fn sink(&self) -> Result<Arc<dyn Sink>, Failure> {
        Ok(plugin::open_sink(&format!("{}/{}", self.0.url(), self.0.subject()))?)
    }

    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(self.0.open())
    }

    async fn spoil(&self, id: &str) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        headers.insert("Tidewater-Writer", format!("{id}.7.x"));
        headers.insert("Tidewater-Next", "no cursor");
        self.0.context.publish_with_headers(self.0.subject(), headers, "x".into()).await?.await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_stream_that_takes_batches_keeps_the_contract() {
    exactly_once::run(&JetStream { atomic: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_stream_that_takes_single_messages_keeps_the_contract() {
    exactly_once::run(&JetStream { atomic: false }).await;
}

/// A server of the test's own, a stream on it, and a feed of numbers.
struct Own {
    server: NatsServer,
    stream: TestStream,
    atomic: bool,
}

const TAG: TopicTag = TopicTag(7);

fn at(n: u64) -> Cursor {
    let next = Next::Offsets(vec![n]);
    [TopicCursor { tag: TAG, epoch: EpochTag(1), next }].into_iter().collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Transfer> {
    range.map(|n| Transfer { message: Message::new("feed", n.to_string()), next: at(n + 1) }).collect()
}

fn number(position: Option<Cursor>) -> u64 {
    position.map_or(0, |cursor| cursor.next_offset(TAG, 0).unwrap())
}

impl Own {
    async fn start(atomic: bool) -> Self {
        let server = NatsServer::start().unwrap();
        let stream = TestStream::new(&server.url(), |config| config.allow_atomic_publish = atomic).await;
        Self { server, stream, atomic }
    }

    fn sink(&self) -> Arc<dyn Sink> {
        plugin::open_sink(&format!("{}/{}", self.stream.url(), self.stream.subject())).unwrap()
    }

    fn writer(&self) -> Box<dyn ExactlyOnce> {
        self.sink().exactly_once("w").unwrap().unwrap()
    }

    /// Everything that the stream holds.
    async fn held(&self) -> Vec<String> {
        let source = self.stream.open();
        let end = eventually(async || source.bounds().await).await.topics[0].partitions[0].end;
        let mut subscribed = source.subscribe(Subscription::earliest()).await.unwrap();
        let mut held = Vec::new();
        while held.len() + 1 < usize::try_from(end).unwrap() {
            held.push(next_text(&mut subscribed.deliveries).await);
        }
        held
    }
}

/// Whatever of a batch has come when the server dies, whoever resumes finds it and goes on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_server_that_is_killed_in_the_middle_of_writes_has_each_message_once() {
    for atomic in [true, false] {
        let mut own = Own::start(atomic).await;
        let mut written = 0;
        for round in 0..4_u64 {
            let mut writer = own.writer();
            let mut next = number(eventually(async || writer.resume().await).await);
            assert!(next >= written, "{next} of {written}");
            let (stop, stopped) = tokio::sync::watch::channel(false);
            let writes = tokio::spawn(async move {
                // A write may also wait for the server to be back, and succeed.
                while !*stopped.borrow()
                    && writer.write(numbers(next..next + 300), &at(next + 300)).await.is_ok()
                {
                    next += 300;
                }
                next
            });
            tokio::time::sleep(Duration::from_millis(20 + 35 * round)).await;
            own.server.kill().unwrap();
            own.server.restart().unwrap();
            stop.send_replace(true);
            written = writes.await.unwrap();
        }
        let mut writer = own.writer();
        let next = number(eventually(async || writer.resume().await).await);
        assert!(next >= written, "{next} of {written}");
        let end = next + 500;
        writer.write(numbers(next..end), &at(end)).await.unwrap();
        let wanted: Vec<_> = (0..end).map(|n| n.to_string()).collect();
        assert!(own.held().await == wanted, "each once and in order, in batches: {}", own.atomic);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn who_publishes_to_the_same_subject_is_gone_round() {
    for atomic in [true, false] {
        let stream = TestStream::new(&url(), |config| config.allow_atomic_publish = atomic).await;
        let sink = plugin::open_sink(&format!("{}/{}", stream.url(), stream.subject())).unwrap();
        let mut writer = sink.exactly_once("w").unwrap().unwrap();
        assert_eq!(writer.resume().await.unwrap(), None);
        for n in 0..20 {
            writer.write(numbers(n..n + 1), &at(n + 1)).await.unwrap();
            stream.say("in.x", "another's").await;
        }
        assert_eq!(number(sink.exactly_once("w").unwrap().unwrap().resume().await.unwrap()), 20);
        // What is removed is not written again by a writer that goes on.
        stream.stream().await.purge().await.unwrap();
        writer.write(numbers(20..23), &at(23)).await.unwrap();
        assert_eq!(number(sink.exactly_once("w").unwrap().unwrap().resume().await.unwrap()), 23);
        assert_eq!(stream.stream().await.cached_info().state.messages, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_stream_that_was_made_again_is_begun_anew() {
    let stream = TestStream::new(&url(), |config| config.allow_atomic_publish = true).await;
    let sink = plugin::open_sink(&format!("{}/{}", stream.url(), stream.subject())).unwrap();
    let mut writer = sink.exactly_once("w").unwrap().unwrap();
    writer.resume().await.unwrap();
    writer.write(numbers(0..10), &at(10)).await.unwrap();
    stream.recreate().await;
    let error = writer.write(numbers(10..20), &at(20)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
    assert_eq!(writer.resume().await.unwrap(), None);
    writer.write(numbers(0..20), &at(20)).await.unwrap();
    assert_eq!(number(writer.resume().await.unwrap()), 20);
}

/// One message that can't be taken is named as what it is, in the middle of a batch too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_message_that_the_stream_does_not_take_is_rejected_and_the_position_stands_before_it() {
    for atomic in [true, false] {
        let at_url = url();
        let stream = TestStream::new(&at_url, |config| {
            (config.allow_atomic_publish, config.max_message_size) = (atomic, 2000);
        });
        let stream = stream.await;
        let sink = plugin::open_sink(&format!("{}/{}", stream.url(), stream.subject())).unwrap();
        let mut writer = sink.exactly_once("w").unwrap().unwrap();
        writer.resume().await.unwrap();
        let mut batch = numbers(0..10);
        batch[4].message.payload = Some(vec![b'x'; 3000].into());
        let error = writer.write(batch, &at(10)).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Rejected, Retry::Never), "{error}");
        assert_eq!(number(writer.resume().await.unwrap()), 4);
        writer.write(numbers(5..10), &at(10)).await.unwrap();
        assert_eq!(number(writer.resume().await.unwrap()), 10);
    }
}

/// What a message said to the server when it was published first is not said again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn headers_for_the_server_are_not_copied() {
    let stream = TestStream::new(&url(), |config| config.allow_atomic_publish = true).await;
    let sink = plugin::open_sink(&format!("{}/{}", stream.url(), stream.subject())).unwrap();
    let mut writer = sink.exactly_once("w").unwrap().unwrap();
    writer.resume().await.unwrap();
    let headers = [("Nats-Msg-Id", "same"), ("Nats-Stream-Source", "A 1"), ("Nats-TTL", "1s"), ("kept", "1")];
    let mut batch = numbers(0..3);
    for transfer in &mut batch {
        transfer.message.headers = headers.into_iter().collect();
    }
    writer.write(batch, &at(3)).await.unwrap();
    let mut subscribed = stream.open().subscribe(Subscription::earliest()).await.unwrap();
    for _ in 0..3 {
        let Delivery::Message(message) = next(&mut subscribed.deliveries).await.unwrap() else { panic!() };
        assert_eq!(message.headers, [("kept", "1")].into_iter().collect(), "nor is how it was written shown");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn streams_that_lose_positions_are_refused() {
    let stream = TestStream::new(&url(), |config| config.retention = RetentionPolicy::WorkQueue).await;
    let sink = plugin::open_sink(&format!("{}/{}", stream.url(), stream.subject())).unwrap();
    let error = sink.exactly_once("w").unwrap().unwrap().resume().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unsupported, Retry::Never), "{error}");
    assert!(error.to_string().contains("removes messages once they were taken"), "{error}");
}
