//! Rules 4 and 5, bounds and capabilities.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use tidewater_core::{Bounds, ErrorKind, Position, Source, Subscription, TopicBounds, TopicTag};

use super::super::{
    Failure,
    context::{Context, compare, same},
};

/// Clients that block take tenths of seconds; a busy machine delays a thread by less, and not every time.
const LONGEST: Duration = Duration::from_millis(60);
const TRIES: usize = 6;

pub(super) async fn drop_does_not_block(context: &mut Context) -> Result<(), Failure> {
    context.publish(20).await?;
    let mut shortest = Duration::MAX;
    for _ in 0..TRIES {
        let source = context.topic.source()?;
        // A runtime of one thread, on a thread of its own: what blocks it is seen by its own clock.
        let stalled = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(stall(source))
        })
        .await??;
        shortest = shortest.min(stalled);
        if shortest < LONGEST {
            return Ok(());
        }
    }
    Err(format!(
        "dropping the stream held up the runtime's thread for {shortest:?} (at best of {TRIES} times)"
    )
    .into())
}

/// The longest time for which a task of this runtime was not run, from the drop of a stream on.
async fn stall(source: Arc<dyn Source>) -> Result<Duration, Failure> {
    let mut subscribed = source.subscribe(Subscription::latest()).await?;
    // Lets it get going: what is dropped should be a reader at work.
    let _nothing = tokio::time::timeout(Duration::from_millis(100), subscribed.deliveries.next()).await;
    let ticks = tokio::spawn(async {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest
    });
    tokio::task::yield_now().await;
    drop(subscribed);
    Ok(ticks.await?)
}

pub(super) async fn not_polled(context: &mut Context) -> Result<(), Failure> {
    let mut follower = context.open(Subscription::latest()).await?;
    let count = 400 / context.partitions() as usize;
    for _ in 0..10 {
        context.publish_sized(count / 10, 64 << 10).await?;
    }
    if context.source.capabilities().replay {
        return context.read_all(&mut follower, 0).await;
    }
    // What it could not keep is gone: as long as it says so, and the rest is in order.
    context.read_to_end(&mut follower).await?;
    for partition in 0..context.partitions() {
        let delivered = follower.payloads(partition);
        let mut published = context.published(partition).iter();
        if let Some(stray) = delivered.iter().find(|payload| !published.any(|next| next == *payload)) {
            return Err(format!("out of order or twice: {:?}", stray.slice(..stray.len().min(60))).into());
        }
        if follower.gaps.is_empty() {
            compare(partition, context.published(partition), &delivered)?;
        }
    }
    Ok(())
}

pub(super) async fn bounds_and_capabilities(context: &mut Context) -> Result<(), Failure> {
    let capabilities = context.source.capabilities();
    let empty = context.bounds().await?;
    same("partitions", &empty.partitions.len(), &(context.partitions() as usize))?;
    same("the tag", &empty.tag, &TopicTag::of(context.source.kind(), &empty.name))?;
    if !capabilities.partitioned {
        same("partitions of a source without partitions", &empty.partitions.len(), &1)?;
    }

    let mut follower = context.open(Subscription::latest()).await?;
    context.publish(7).await?;
    context.read_all(&mut follower, 0).await?;
    let bounds = context.bounds().await?;
    same("the epoch", &bounds.epoch, &empty.epoch)?;
    for (partition, range) in (0..).zip(&bounds.partitions) {
        if range.start > range.end {
            return Err(format!("bounds that end before they begin: {range:?}").into());
        }
        same("the end", &Some(range.end), &follower.cursor.next_offset(bounds.tag, partition))?;
        if !capabilities.replay {
            same("the first of what can't be read again", &range.start, &range.end)?;
        }
    }
    let numbers = follower.messages.iter().all(|message| matches!(message.position, Position::Offset(_)));
    same("positions are numbers, as mergeable says", &numbers, &capabilities.mergeable)?;
    if !capabilities.from_time {
        let refused = context.source.subscribe(Subscription::at(std::time::SystemTime::now())).await;
        let kind = refused.err().map(|error| error.kind());
        same("what a start at a time is answered", &kind, &Some(ErrorKind::Unsupported))?;
    }
    Ok(())
}

/// What is the same for any two sources of one key, and that no two topics share one ([`super::one`]).
pub(super) async fn share_key(context: &mut Context) -> Result<(), Failure> {
    let (source, again) = (&context.source, context.topic.source()?);
    let key = source.share_key();
    if source.share_key() != key {
        return Err("the share key of one source changes".into());
    }
    if key.is_none() || again.share_key() != key {
        return Ok(());
    }
    same("the kind of the other", &again.kind(), &source.kind())?;
    same("the capabilities of the other", &again.capabilities(), &source.capabilities())?;
    let (own, other) = (source.bounds().await?, again.bounds().await?);
    let topics = |bounds: &Bounds| -> Vec<_> {
        // What only a process has counted may be counted anew by each source.
        let epoch = |topic: &TopicBounds| source.capabilities().replay.then_some(topic.epoch);
        bounds.topics.iter().map(|topic| (topic.tag, epoch(topic), topic.partitions.len())).collect()
    };
    same("the topics of the other", &topics(&other), &topics(&own))
}
