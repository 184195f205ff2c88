//! Where the channels of one upstream read, and what they ask it together.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tidewater_core::{Bounds, Error, ErrorKind, Result, Source};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, timeout},
};

use crate::backfill::Readers;

/// How long an answer of the broker is waited for while a client is being answered.
pub(crate) const ASK: Duration = Duration::from_secs(5);

/// A source, with its readers of the past and the last reading of its bounds.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) readers: Arc<Readers>,
    /// How often the subscription had stalled, and was made anew.
    pub(crate) stalls: AtomicU64,
    /// The broker's bounds, and when reading them began.
    bounds: AsyncMutex<Option<(Instant, Arc<Bounds>)>>,
}

impl Origin {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, readers: Arc::default(), stalls: AtomicU64::new(0), bounds: AsyncMutex::default() }
    }

    /// The broker's bounds, read after this call began. Callers at the same time share one reading, whichever of the
    /// upstream's channels they come from.
    pub(crate) async fn bounds(&self) -> Result<Arc<Bounds>> {
        let asked = Instant::now();
        let mut last = self.bounds.lock().await;
        if let Some((began, bounds)) = &*last
            && *began > asked
        {
            return Ok(bounds.clone());
        }
        let began = Instant::now();
        let bounds = Arc::new(answered(self.source.bounds()).await?);
        *last = Some((began, bounds.clone()));
        Ok(bounds)
    }
}

/// The source's answer, or an error when it takes longer than a client can wait for.
pub(crate) async fn answered<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(ASK, answer).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unavailable, format!("the source did not answer within {ASK:?}")))
    })
}
