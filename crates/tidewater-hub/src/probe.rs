//! Whether an upstream that says nothing is still there.
//!
//! A source may wait for a lost broker by itself, as Kafka's client does: then its stream is merely silent, as it is
//! on a quiet topic. So behind a silence the broker is asked for its bounds. The answer changes what
//! [`Channel::status`](crate::Channel::status) says and nothing else: the stream is the source's to end.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use tidewater_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{state::Shared, status::UpstreamState};

/// How long an upstream is silent before it is asked, and then how often.
const SILENCE: Duration = Duration::from_secs(5);
/// How soon it is asked again when it did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Probe<'a> {
    shared: &'a Shared,
    ask_at: Instant,
    asking: Option<BoxFuture<'a, Result<()>>>,
    lost: bool,
}

impl<'a> Probe<'a> {
    /// Of an upstream that is there now.
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, ask_at: Instant::now() + SILENCE, asking: None, lost: false }
    }

    /// Something came.
    pub(crate) fn alive(&mut self) {
        self.asking = None;
        self.ask_at = Instant::now() + SILENCE;
        if std::mem::take(&mut self.lost) {
            tracing::info!(channel = &*self.shared.name, source = %self.shared.source, "upstream is back");
            self.shared.upstream(UpstreamState::Live, None);
        }
    }

    /// One step: waits for the silence, asks, or takes the answer.
    ///
    /// # Cancel safety
    /// Safe: a question that is under way goes on with the next call.
    pub(crate) async fn step(&mut self) {
        let Some(asking) = &mut self.asking else {
            sleep_until(self.ask_at).await;
            self.asking = Some(ask(self.shared).boxed());
            return;
        };
        let answer = asking.await;
        self.asking = None;
        match answer {
            Ok(()) => self.alive(),
            Err(error) => {
                self.ask_at = Instant::now() + AGAIN;
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::warn!(
                        channel = &*self.shared.name, source = %self.shared.source,
                        "upstream is silent, and does not answer: {error}"
                    );
                }
                self.shared.upstream(UpstreamState::Degraded, Some(error));
            }
        }
    }
}

async fn ask(shared: &Shared) -> Result<()> {
    let no_answer =
        |_| Error::new(ErrorKind::Unavailable, format!("{}: no answer within {PATIENCE:?}", shared.source));
    timeout(PATIENCE, shared.source.bounds()).await.map_err(no_answer)?.map(drop)
}
