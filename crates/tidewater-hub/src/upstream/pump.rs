//! The task of one upstream: subscribes, hands on what comes, and starts again after errors.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use tidewater_core::{Bounds, Deliveries, Error, ErrorKind, Result, Retry, Subscribed, Subscription};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tracing::{Instrument as _, debug_span, field::Empty};

use super::{
    Origin, Pulse,
    members::Members,
    probe::{Found, Probe},
    watchdog::Watchdog,
};
use crate::{backfill::prewarm, spans, state::Shared, status::UpstreamState};

/// The most deliveries that are made into batches at once.
const CHUNK: usize = 512;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(10);

/// The channels that are to be served, as the hub changes them.
type Joined = watch::Receiver<Vec<Arc<Shared>>>;

/// Runs until it is aborted.
pub(super) async fn run(origin: Arc<Origin>, mut joined: Joined, pulse: Arc<Pulse>) {
    // An error says that the hub is gone, and this task with it.
    drop(joined.wait_for(|members| !members.is_empty()).await);
    let mut pump = Pump {
        origin: &origin,
        joined,
        pulse,
        members: Members::default(),
        prewarming: JoinSet::new(),
        watchdog: Watchdog::default(),
    };
    pump.sync();
    let mut backoff = FIRST_BACKOFF;
    loop {
        let began = Instant::now();
        // A source that panics is one that is lost: the channels that it is for are not to be silent for ever.
        let error = match AssertUnwindSafe(pump.follow()).catch_unwind().await {
            Ok(Ok(never)) => match never {},
            Ok(Err(error)) => error,
            Err(_) => {
                pump.members.mend();
                Error::new(ErrorKind::Unavailable, "the source panicked: see the log")
            }
        };
        pump.members.flush_all();
        let wait = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
        tracing::warn!(
            channels = %pump.members, source = %origin.source,
            "upstream lost, trying again in {wait:.1?}: {error}"
        );
        let slow = error.retry() == Retry::Never;
        if !slow {
            pump.pulse.raise();
        }
        pump.members.stand(UpstreamState::Degraded, Some(error));
        if began.elapsed() > LAST_BACKOFF && !slow {
            backoff = FIRST_BACKOFF;
        }
        pump.pause(wait).await;
        backoff = if slow { LAST_BACKOFF } else { (backoff * 2).min(LAST_BACKOFF) };
    }
}

struct Pump<'a> {
    origin: &'a Origin,
    joined: Joined,
    pulse: Arc<Pulse>,
    members: Members,
    /// Ends with the pump.
    prewarming: JoinSet<()>,
    watchdog: Watchdog,
}

