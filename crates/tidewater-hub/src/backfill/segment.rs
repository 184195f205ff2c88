//! A piece of the past, and the subscription that it is read from.

use std::{fmt, time::Duration};

use futures_util::StreamExt as _;
use tidewater_core::{Cursor, Deliveries, Result, Subscription};
use tokio::time::{Instant, timeout};

use crate::{
    log::frame::Batch,
    render::{Press, Pressed},
    state::Shared,
};

/// What a segment holds at most, about. Little in tests, so that the model gets past it.
const SEGMENT_BYTES: usize = 1 << 20;
const SEGMENT_EVENTS: usize = if cfg!(test) { 12 } else { 8192 };
/// How long a reader fills one segment at most.
const SEGMENT_TIME: Duration = Duration::from_secs(2);
/// A reader that gets nothing for so long ends its segment; the first delivery may take longer.
const IDLE: Duration = Duration::from_millis(300);
const FIRST_IDLE: Duration = Duration::from_secs(5);

/// A piece of the past.
#[derive(Debug)]
pub(crate) struct Segment {
    /// What it was read after.
    wanted: Cursor,
    /// Where it really starts.
    pub(crate) start: Cursor,
    pub(crate) batches: Vec<Batch>,
    pub(crate) end: Cursor,
}

impl Segment {
    /// Whether it holds something for a client with this cursor, and nothing before it is missing.
    pub(super) fn suits(&self, cursor: &Cursor) -> bool {
        cursor.dominates(&self.wanted)
            && self.wanted.topics().len() == cursor.topics().len()
            && !cursor.dominates(&self.end)
    }
}

/// A subscription in the past.
pub(super) struct Reader {
    start: Cursor,
    press: Press,
    deliveries: Deliveries,
}

impl Reader {
    /// Subscribes from a cursor on.
    pub(super) async fn open(shared: &Shared, after: &Cursor) -> Result<Self> {
        let subscription = Subscription { start: shared.settings.start, after: Some(after.clone()) };
        let subscribed = shared.source().subscribe(subscription).await?;
        let start = subscribed.start;
        Ok(Self { press: Press::new(start.clone()), start, deliveries: subscribed.deliveries })
    }

    /// Where it goes on.
    pub(super) fn at(&self) -> &Cursor {
        self.press.cursor()
    }

    /// Reads up to the live edge or a segment's bounds, and tells whether the subscription is good for more.
    pub(super) async fn fill(&mut self, shared: &Shared, wanted: &Cursor) -> Result<(Segment, bool)> {
        let until = shared.lock().log.as_ref().map(|log| (**log.head()).clone()).unwrap_or_default();
        let began = Instant::now();
        let start = std::mem::take(&mut self.start);
        let (mut batches, mut bytes, mut events) = (Vec::new(), 0, 0);
        let mut good = true;
        while bytes < SEGMENT_BYTES && events < SEGMENT_EVENTS && began.elapsed() < SEGMENT_TIME {
            if self.press.cursor().dominates(&until) {
                break;
            }
            let patience = if events == 0 { FIRST_IDLE } else { IDLE };
            let delivery = match timeout(patience, self.deliveries.next()).await {
                Err(_) => {
                    // One that has brought nothing at all may have stalled: whoever asks again gets another.
                    good = events > 0;
                    break;
                }
                Ok(Some(Ok(delivery))) => delivery,
                Ok(Some(Err(error))) if batches.is_empty() => return Err(error),
                Ok(_) => {
                    good = false;
                    break;
                }
            };
            self.press.add(&delivery, &shared.render, SEGMENT_BYTES / 16);
            for batch in self.press.take_full().into_iter().filter_map(Pressed::into_batch) {
                bytes += batch.bytes.len();
                batches.push(batch);
            }
            events += 1;
        }
        batches.extend(self.press.take().into_iter().filter_map(Pressed::into_batch));
        let end = self.press.cursor().clone();
        self.start = end.clone();
        Ok((Segment { wanted: wanted.clone(), start, batches, end }, good))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("at", self.press.cursor()).finish_non_exhaustive()
    }
}
