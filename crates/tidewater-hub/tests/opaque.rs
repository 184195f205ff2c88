//! I1, I2, I3, I5 where positions have no order: an id is found again, in the log or by the broker, or a gap is told.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tidewater_core::{
    Bounds, Capabilities, Cursor, Delivery, Epoch, Error, ErrorKind, Message, Next, OpaqueId, Position,
    Result, Source, Start, Subscribed, Subscription, TopicBounds, TopicCursor, TopicTag, sse::Decoder,
};
use tidewater_hub::{AllowedReplay, Channel, EventStream, Hub, LogBounds, Resume, Select};
use tokio::{sync::watch, time::timeout};

const KIND: &str = "ids";
const EPOCH: Epoch = Epoch(1);
const SMALL: LogBounds = LogBounds { events: 20, bytes: 1 << 20, age: Duration::from_secs(600) };

fn tag() -> TopicTag {
    TopicTag::of(KIND, KIND)
}

/// A broker that knows its messages by ids that say nothing.
#[derive(Debug)]
struct Broker {
    /// The first message that is kept, and how many were written.
    kept: Mutex<(usize, usize)>,
    changed: watch::Sender<usize>,
    cuts: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Ids(Arc<Broker>);

/// The id of the message with this number.
fn id(number: usize) -> String {
    format!("{:x}", (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The id after which the message with this number comes.
fn before(number: usize) -> String {
    number.checked_sub(1).map_or_else(|| "nothing yet".to_owned(), id)
}

fn after(id: String) -> Cursor {
    let next = Next::After(id.into());
    [TopicCursor { tag: tag(), epoch: EPOCH.tag(), next }].into_iter().collect()
}

impl Broker {
    fn new() -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), changed: watch::Sender::new(0), cuts: AtomicUsize::new(0) })
    }

    fn publish(&self, count: usize) {
        self.kept.lock().unwrap().1 += count;
        self.changed.send_modify(|n| *n += 1);
    }

    /// So often so many, in batches of their own.
    async fn publish_apart(&self, times: usize, count: usize) {
        for _ in 0..times {
            self.publish(count);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn forget(&self, until: usize) {
        self.kept.lock().unwrap().0 = until;
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.changed.send_modify(|n| *n += 1);
    }

    fn channel(self: &Arc<Self>, log: LogBounds, replay: AllowedReplay) -> Channel {
        let source = Arc::new(Ids(self.clone()));
        Hub::new().channel("c").source(source).log(log).replay(replay).open().unwrap()
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ids:")
    }
}

#[async_trait]
impl Source for Ids {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replay: true, from_time: false, partitioned: false, mergeable: false }
    }

    async fn bounds(&self) -> Result<Bounds> {
        let topic = TopicBounds { name: KIND.into(), tag: tag(), epoch: EPOCH, partitions: Vec::new() };
        Ok(Bounds { topics: vec![topic] })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let broker = self.0.clone();
        let (first, end) = *broker.kept.lock().unwrap();
        let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(tag()));
        // A message before the first one that is kept is known as long as it is its neighbour.
        // What comes next after the id; the last one that is forgotten is still known.
        let next =
            (first..=end).find(|next| wanted.is_some_and(|wanted| wanted.is_after(before(*next).as_bytes())));
        let next = next.unwrap_or(end);
        let start = after(before(next));
        let (changed, cuts) = (broker.changed.subscribe(), broker.cuts.load(Ordering::Relaxed));
        let deliveries =
            stream::unfold((broker, changed, next), move |(broker, mut changed, next)| async move {
                loop {
                    if broker.cuts.load(Ordering::Relaxed) != cuts {
                        let cut = Error::new(ErrorKind::Unavailable, "cut");
                        return Some((Err(cut), (broker, changed, next)));
                    }
                    if next < broker.kept.lock().unwrap().1 {
                        let mut message = Message::new(KIND, next.to_string());
                        message.tag = tag();
                        message.position = Position::Opaque(OpaqueId::new(id(next)).unwrap());
                        return Some((Ok(Delivery::Message(message)), (broker, changed, next + 1)));
                    }
                    changed.changed().await.unwrap();
                }
            });
        Ok(Subscribed { start, deliveries: deliveries.boxed() })
    }
}

/// What a page has: its last id, the numbers it got, and the gaps it was told.
#[derive(Debug, Default)]
struct Page {
    last_id: Option<String>,
    got: Vec<usize>,
    gaps: Vec<serde_json::Value>,
}

impl Page {
    async fn open(&self, channel: &Channel) -> EventStream {
        channel
            .stream(Resume { last_event_id: self.last_id.clone(), ..Resume::default() }, Select::all())
            .await
    }

    /// Reads until it has this number, or so many chunks.
    async fn read(&mut self, stream: &mut EventStream, until: usize, chunks: usize) {
        let mut decoder = Decoder::new();
        for _ in 0..chunks {
            if self.got.last() == Some(&until) {
                return;
            }
            let chunk = timeout(Duration::from_secs(120), stream.next()).await.unwrap();
            let Some(chunk) = chunk else { return };
            decoder.feed_bytes(chunk);
            while let Some(event) = decoder.next_event_ref().unwrap() {
                self.last_id = Some(event.last_event_id.to_owned());
                match event.event_type {
                    "message" => self.got.push(event.data.parse().unwrap()),
                    "tidewater.gap" => self.gaps.push(serde_json::from_str(event.data).unwrap()),
                    _ => {}
                }
            }
        }
    }

    /// As a browser does it: over as many streams as it takes.
    async fn follow(&mut self, channel: &Channel, until: usize) {
        while self.got.last() != Some(&until) {
            let mut stream = self.open(channel).await;
            self.read(&mut stream, until, usize::MAX).await;
        }
    }
}

