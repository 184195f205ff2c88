//! The bridge itself: at least once, in order, and on again after an outage of either end.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use tidewater::{Cursor, Delivery, Message, Result, Retry, Sink, Source, Subscription};

/// How long to wait before either end is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How far a bridge is.
#[derive(Default)]
pub(crate) struct Progress(Mutex<(u64, Cursor)>);

impl Progress {
    pub(crate) fn messages(&self) -> u64 {
        self.lock().0
    }

    /// Everything before it has been taken by the sink.
    pub(crate) fn cursor(&self) -> Cursor {
        self.lock().1.clone()
    }

    /// Counts what has been taken, and moves behind it.
    fn note(&self, delivery: Delivery) {
        let mut progress = self.lock();
        let (messages, cursor) = &mut *progress;
        match delivery {
            Delivery::Message(message) => {
                *messages += 1;
                let epoch = cursor.topic(message.tag).map(|topic| topic.epoch).unwrap_or_default();
                cursor.advance(message.tag, epoch, message.partition, &message.position);
            }
            Delivery::Progress(to) => cursor.merge(&to),
            Delivery::Gap(gap) => {
                eprintln!("\nmissing in {}/{}: {:?} ({})", gap.topic, gap.partition, gap.missing, gap.reason);
                if let (Some(missing), Some(topic)) = (gap.missing, cursor.topic(gap.tag)) {
                    cursor.raise(gap.tag, topic.epoch, gap.partition, missing.end);
                }
            }
            Delivery::Epoch(new) => {
                eprintln!("\n{} was made anew", new.topic);
                for (partition, next) in (0..).zip(new.start) {
                    cursor.raise(new.tag, new.epoch.tag(), partition, next);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Cursor)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies until there is an error that trying again can't help.
pub(crate) async fn run(
    source: &dyn Source,
    sink: &dyn Sink,
    mut from: Subscription,
    window: usize,
    progress: &Progress,
) -> Result<()> {
    loop {
        match copy(source, sink, from.clone(), window, progress).await {
            Err(error) if error.retry() == Retry::Later => eprintln!("\n{error}; trying again"),
            outcome => return outcome,
        }
        // What the sink has not answered is sent once more: at least once, never less.
        if !progress.cursor().is_empty() {
            from = Subscription::after(progress.cursor());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn copy(
    source: &dyn Source,
    sink: &dyn Sink,
    from: Subscription,
    window: usize,
    progress: &Progress,
) -> Result<()> {
    let subscribed = source.subscribe(from).await?;
    progress.lock().1 = subscribed.start;
    let mut deliveries = subscribed.deliveries;
    // A sink connects with its first message. That one goes alone, so that none overtakes it meanwhile.
    if let Some(first) = deliveries.try_next().await? {
        progress.note(send(sink, first).await?);
    }
    let mut done = deliveries.map_ok(|delivery| send(sink, delivery)).try_buffered(window);
    while let Some(delivery) = done.try_next().await? {
        progress.note(delivery);
    }
    Ok(())
}

/// Resolves when the sink has it.
async fn send(sink: &dyn Sink, delivery: Delivery) -> Result<Delivery> {
    if let Delivery::Message(message) = &delivery {
        match sink.send(message.clone()).await {
            Ok(_) => {}
            Err(error) if error.retry() == Retry::Later => return Err(error),
            // This one message is refused for good (too large, a header that the other side can't have): the rest
            // need not wait for it.
            Err(error) => eprintln!("\nleft out: {}: {error}", place(message)),
        }
    }
    Ok(delivery)
}

fn place(message: &Message) -> String {
    format!("{}/{} at {:?}", message.topic, message.partition, message.position)
}
