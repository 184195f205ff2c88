//! The one upstream subscription of a channel: subscribes, renders, appends, and starts again after errors.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tidewater_core::{Bounds, Cursor, Deliveries, Error, ErrorKind, Result, Retry, Subscribed, Subscription};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    probe::Probe,
    render::{Press, is_behind, told_by_start},
    resume::Topics,
    state::Shared,
    status::UpstreamState,
};

/// The most deliveries that are made into batches at once.
const CHUNK: usize = 512;
/// About how many bytes a batch holds: what one write to a client that is behind takes.
const BATCH_BYTES: usize = 64 << 10;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// The longest id that goes out unless the channel allows more, in characters: with the default limits of the
/// proxies in front (nginx: 8 KiB for all headers together) a client could not send a longer one back.
const MAX_ID: usize = 4 << 10;

/// Runs until the channel is dropped or drained.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let began = Instant::now();
        let error = match follow(&shared).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let wait = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
        tracing::warn!(
            channel = &*shared.name, source = %shared.source,
            "upstream lost, trying again in {wait:.1?}: {error}"
        );
        let slow = error.retry() == Retry::Never;
        shared.upstream(UpstreamState::Degraded, Some(error));
        if began.elapsed() > LAST_BACKOFF && !slow {
            backoff = FIRST_BACKOFF;
        }
        sleep(wait).await;
        backoff = if slow { LAST_BACKOFF } else { (backoff * 2).min(LAST_BACKOFF) };
    }
}

/// One subscription, from its start to its error. `Ok` when the channel is drained.
async fn follow(shared: &Shared) -> Result<()> {
    let head = shared.lock().log.as_ref().map(|log| (**log.head()).clone());
    let bounds = shared.source.bounds().await?;
    bounds.check()?;
    check_id(shared, &bounds)?;
    shared.lock().topics =
        Topics(bounds.topics.iter().map(|topic| (topic.tag, topic.name.clone())).collect());
    let subscription = Subscription { start: shared.settings.upstream_start, after: head.clone() };
    let Subscribed { start, deliveries } = shared.source.subscribe(subscription).await?;
    let mut press = begin(shared, head, start, &bounds)?;
    shared.append(press.take());
    shared.upstream(UpstreamState::Live, None);
    tracing::info!(channel = &*shared.name, source = %shared.source, "upstream live");
    deliver(shared, &mut press, deliveries).await
}

/// Puts the log at the subscription's start; what lies between it and what was wanted is told.
fn begin(shared: &Shared, head: Option<Cursor>, start: Cursor, bounds: &Bounds) -> Result<Press> {
    let Some(head) = head.filter(|head| !is_behind(&start, head)) else {
        // The first start; or positions that were given out are gone upstream: streams end, and their clients are
        // told when they come back with an id that is ahead.
        shared.begin(start.clone());
        return Ok(Press::new(start));
    };
    let mut press = Press::new(head.clone());
    press.tell(told_by_start(&head, &start, bounds)?, &shared.render);
    Ok(press)
}

async fn deliver(shared: &Shared, press: &mut Press, deliveries: Deliveries) -> Result<()> {
    let mut chunks = deliveries.ready_chunks(CHUNK);
    let mut evict =
        interval((shared.settings.log.age / 4).clamp(Duration::from_millis(100), Duration::from_secs(5)));
    evict.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut probe = Probe::new(shared);
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            now = evict.tick() => {
                shared.lock().evict(now);
                continue;
            }
            () = probe.step() => continue,
        };
        let Some(chunk) = chunk else {
            return Err(Error::new(ErrorKind::Unavailable, "the source ended its stream"));
        };
        probe.alive();
        for delivery in chunk {
            match delivery {
                Ok(delivery) => press.add(delivery, &shared.render, BATCH_BYTES),
                Err(error) => {
                    shared.append(press.take());
                    return Err(error);
                }
            }
        }
        shared.append(press.take());
    }
}

/// A channel whose id could not come back through the proxies in front is refused (I2).
fn check_id(shared: &Shared, bounds: &Bounds) -> Result<()> {
    let worst = Cursor::worst_text_len(bounds.topics.iter().map(|topic| topic.partitions.len()));
    if worst <= MAX_ID || shared.settings.large_ids {
        return Ok(());
    }
    let partitions: usize = bounds.topics.iter().map(|topic| topic.partitions.len()).sum();
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "{partitions} partitions make ids of up to {worst} characters, more than {MAX_ID}: browsers send them back \
             in a header, and proxies limit headers (nginx: 8 KiB in all); split the channel, or allow large_ids"
        ),
    ))
}