impl Pump<'_> {
    /// One subscription, from its start to its error.
    async fn follow(&mut self) -> Result<Infallible> {
        let before = self.origin.subscriptions.load(Ordering::Relaxed);
        let span = debug_span!(
            "subscribe",
            otel.kind = "client",
            otel.status_code = Empty,
            "error.type" = Empty,
            tidewater.source = %self.origin.source,
            tidewater.channels = %self.members,
            tidewater.subscriptions_before = spans::count(before),
        );
        let subscribed = self.subscribe().instrument(span.clone()).await;
        if let Err(error) = &subscribed {
            spans::failed(&span, error);
        }
        // What comes of it may go on for months.
        drop(span);
        self.deliver(subscribed?).await
    }

    /// Asks where the source is, and begins where the channels are.
    async fn subscribe(&mut self) -> Result<Deliveries> {
        let source = &self.origin.source;
        let bounds = self.meanwhile(source.bounds()).await?;
        bounds.check()?;
        self.members.know(&bounds)?;
        // The channel's own start is for clients; the upstream goes on, or begins with what comes from now on.
        let subscription = Subscription { after: self.members.position().cloned(), ..Subscription::latest() };
        let Subscribed { start, deliveries } = self.meanwhile(source.subscribe(subscription)).await?;
        self.origin.look(&start, &bounds);
        self.members.start(start, &bounds).await?;
        self.origin.subscriptions.fetch_add(1, Ordering::Relaxed);
        self.prewarm();
        tracing::info!(channels = %self.members, source = %source, "upstream live");
        Ok(deliveries)
    }

    async fn deliver(&mut self, deliveries: Deliveries) -> Result<Infallible> {
        let mut chunks = deliveries.ready_chunks(CHUNK);
        let mut probe = Probe::new(self.origin, &self.pulse);
        let mut evict_at = Instant::now();
        let ended = || Error::new(ErrorKind::Unavailable, "the source ended its stream");
        loop {
            // What is rare comes first: messages may always be there.
            let found = tokio::select! {
                biased;
                Ok(()) = self.joined.changed() => {
                    self.sync();
                    evict_at = Instant::now();
                    Found::Nothing
                }
                () = sleep_until(self.members.due().unwrap_or(evict_at)), if self.members.due().is_some() => {
                    self.members.flush(Instant::now());
                    Found::Nothing
                }
                () = sleep_until(evict_at) => {
                    evict_at = Instant::now() + self.members.evict();
                    Found::Nothing
                }
                found = probe.step() => found,
                chunk = chunks.next() => {
                    self.hand_on(chunk.ok_or_else(ended)?).await?;
                    probe.alive()
                }
            };
            match found {
                Found::Nothing => {}
                Found::Back => self.back(),
                Found::There(back, bounds) => {
                    if back {
                        self.back();
                    }
                    match chunks.next().now_or_never() {
                        Some(chunk) => self.hand_on(chunk.ok_or_else(ended)?).await?,
                        None => self.watchdog.idle(),
                    }
                    self.watch(&bounds)?;
                }
                Found::Lost(error) => self.members.stand(UpstreamState::Degraded, Some(error)),
            }
        }
    }

    fn back(&mut self) {
        tracing::info!(channels = %self.members, source = %self.origin.source, "upstream is back");
        self.members.stand(UpstreamState::Live, None);
    }

    /// Whether it gets on, now that the broker has answered.
    ///
    /// # Errors
    /// It has stalled, and is to be made anew.
    fn watch(&mut self, bounds: &Bounds) -> Result<()> {
        let Some(position) = self.members.position() else { return Ok(()) };
        self.origin.look(position, bounds);
        if !self.origin.source.capabilities().replay {
            return Ok(());
        }
        let Some(stall) = self.watchdog.look(position, bounds) else { return Ok(()) };
        self.origin.stalls.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(ErrorKind::Unavailable, format!("the subscription has stalled: {stall}")))
    }

    /// Hands on what stands before an error, then answers the error.
    async fn hand_on(&mut self, chunk: Vec<Result<tidewater_core::Delivery>>) -> Result<()> {
        let mut ready = Vec::with_capacity(chunk.len());
        let mut ended = Ok(());
        for delivery in chunk {
            match delivery {
                Ok(delivery) => ready.push(delivery),
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        self.members.deliver(&ready).await;
        self.prewarm();
        ended
    }

    /// Waits, and lets channels come and go in the meantime.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return done,
                Ok(()) = self.joined.changed() => self.sync(),
            }
        }
    }

    /// Waits before the next try; less if none of the channels could be served, and another one comes.
    async fn pause(&mut self, wait: Duration) {
        let mut wait = std::pin::pin!(sleep(wait));
        loop {
            tokio::select! {
                biased;
                () = &mut wait => return,
                Ok(()) = self.joined.changed() => {
                    self.sync();
                    if self.members.all_refused() {
                        return;
                    }
                }
            }
        }
    }

    fn sync(&mut self) {
        let joined = self.joined.borrow_and_update().clone();
        self.members.sync(&joined);
        self.prewarm();
    }

    /// Reads what comes before the start of those who have just begun.
    fn prewarm(&mut self) {
        if let Some((channels, until)) = self.members.take_begun() {
            for group in prewarm::groups(channels) {
                self.prewarming.spawn(prewarm::run(group, until.clone()));
            }
        }
        while self.prewarming.try_join_next().is_some() {}
    }
}
