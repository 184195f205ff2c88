//! What a channel reads into its log when it starts, so that the clients of a node that was restarted go on from memory.
//!
//! The channel is live at once, from where its upstream subscription starts. What comes before is read by one reader, for
//! all channels that started together, and put in front of their logs as a whole when it has come to that place.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use tidewater_core::{
    Bounds, Cursor, Delivery, Error, ErrorKind, Gap, Next, Result, Subscription, TopicCursor, TopicTag,
};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, debug_span, field::Empty};

use super::{at, queue::Ask, readers::Turn};
use crate::{
    log::frame::Batch,
    render::{Press, Pressed},
    settings::{AllowedReplay, Prewarm},
    spans,
    state::Shared,
};

/// About how many bytes a batch holds at most; and how many batches a window has at least, for its bounds are kept by whole ones.
const BATCH_BYTES: usize = 64 << 10;
const BATCHES: usize = 32;
/// How long it may take in all, and how long the source may be silent. Clients wait for less; in tests for more, so that
/// the model can judge by the log what they are told.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 4 } else { 30 });
const IDLE: Duration = Duration::from_secs(5);

/// Whether this channel is to be pre-warmed: before it is, its flag says that it is not warm.
pub(crate) fn applies(shared: &Shared) -> bool {
    let can = shared.source().capabilities();
    // Without the broker's times nobody could say what of it is too old to be given out.
    let known = can.from_time || !matches!(shared.settings.replay, AllowedReplay::Age(_));
    shared.settings.prewarm.is_some() && can.replay && can.mergeable && known
}

/// How far back in time a channel is pre-warmed at most: not past what it may give out.
fn age(shared: &Shared) -> Option<Duration> {
    let wanted = shared.settings.prewarm.and_then(|own| own.age);
    match shared.settings.replay {
        AllowedReplay::Age(allowed) => Some(wanted.map_or(allowed, |wanted| wanted.min(allowed))),
        AllowedReplay::Everything | AllowedReplay::Log => wanted,
    }
}

/// Puts channels together that can be pre-warmed by one reader: what one may have, the others may.
pub(crate) fn groups(channels: Vec<Arc<Shared>>) -> impl Iterator<Item = Vec<Arc<Shared>>> {
    let mut groups: Vec<Vec<Arc<Shared>>> = Vec::new();
    for shared in channels {
        match groups.iter_mut().find(|group| age(&group[0]) == age(&shared)) {
            Some(group) => group.push(shared),
            None => groups.push(vec![shared]),
        }
    }
    groups.into_iter()
}

/// Pre-warms channels of one [group](groups) that have started here. Their flags say when it is over, however it ends.
pub(crate) async fn run(channels: Vec<Arc<Shared>>, until: Cursor) {
    let mut warming: Vec<_> = channels.into_iter().map(|shared| Warming::new(shared, &until)).collect();
    let began = Instant::now();
    let span = debug_span!(
        "prewarm",
        otel.kind = "client",
        otel.status_code = Empty,
        "error.type" = Empty,
        tidewater.channel_count = spans::count(warming.len()),
        tidewater.source = warming.first().map(|own| display(own.shared.source())),
    );
    let read = timeout(PATIENCE, read(&mut warming, &until)).instrument(span.clone());
    let read = read.await.unwrap_or_else(|_| Err(unavailable("it takes too long")));
    if let Err(error) = &read {
        spans::failed(&span, error);
    }
    match read {
        Ok(()) => {
            for own in &mut warming {
                own.finish(began);
            }
        }
        Err(error) => {
            if let Some(own) = warming.first() {
                let (channels, source) = (warming.len(), own.shared.source());
                tracing::warn!(channel = &*own.shared.name, channels, %source, "the log is not pre-warmed: {error}");
            }
        }
    }
}

