//! I3: how far back a client may go where the channel says so in time.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tidewater_core::{
    Bounds, Capabilities, Cursor, Epoch, Error, ErrorKind, Message, Next, Result, Source, Start, Subscribed,
    Subscription, TopicCursor, TopicTag,
    memory::{MemoryLog, MemorySource},
    sse::Decoder,
};
use tidewater_hub::{AllowedReplay, Channel, ChannelBuilder, EventStream, Hub, LogBounds, Resume, Select};
use tokio::time::{advance, sleep, timeout};

const HOUR: Duration = Duration::from_secs(3600);
const TINY: LogBounds = LogBounds { events: 10, bytes: 1 << 20, age: Duration::from_secs(600) };

/// A log in memory whose positions for times are set by hand.
#[derive(Debug)]
struct Timed {
    source: MemorySource,
    tag: TopicTag,
    /// Where any time begins.
    begins: AtomicU64,
    /// How often it was asked for a time.
    asked: AtomicUsize,
    away: AtomicBool,
}

impl Timed {
    fn new(log: &MemoryLog) -> Arc<Self> {
        let (source, tag) = (log.source(), TopicTag::of("memory", log.name()));
        let (begins, asked, away) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { source, tag, begins, asked, away })
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

#[async_trait]
impl Source for Timed {
    fn kind(&self) -> &'static str {
        self.source.kind()
    }
    fn capabilities(&self) -> Capabilities {
        self.source.capabilities()
    }
    async fn bounds(&self) -> Result<Bounds> {
        self.source.bounds().await
    }
    async fn subscribe(&self, mut subscription: Subscription) -> Result<Subscribed> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "away"));
        }
        if matches!(subscription, Subscription { start: Start::Time(_), after: None }) {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let epoch = self.bounds().await?.topics[0].epoch.tag();
            let next = Next::Offsets(vec![self.begins.load(Ordering::SeqCst)]);
            subscription.after = Some([TopicCursor { tag: self.tag, epoch, next }].into_iter().collect());
        }
        self.source.subscribe(subscription).await
    }
}

/// What a client got: offsets, and gaps as `reason from..to`.
#[derive(Debug, Default, PartialEq)]
struct Page {
    got: Vec<u64>,
    gaps: Vec<String>,
    last: String,
}

impl Page {
    async fn read(stream: &mut EventStream) -> Self {
        let (mut page, mut decoder) = (Self::default(), Decoder::new());
        while let Ok(Some(chunk)) = timeout(Duration::from_millis(400), stream.next()).await {
            decoder.feed_bytes(chunk);
            while let Some(event) = decoder.next_event().unwrap() {
                page.last = event.last_event_id.to_string();
                match &*event.event_type {
                    "message" => page.got.push(event.data.parse().unwrap()),
                    "tidewater.gap" => {
                        let gap: serde_json::Value = serde_json::from_str(&event.data).unwrap();
                        let reason = gap["reason"].as_str().unwrap();
                        page.gaps.push(match gap["from"].as_u64() {
                            Some(from) => format!("{reason} {from}..{}", gap["to"]),
                            None => reason.to_owned(),
                        });
                    }
                    _ => {}
                }
            }
        }
        page
    }

    async fn of(channel: &Channel, resume: Resume) -> Self {
        Self::read(&mut channel.stream(resume, Select::all()).await).await
    }
}

fn from(start: Start) -> Resume {
    Resume { start: Some(start), ..Resume::default() }
}

fn id(tag: TopicTag, epoch: Epoch, next: &[u64]) -> Resume {
    let topic = TopicCursor { tag, epoch: epoch.tag(), next: Next::Offsets(next.to_vec()) };
    let id: Cursor = [topic].into_iter().collect();
    Resume { last_event_id: Some(id.to_string()), ..Resume::default() }
}

fn open(source: Arc<dyn Source>, with: impl FnOnce(ChannelBuilder) -> ChannelBuilder) -> Channel {
    with(Hub::new().channel("c").source(source).replay(AllowedReplay::Age(HOUR))).open().unwrap()
}

fn publish(log: &MemoryLog, offsets: std::ops::Range<u64>, ago: Duration) {
    for offset in offsets {
        let timestamp = Some(SystemTime::now() - ago);
        log.publish(Message { timestamp, ..Message::new("", offset.to_string()) });
    }
}

