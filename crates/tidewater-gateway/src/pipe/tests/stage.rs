//! A source and a sink that fail as they are told, and give others their turn at every step.

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;
use tidewater::{
    Bounds, Capabilities, Combined, Cursor, Error, ErrorKind, ExactlyOnce, Message, Receipt, Result, Retry,
    Sink, Source, Subscribed, Subscription, Transfer, memory::MemoryLog,
};
use tokio::task::yield_now;

use crate::{
    failure::Failure,
    pipe::{
        Checkpoint, CheckpointFile, Ended, Engine, Options, Promise, Target,
        stop::{Asked, Stop},
    },
};

/// Two topics, a sink, and a checkpoint's place.
pub(super) struct Stage {
    pub(super) logs: [MemoryLog; 2],
    pub(super) source: Arc<Faulty>,
    pub(super) sink: FakeSink,
    pub(super) exact: bool,
    pub(super) options: Options,
    folder: TempDir,
}

impl Stage {
    /// With so many messages in each topic: `0`, `1`, `2`, …
    pub(super) fn new(exact: bool, count: usize) -> Self {
        let logs = [MemoryLog::new("a"), MemoryLog::new("b")];
        let inner =
            Combined::new(logs.each_ref().map(|log| Arc::new(log.source()) as Arc<dyn Source>)).unwrap();
        let source = Arc::new(Faulty { inner, ends: Mutex::default(), replay: true });
        let options = Options { until_caught_up: true, ..Options::default() };
        let stage =
            Self { logs, source, sink: FakeSink::default(), exact, options, folder: TempDir::new().unwrap() };
        stage.publish(0..count);
        stage
    }

    pub(super) fn publish(&self, numbers: std::ops::Range<usize>) {
        for log in &self.logs {
            for number in numbers.clone() {
                log.publish(Message::new("", number.to_string()));
            }
        }
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("checkpoint.json")
    }

    pub(super) fn engine(&self) -> Engine {
        let (file, found) = CheckpointFile::open(&self.checkpoint()).unwrap();
        let fresh = || Checkpoint::new("a".to_owned(), &self.source, &self.sink);
        let mut checkpoint = found.clone().unwrap_or_else(fresh);
        let keeper = Box::new(self.sink.clone()) as Box<dyn ExactlyOnce>;
        checkpoint.promise = match (self.source.replay, self.exact) {
            (false, _) => Promise::AtMostOnce,
            (_, true) => Promise::ExactlyOnce,
            _ => Promise::AtLeastOnce,
        };
        let keeper = Some(keeper).filter(|_| self.source.replay);
        let target = Target::new(Arc::new(self.sink.clone()), keeper, self.exact, found.as_ref());
        Engine::new(self.source.clone(), target, self.options.clone(), file, found, checkpoint)
    }

    /// Runs one to its end.
    pub(super) async fn run(&self) -> Result<Ended, Failure> {
        let (_asked, stop) = Stop::new();
        self.engine().run(&stop).await
    }

    /// Runs one that is killed at its so many-th await, if it comes to that.
    pub(super) async fn run_and_kill(&self, awaits: usize) -> Option<Result<Ended, Failure>> {
        let (_asked, stop) = Stop::new();
        let mut engine = self.engine();
        let mut run = std::pin::pin!(engine.run(&stop));
        let mut count = 0;
        std::future::poll_fn(|cx| {
            count += 1;
            match run.as_mut().poll(cx) {
                std::task::Poll::Pending if count >= awaits => std::task::Poll::Ready(None),
                polled => polled.map(Some),
            }
        })
        .await
    }

    pub(super) fn stopping(&self) -> (Engine, Asked, Stop) {
        let (asked, stop) = Stop::new();
        (self.engine(), asked, stop)
    }

    /// What the sink has of each topic.
    pub(super) fn written(&self) -> [Vec<usize>; 2] {
        let state = self.sink.state();
        ["a", "b"].map(|topic| {
            let of = state.messages.iter().filter(|message| *message.topic == *topic);
            of.map(|message| std::str::from_utf8(message.payload.as_ref().unwrap()).unwrap().parse().unwrap())
                .collect()
        })
    }

    #[track_caller]
    pub(super) fn has_exactly(&self, count: usize) {
        let all: Vec<_> = (0..count).collect();
        assert_eq!(self.written(), [all.clone(), all]);
    }

    /// Each at least once; what comes again comes as a whole, from somewhere before.
    #[track_caller]
    pub(super) fn has_at_least(&self, count: usize) {
        for written in self.written() {
            let mut next = 0;
            for number in &written {
                assert!(*number <= next, "{number} before {next} in {written:?}");
                next = next.max(number + 1);
            }
            assert_eq!(next, count, "{written:?}");
        }
    }
}