async fn read(warming: &mut [Warming], until: &Cursor) -> Result<()> {
    let Some(shared) = warming.first().map(|own| own.shared.clone()) else { return Ok(()) };
    let from = window(&shared, warming, until).await?;
    if from.dominates(until) {
        return Ok(());
    }
    // It is nobody's segment, so nobody follows; and whoever comes back waits for it, so it is as near as can be.
    let ask = Ask { channel: shared.name.clone(), wanted: None, distance: 0, follows: false };
    let _turn = match shared.origin.readers.turn(ask).await {
        Turn::Read(permit) => permit,
        Turn::Follow(_) => return Err(unavailable("there is no reader for it")),
    };
    let mut subscribed = shared.source().subscribe(Subscription::after(from)).await?;
    for own in &mut *warming {
        own.press = Press::new(clamped(&subscribed.start, until)?);
    }
    let mut cursor = clamped(&subscribed.start, until)?;
    while !cursor.dominates(until) {
        let next = timeout(IDLE, subscribed.deliveries.next()).await;
        let delivery = match next.map_err(|_| unavailable("the source is silent"))? {
            Some(delivery) => delivery?,
            None => return Err(unavailable("the source ended its stream")),
        };
        let delivery = before(delivery, until)?;
        if matches!(&delivery, Delivery::Progress(to) if cursor.dominates(to)) {
            // Nothing new; and it would end a batch.
            continue;
        }
        delivery.advance(&mut cursor);
        for own in &mut *warming {
            own.add(&delivery);
        }
    }
    Ok(())
}

/// Where the largest window of these channels begins.
async fn window(shared: &Shared, warming: &[Warming], until: &Cursor) -> Result<Cursor> {
    let bounds = shared.origin.bounds().await?;
    let events = warming.iter().map(|own| own.bounds.events).max().unwrap_or_default();
    let mut from = last(events as u64, until, &bounds);
    if let Some(age) = age(shared).filter(|_| shared.source().capabilities().from_time) {
        let time = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        for topic in at(shared, time).await?.topics() {
            if from.topic(topic.tag).is_some_and(|own| own.epoch == topic.epoch) {
                from.merge(&[topic.clone()].into_iter().collect());
            }
        }
    }
    clamped(&from, until)
}

/// The place so many offsets before another: each partition gives as many as the others, or all that it has.
fn last(events: u64, until: &Cursor, bounds: &Bounds) -> Cursor {
    let first = |tag: TopicTag, partition: usize| {
        let topic = bounds
            .topic(tag)
            .filter(|topic| until.topic(tag).is_some_and(|own| own.epoch == topic.epoch.tag()));
        topic.and_then(|topic| topic.partitions.get(partition)).map(|range| range.start)
    };
    let mut partitions: Vec<(u64, TopicTag, usize)> = until
        .topics()
        .iter()
        .flat_map(|topic| {
            topic.offsets().iter().enumerate().map(|(partition, next)| (topic.tag, partition, *next))
        })
        .map(|(tag, partition, next)| {
            (first(tag, partition).map_or(0, |first| next.saturating_sub(first)), tag, partition)
        })
        .collect();
    partitions.sort_unstable();
    let (mut from, mut rest) = (until.clone(), events);
    for (index, (held, tag, partition)) in partitions.iter().enumerate() {
        let share = (rest / (partitions.len() - index) as u64).min(*held);
        rest -= share;
        if let Some(mut topic) = from.remove(*tag) {
            if let Next::Offsets(next) = &mut topic.next {
                next[*partition] -= share;
            }
            from.set(topic);
        }
    }
    from
}

/// What a cursor says of the topics that there are, but nowhere past a place.
fn clamped(cursor: &Cursor, until: &Cursor) -> Result<Cursor> {
    let clamp = |own: &TopicCursor| {
        let end = until.topic(own.tag)?;
        let next = (0..).zip(end.offsets()).map(|(partition, end)| own.offset(partition).min(*end)).collect();
        let same = own.epoch == end.epoch;
        let anew = || unavailable("the topic was made anew");
        Some(same.then(|| TopicCursor { next: Next::Offsets(next), ..end.clone() }).ok_or_else(anew))
    };
    cursor.topics().iter().filter_map(clamp).collect()
}