async fn epoch(log: &MemoryLog) -> Epoch {
    log.source().bounds().await.unwrap().topics[0].epoch
}

/// An id, a time, "earliest" and the channel's own start: nothing goes further back than anything else.
#[tokio::test(start_paused = true)]
async fn i3_nothing_that_a_client_sends_goes_past_the_limit() {
    let log = MemoryLog::new("age");
    publish(&log, 0..10, 2 * HOUR);
    publish(&log, 10..15, HOUR / 2);
    let (tag, epoch) = (TopicTag::of("memory", log.name()), epoch(&log).await);
    let source = Arc::new(log.source());
    let channel = open(source.clone(), |builder| builder);
    let early = open(source, |builder| builder.start(Start::Earliest));
    let ago = |ago: Duration| Start::Time(SystemTime::now() - ago);
    let behind = |from: u64| vec![format!("replay {from}..10")];
    let cases = [
        ("earliest", from(Start::Earliest), behind(0)),
        ("before all", from(ago(100 * HOUR)), behind(0)),
        ("a forged id", id(tag, epoch, &[0]), behind(0)),
        ("an id without partitions", id(tag, epoch, &[]), behind(0)),
        ("an id in the middle", id(tag, epoch, &[3]), behind(3)),
        ("an id of partitions that are not there", id(tag, epoch, &[3, 0, 0]), behind(3)),
        ("an id of nobody's epoch", id(tag, Epoch(77), &[12]), vec!["epoch".into(), "replay 0..10".into()]),
        ("at the limit", id(tag, epoch, &[10]), vec![]),
        ("within it", id(tag, epoch, &[12]), vec![]),
        ("a time within it", from(ago(HOUR * 3 / 4)), vec![]),
        ("no id", Resume::default(), vec![]),
        ("ahead", id(tag, epoch, &[99]), vec!["ahead".into()]),
        (
            "unreadable",
            Resume { last_event_id: Some("?".into()), ..Resume::default() },
            vec!["unreadable".into()],
        ),
    ];
    for (what, resume, gaps) in cases {
        let first = match what {
            "within it" => 12,
            "no id" | "ahead" | "unreadable" => 15,
            _ => 10,
        };
        let page = Page::of(&channel, resume).await;
        assert_eq!(page.gaps, gaps, "{what}");
        assert_eq!(page.got, (first..15).collect::<Vec<_>>(), "{what}");
        // What it has now is within the limit, so it is told no gap again.
        let again = Resume { last_event_id: Some(page.last), ..Resume::default() };
        assert_eq!(Page::of(&channel, again).await.gaps, [""; 0], "{what}");
    }
    let page = Page::of(&early, Resume::default()).await;
    assert_eq!((page.gaps, page.got), (behind(0), (10..15).collect()));
}

/// The limit is asked for once a second, whoever comes, and never goes back.
#[tokio::test(start_paused = true)]
async fn clients_share_a_limit_that_only_moves_on() {
    let log = MemoryLog::new("limit");
    publish(&log, 0..40, Duration::ZERO);
    let source = Timed::new(&log);
    source.begins.store(30, Ordering::SeqCst);
    let channel = open(source.clone(), |builder| builder);
    let mut coming = Vec::new();
    let epoch = epoch(&log).await;
    for n in 0..2000 {
        let (channel, resume) = (channel.clone(), id(source.tag, epoch, &[n % 30]));
        coming.push(tokio::spawn(async move {
            let mut stream = channel.stream(resume, Select::all()).await;
            stream.next().await.unwrap()
        }));
        sleep(Duration::from_millis(1)).await;
    }
    for first in coming {
        let first = first.await.unwrap();
        assert!(first.windows(6).any(|part| part == b"replay"), "{first:?}");
    }
    let asked = source.asked.load(Ordering::SeqCst);
    assert!((1..=4).contains(&asked), "{asked} times in some two seconds");

    for (begins, holds) in [(20, 30), (35, 35), (0, 35)] {
        source.begins.store(begins, Ordering::SeqCst);
        advance(Duration::from_secs(2)).await;
        let page = Page::of(&channel, from(Start::Earliest)).await;
        assert_eq!(page.gaps, [format!("replay 0..{holds}")]);
        assert_eq!(page.got[0], holds, "{begins}");
    }
    // A client that misses nothing asks nobody.
    let asked = source.asked.load(Ordering::SeqCst);
    advance(Duration::from_secs(2)).await;
    let page = Page::of(&channel, id(source.tag, epoch, &[40])).await;
    assert_eq!((page.got.len(), page.gaps.len()), (0, 0));
    assert_eq!(source.asked.load(Ordering::SeqCst), asked);
}