/// A source whose subscriptions end in an error after so many deliveries.
pub(super) struct Faulty {
    inner: Combined,
    pub(super) ends: Mutex<VecDeque<usize>>,
    pub(super) replay: bool,
}

#[async_trait]
impl Source for Faulty {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replay: self.replay, ..self.inner.capabilities() }
    }

    async fn bounds(&self) -> Result<Bounds> {
        yield_now().await;
        self.inner.bounds().await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        yield_now().await;
        let subscribed = self.inner.subscribe(subscription).await?;
        let end = self.ends.lock().unwrap().pop_front();
        let deliveries = subscribed.deliveries.then(async |delivery| {
            yield_now().await;
            delivery
        });
        let away = stream::iter([Err(Error::new(ErrorKind::Unavailable, "away"))]);
        let deliveries = match end {
            Some(count) => deliveries.take(count).chain(away).boxed(),
            None => deliveries.boxed(),
        };
        Ok(Subscribed { start: subscribed.start, deliveries })
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty:source")
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

/// What happens to a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Written,
    /// It can't be reached.
    Away,
    /// It has it, and its answer is lost.
    Lost,
    /// It has a part, and its answer is lost.
    Half,
    Denied,
    /// There is no such place, now.
    Absent,
}

/// A sink in memory. What it has outlives those who write.
#[derive(Clone, Default)]
pub(super) struct FakeSink(Arc<Mutex<State>>);

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) messages: Vec<Message>,
    pub(super) position: Option<Cursor>,
    /// What the next writes meet; then all is written.
    pub(super) answers: VecDeque<Answer>,
    /// Payloads that are refused.
    pub(super) refused: Vec<&'static str>,
    pub(super) writes: usize,
    /// A position alone is left for the next message.
    pub(super) lazy: bool,
}

impl FakeSink {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn take(&self, messages: Vec<Message>, position: impl Fn(usize) -> Option<Cursor>) -> Result<()> {
        yield_now().await;
        let answer = {
            let mut state = self.state();
            state.writes += 1;
            state.answers.pop_front().unwrap_or(Answer::Written)
        };
        let refused = |message: &Message| {
            self.state().refused.iter().any(|refused| message.payload.as_deref() == Some(refused.as_bytes()))
        };
        let away = || Err(Error::new(ErrorKind::Unavailable, "the sink is away"));
        let (count, done) = match answer {
            Answer::Away => return away(),
            Answer::Absent => {
                return Err(Error::new(ErrorKind::NotFound, "no such place").with_retry(Retry::Later));
            }
            Answer::Denied => return Err(Error::new(ErrorKind::Denied, "not you")),
            _ if messages.iter().any(refused) => {
                // What keeps no position has what stands before.
                let before = messages.iter().take_while(|message| !refused(message)).count();
                let count = if position(0).is_some() { 0 } else { before };
                (count, Err(Error::new(ErrorKind::Rejected, "too large")))
            }
            Answer::Written => (messages.len(), Ok(())),
            Answer::Lost => (messages.len(), away()),
            Answer::Half => (messages.len() / 2, away()),
        };
        {
            let mut state = self.state();
            let alone = messages.is_empty();
            state.messages.extend(messages.into_iter().take(count));
            if count > 0 || (done.is_ok() && !(alone && state.lazy)) {
                state.position = position(count).or(state.position.take());
            }
        }
        // From here on it is done, and its answer may be lost.
        yield_now().await;
        done
    }
}

#[async_trait]
impl Sink for FakeSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        let topic = message.topic.clone();
        self.send_all(vec![message]).await?;
        Ok(Receipt { topic, place: None })
    }

    async fn send_all(&self, messages: Vec<Message>) -> Result<()> {
        self.take(messages, |_| None).await
    }

    async fn flush(&self) -> Result<()> {
        yield_now().await;
        Ok(())
    }
}

#[async_trait]
impl ExactlyOnce for FakeSink {
    async fn resume(&mut self) -> Result<Option<Cursor>> {
        yield_now().await;
        Ok(self.state().position.clone())
    }

    async fn write(&mut self, batch: Vec<Transfer>, next: &Cursor) -> Result<()> {
        let nexts: Vec<_> = batch.iter().map(|transfer| transfer.next.clone()).collect();
        let messages: Vec<_> = batch.into_iter().map(|transfer| transfer.message).collect();
        let count = messages.len();
        self.take(messages, |written| {
            Some(if written == count { next.clone() } else { nexts[written.saturating_sub(1)].clone() })
        })
        .await
    }
}

impl fmt::Display for FakeSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fake:sink")
    }
}

impl fmt::Debug for FakeSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeSink")
    }
}
