//! Whether an upstream that says nothing is still there.
//!
//! A source may wait for a lost broker by itself, as Kafka's client does: then its stream is merely silent, as it is
//! on a quiet topic. So behind a silence the broker is asked for its bounds. The answer changes what
//! [`Channel::status`](crate::Channel::status) says; and where the broker has what does not come, the
//! [watchdog](super::watchdog) makes the subscription anew. One that is not silent is asked too, now and then, because one
//! partition of many can stall.
//!
//! A hub with many upstreams asks [four times a second](BETWEEN) at most, whatever their number, each upstream at a
//! time of its own. One that finds its broker lost tells the others, and they ask within a second.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidewater_core::{Bounds, Error, ErrorKind, Result};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{Origin, Pulse};

/// How long an upstream is silent before it is asked, and then how often, about.
const SILENCE: Duration = Duration::from_secs(5);
/// How often an upstream that is not silent is asked, about.
const BUSY: Duration = Duration::from_secs(30);
/// The time from one upstream's question to another's, about, where there are many.
const BETWEEN: Duration = Duration::from_millis(250);
/// How soon it is asked again when it did not answer, and when another upstream's broker was lost.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) struct Probe<'a> {
    origin: &'a Origin,
    pulse: Arc<Pulse>,
    alarm: watch::Receiver<u64>,
    ask_at: Instant,
    /// When it is asked though it is not silent.
    busy_until: Instant,
    asking: Option<BoxFuture<'a, Result<Bounds>>>,
    lost: bool,
}

/// What a step has found out.
pub(super) enum Found {
    Nothing,
    /// It is there again: something came.
    Back,
    /// It answers; whether it is there again; and what it has.
    There(bool, Bounds),
    /// It does not answer.
    Lost(Error),
}

impl<'a> Probe<'a> {
    /// Of an upstream that is there now.
    pub(super) fn new(origin: &'a Origin, pulse: &Arc<Pulse>) -> Self {
        let alarm = pulse.alarm.subscribe();
        let ask_at = Instant::now() + spread(SILENCE, pulse);
        let busy_until = Instant::now() + spread(BUSY, pulse);
        Self { origin, pulse: pulse.clone(), alarm, ask_at, busy_until, asking: None, lost: false }
    }

    /// Something came.
    pub(super) fn alive(&mut self) -> Found {
        self.ask_at = (Instant::now() + spread(SILENCE, &self.pulse)).min(self.busy_until);
        if std::mem::take(&mut self.lost) { Found::Back } else { Found::Nothing }
    }

    /// One step: waits for the silence, asks, or takes the answer.
    ///
    /// # Cancel safety
    /// Safe: a question that is under way goes on with the next call.
    pub(super) async fn step(&mut self) -> Found {
        let Some(asking) = &mut self.asking else {
            tokio::select! {
                biased;
                () = sleep_until(self.ask_at) => self.asking = Some(ask(self.origin).boxed()),
                // The pulse is held here, so its sender is there.
                _ = self.alarm.changed() => {
                    self.ask_at = self.ask_at.min(Instant::now() + AGAIN.mul_f64(fastrand::f64()));
                }
            }
            return Found::Nothing;
        };
        let answer = asking.await;
        self.asking = None;
        match answer {
            Ok(bounds) => {
                self.busy_until = Instant::now() + spread(BUSY, &self.pulse);
                self.ask_at = Instant::now() + spread(SILENCE, &self.pulse);
                Found::There(std::mem::take(&mut self.lost), bounds)
            }
            Err(error) => {
                self.ask_at = Instant::now() + AGAIN;
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::warn!(
                        source = %self.origin.source,
                        "upstream is silent, and does not answer: {error}"
                    );
                    self.pulse.raise();
                }
                Found::Lost(error)
            }
        }
    }
}

/// About so long, or longer where there are many: spread, so that those that started together don't ask together.
fn spread(about: Duration, pulse: &Pulse) -> Duration {
    let upstreams = u32::try_from(pulse.upstreams.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    about.max(BETWEEN.saturating_mul(upstreams)).mul_f64(0.8 + 0.4 * fastrand::f64())
}

async fn ask(origin: &Origin) -> Result<Bounds> {
    let no_answer =
        |_| Error::new(ErrorKind::Unavailable, format!("{}: no answer within {PATIENCE:?}", origin.source));
    timeout(PATIENCE, origin.source.bounds()).await.map_err(no_answer)?
}