/// A channel whose page has the first three messages.
async fn three(replay: AllowedReplay) -> (Arc<Broker>, Channel, Page, EventStream) {
    let broker = Broker::new();
    let node = broker.channel(SMALL, replay);
    let mut page = Page::default();
    let mut stream = page.open(&node).await;
    broker.publish(3);
    page.read(&mut stream, 2, 100).await;
    (broker, node, page, stream)
}

#[tokio::test(start_paused = true)]
async fn i1_clients_that_hop_get_everything_once() {
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let broker = Broker::new();
        let nodes = [(); 2].map(|()| broker.channel(SMALL, AllowedReplay::Everything));
        let mut pages: Vec<Page> = (0..5).map(|_| Page::default()).collect();
        for page in &mut pages {
            let mut stream = page.open(&nodes[0]).await;
            page.read(&mut stream, usize::MAX, 1).await;
        }
        for _ in 0..60 {
            broker.publish(rng.usize(..12));
            if rng.u8(..) < 20 {
                broker.cut();
            }
            for page in &mut pages {
                let mut stream = page.open(&nodes[rng.usize(..2)]).await;
                let chunks = rng.usize(1..5);
                let reading = page.read(&mut stream, usize::MAX, chunks);
                drop(timeout(Duration::from_millis(rng.u64(1..40)), reading).await);
            }
        }
        broker.publish(1);
        let last = broker.kept.lock().unwrap().1 - 1;
        for page in &mut pages {
            page.follow(&nodes[rng.usize(..2)], last).await;
            assert_eq!(page.got, (0..=last).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(page.gaps, [] as [serde_json::Value; 0], "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_nobody_has_any_more_is_one_gap() {
    let (broker, node, mut page, stream) = three(AllowedReplay::Everything).await;
    drop(stream);

    broker.publish_apart(50, 2).await;
    broker.forget(100);
    let mut again = page.open(&node).await;
    page.read(&mut again, usize::MAX, 2).await;
    broker.publish(1);
    page.read(&mut again, 103, 100).await;
    assert_eq!(page.gaps, [serde_json::json!({ "reason": "retention", "topic": "ids" })]);
    assert_eq!(page.got, [0, 1, 2, 103], "it goes on where the source begins");
}

#[tokio::test(start_paused = true)]
async fn i3_a_channel_that_allows_no_replay_goes_on_where_its_log_begins() {
    let (broker, node, mut page, stream) = three(AllowedReplay::Log).await;
    drop(stream);
    broker.publish_apart(50, 1).await;
    page.follow(&node, 52).await;
    assert_eq!(page.gaps, [serde_json::json!({ "reason": "replay", "topic": "ids" })]);
    assert_eq!(page.got.len(), 3 + SMALL.events);
    assert_eq!(page.got[3..], (53 - SMALL.events..53).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn i3_ids_without_an_order_go_back_as_far_as_the_log_has_them_in_time() {
    let (broker, node, mut page, stream) = three(AllowedReplay::Age(Duration::from_secs(60))).await;
    let young = Page { last_id: page.last_id.clone(), ..Page::default() };
    drop(stream);
    broker.publish(3);
    tokio::time::sleep(Duration::from_secs(40)).await;
    broker.publish(3);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut within = young;
    within.follow(&node, 8).await;
    assert_eq!((within.got, within.gaps.len()), ((3..9).collect(), 0), "all of it is younger");
    tokio::time::sleep(Duration::from_secs(30)).await;
    page.follow(&node, 8).await;
    assert_eq!(page.gaps, [serde_json::json!({ "reason": "replay", "topic": "ids" })]);
    assert_eq!(page.got[3..], [6, 7, 8]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_has_lost_its_place_tells_a_gap() {
    let (broker, _node, mut page, mut stream) = three(AllowedReplay::Everything).await;
    // Between the cut and the next subscription, what the node has read last is forgotten.
    broker.cut();
    broker.publish(100);
    broker.forget(90);
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.publish(1);
    page.read(&mut stream, 103, 100).await;
    assert_eq!(page.gaps, [serde_json::json!({ "reason": "lost", "topic": "ids", "partition": 0 })]);
    assert_eq!(page.got, [0, 1, 2, 103]);
}

#[tokio::test(start_paused = true)]
async fn i2_ids_that_were_never_given_out_are_a_gap_and_nothing_else() {
    let broker = Broker::new();
    let node = broker.channel(SMALL, AllowedReplay::Everything);
    broker.publish(1);
    let forged = [after("never".into()), after(String::new()), {
        let next = Next::Offsets(vec![7]);
        [TopicCursor { tag: tag(), epoch: EPOCH.tag(), next }].into_iter().collect()
    }];
    for (forged, number) in forged.into_iter().zip(1..) {
        let mut page = Page { last_id: Some(forged.to_string()), ..Page::default() };
        let mut stream = page.open(&node).await;
        page.read(&mut stream, usize::MAX, 2).await;
        broker.publish(1);
        page.read(&mut stream, number, 100).await;
        assert_eq!((page.gaps.len(), &page.got[..]), (1, &[number][..]), "{forged:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_earliest_is_where_the_log_begins() {
    let broker = Broker::new();
    let node = broker.channel(SMALL, AllowedReplay::Everything);
    let mut page = Page::default();
    let mut stream = page.open(&node).await;
    broker.publish_apart(50, 1).await;
    page.read(&mut stream, 49, 100).await;
    let mut page = Page::default();
    let earliest = Resume { start: Some(Start::Earliest), ..Resume::default() };
    let mut stream = node.stream(earliest, Select::all()).await;
    page.read(&mut stream, 49, 100).await;
    assert_eq!((page.got, page.gaps.len()), ((50 - SMALL.events..50).collect(), 0));
}
