//! Where the channels of one upstream read, and what they ask it together.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tidewater_core::{Bounds, Result, Source};

use crate::{
    ask::{Question, answered},
    backfill::Readers,
};

/// A source, with its readers of the past and the last reading of its bounds.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) readers: Arc<Readers>,
    /// How often the subscription had stalled, and was made anew.
    pub(crate) stalls: AtomicU64,
    bounds: Question<Arc<Bounds>>,
}

impl Origin {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, readers: Arc::default(), stalls: AtomicU64::new(0), bounds: Question::default() }
    }

    /// The broker's bounds, read after this call began. Callers at the same time share one reading, whichever of the
    /// upstream's channels they come from.
    pub(crate) async fn bounds(&self) -> Result<Arc<Bounds>> {
        self.bounds.ask(Duration::ZERO, async { answered(self.source.bounds()).await.map(Arc::new) }).await
    }
}