/// What of a delivery is before a place; the rest is in the log. That something of a partition is past it says that nothing
/// before it comes any more.
fn before(delivery: Delivery, until: &Cursor) -> Result<Delivery> {
    let end = |tag, partition| until.next_offset(tag, partition).unwrap_or(0);
    Ok(match delivery {
        Delivery::Message(message) => {
            let offset = message.position.offset().unwrap_or(u64::MAX);
            if offset < end(message.tag, message.partition) {
                Delivery::Message(message)
            } else {
                reached(until, message.tag, message.partition)
            }
        }
        Delivery::Gap(gap) => {
            let missing = gap.missing.clone().ok_or_else(|| unavailable("something was lost"))?;
            let missing = missing.start..missing.end.min(end(gap.tag, gap.partition));
            if missing.is_empty() {
                reached(until, gap.tag, gap.partition)
            } else {
                Delivery::Gap(Gap { missing: Some(missing), ..gap })
            }
        }
        Delivery::Progress(to) => Delivery::Progress(clamped(&to, until)?),
        Delivery::Epoch(_) => return Err(unavailable("the topic was made anew")),
    })
}

/// One partition has come to the end.
fn reached(until: &Cursor, tag: TopicTag, partition: u32) -> Delivery {
    let mut to = Cursor::default();
    if let Some(topic) = until.topic(tag) {
        to.raise(tag, topic.epoch, partition, topic.offset(partition));
    }
    Delivery::Progress(to)
}

fn unavailable(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why.to_owned())
}

/// One channel, and what has been read for it so far: the newest, within its bounds.
struct Warming {
    shared: Arc<Shared>,
    generation: u64,
    bounds: Prewarm,
    press: Press,
    /// Deliveries since a batch was cut for their number.
    in_press: usize,
    batches: VecDeque<Batch>,
    bytes: usize,
    events: usize,
}

impl Warming {
    fn new(shared: Arc<Shared>, until: &Cursor) -> Self {
        let (own, log) = (shared.settings.prewarm.unwrap_or_default(), shared.settings.log);
        let bounds = Prewarm { events: own.events.min(log.events), bytes: own.bytes.min(log.bytes), ..own };
        let generation = shared.lock().generation;
        let press = Press::new(until.clone());
        Self { shared, generation, bounds, press, in_press: 0, batches: VecDeque::new(), bytes: 0, events: 0 }
    }

    fn add(&mut self, delivery: &Delivery) {
        self.press.add(delivery, &self.shared.render, BATCH_BYTES.min(self.bounds.bytes / BATCHES));
        self.in_press += 1;
        let full = if self.in_press > self.bounds.events / BATCHES {
            self.in_press = 0;
            self.press.take()
        } else {
            self.press.take_full()
        };
        self.keep(full);
    }

    fn keep(&mut self, pressed: Vec<Pressed>) {
        for batch in pressed.into_iter().filter_map(Pressed::into_batch) {
            self.bytes += batch.size();
            self.events += batch.frames.len();
            self.batches.push_back(batch);
        }
        while self.bytes > self.bounds.bytes || self.events > self.bounds.events {
            let Some(oldest) = self.batches.pop_front() else { return };
            self.bytes -= oldest.size();
            self.events -= oldest.frames.len();
        }
    }

    fn finish(&mut self, began: Instant) {
        let rest = self.press.take();
        self.keep(rest);
        let (shared, events, bytes) = (&self.shared, self.events, self.bytes);
        let mut state = shared.lock();
        if state.generation != self.generation {
            return;
        }
        if state.log.as_mut().is_some_and(|log| log.prepend(self.batches.drain(..))) && events > 0 {
            tracing::info!(
                channel = &*shared.name, events, bytes, took = ?began.elapsed(),
                "the log is pre-warmed"
            );
        }
    }
}

impl Drop for Warming {
    /// Whoever waits for it goes on.
    fn drop(&mut self) {
        self.shared.warm.send_replace(true);
    }
}