/// A source that is away does not keep clients from what is in the log; others come back, and are told no gap.
#[tokio::test(start_paused = true)]
async fn without_the_broker_there_is_what_is_in_the_log() {
    let log = MemoryLog::new("limit-away");
    let source = Timed::new(&log);
    let channel = open(source.clone(), |builder| builder);
    let start = Page::of(&channel, Resume::default()).await.last;
    publish(&log, 0..5, Duration::ZERO);
    sleep(Duration::from_millis(50)).await;
    source.away.store(true, Ordering::SeqCst);
    let resume = Resume { last_event_id: Some(start), ..Resume::default() };
    let page = Page::of(&channel, resume).await;
    assert_eq!((page.got, page.gaps), ((0..5).collect(), vec![]));

    let small = open(source.clone(), |builder| builder.log(TINY));
    source.away.store(false, Ordering::SeqCst);
    let start = Page::of(&small, Resume::default()).await.last;
    for n in 5..50 {
        publish(&log, n..n + 1, Duration::ZERO);
        sleep(Duration::from_millis(5)).await;
    }
    let resume = Resume { last_event_id: Some(start), ..Resume::default() };
    source.away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let chunks: Vec<_> = small.stream(resume.clone(), Select::all()).await.take(2).collect().await;
        assert!(chunks.len() == 1 && chunks[0].starts_with(b"retry: "), "{chunks:?}");
    }
    source.away.store(false, Ordering::SeqCst);
    advance(Duration::from_secs(2)).await;
    let page = Page::of(&small, resume).await;
    assert_eq!((page.got, page.gaps), ((5..50).collect(), vec![]));
}

/// I7: a client that falls behind is filled up within the limit as well.
#[tokio::test(start_paused = true)]
async fn a_client_that_falls_behind_goes_back_no_further() {
    let log = MemoryLog::new("limit-lag");
    let source = Timed::new(&log);
    let channel = open(source.clone(), |builder| builder.log(TINY));
    let mut stream = channel.stream(Resume::default(), Select::all()).await;
    assert!(stream.next().await.is_some());
    for n in 0..100 {
        publish(&log, n..n + 1, Duration::ZERO);
        sleep(Duration::from_millis(5)).await;
    }
    source.begins.store(50, Ordering::SeqCst);
    advance(Duration::from_secs(2)).await;
    let page = Page::read(&mut stream).await;
    assert_eq!(page.gaps, ["replay 0..50"]);
    assert_eq!(page.got, (50..100).collect::<Vec<_>>());
    assert_eq!(channel.status().lagged, 1);
}

/// Where the source knows no times, those at which messages came decide.
#[tokio::test(start_paused = true)]
async fn without_times_of_the_sources_the_logs_own_count() {
    let broker = support::Broker::new(1);
    let bounds = LogBounds { age: 10 * HOUR, ..LogBounds::default() };
    let channel = open(broker.source(1), |builder| builder.log(bounds));
    let mut books = support::Books::default();
    books.read(&mut books.open(&channel, Select::all()).await, 1, |_| false).await;
    for _ in 0..2 {
        (0..3).for_each(|_| broker.publish(0));
        sleep(HOUR * 2 / 3).await;
    }
    for resume in [id(support::tag(), broker.epoch(), &[0]), from(Start::Earliest)] {
        let mut stream = channel.stream(resume, Select::all()).await;
        let mut books = support::Books::default();
        books.read(&mut stream, 10, |books| books.got.len() == 3).await;
        assert_eq!(
            books.gaps,
            [serde_json::json!({
                "reason": "replay", "topic": "t", "partition": 0, "from": 0, "to": 3
            })]
        );
        assert_eq!(books.of(1, 0), [3, 4, 5]);
    }
}
