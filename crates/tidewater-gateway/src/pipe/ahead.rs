//! Reading ahead: what the source delivers while the sink is being written to.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use futures_util::StreamExt as _;
use tidewater::{Cursor, Deliveries, Delivery, Error, ErrorKind, Transfer};

/// The bytes that are read ahead; one message may be larger.
const AHEAD: usize = 16 << 20;
/// The most messages, and about the most bytes, that are written at once.
const BATCH: usize = 2_000;
const BATCH_BYTES: usize = 4 << 20;
/// About what a message takes beside its bytes.
const OVERHEAD: usize = 256;
/// Deliveries that are taken before others have their turn.
const TURN: usize = 256;

/// A subscription, and what was read of it and not taken yet.
pub(super) struct Ahead {
    deliveries: Deliveries,
    queue: VecDeque<Delivery>,
    /// How many in front the start has told.
    told: usize,
    bytes: usize,
    end: Option<Error>,
    closed: bool,
}

/// What stands first.
#[derive(Debug)]
pub(super) enum Taken {
    /// These messages (there may be none), and where the source stands behind them.
    Batch(Vec<Transfer>, Cursor),
    /// A gap or a new incarnation.
    Told(Delivery),
    /// The subscription is over.
    End(Error),
}

impl Ahead {
    /// These deliveries, and before them what the subscription's start has told.
    pub(super) fn new(told: Vec<Delivery>, deliveries: Deliveries) -> Self {
        let bytes = told.iter().map(size).sum();
        Self { deliveries, told: told.len(), queue: told.into(), bytes, end: None, closed: false }
    }

    /// Waits until there is something.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn filled(&mut self) {
        poll_fn(|cx| {
            self.read(cx);
            if self.queue.is_empty() && self.end.is_none() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Reads while this is being done.
    ///
    /// # Cancel safety
    /// As that of what is done.
    pub(super) async fn beside<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = pin!(done);
        poll_fn(|cx| {
            let done = done.as_mut().poll(cx);
            if done.is_pending() {
                self.read(cx);
            }
            done
        })
        .await
    }

    /// Reads no more: what there is is taken, and nothing comes.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether all is taken that the start has told.
    pub(super) fn has_begun(&self) -> bool {
        self.told == 0
    }

    /// Takes what stands first; `None` if there is nothing. `cursor` moves with what is taken, but for what is told.
    pub(super) fn take(&mut self, cursor: &mut Cursor) -> Option<Taken> {
        if self.queue.is_empty() {
            return self.end.take().map(Taken::End);
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(delivery) = self.queue.pop_front() {
            let of_start = self.told > 0;
            self.told -= usize::from(of_start);
            let size = size(&delivery);
            self.bytes = self.bytes.saturating_sub(size);
            match delivery {
                Delivery::Message(message) => {
                    let delivery = Delivery::Message(message);
                    delivery.advance(cursor);
                    let Delivery::Message(message) = delivery else { continue };
                    // Each has the whole cursor with it.
                    bytes +=
                        size + cursor.topics().iter().map(|topic| 8 * topic.offsets().len()).sum::<usize>();
                    batch.push(Transfer { message, next: cursor.clone() });
                    if batch.len() == BATCH || bytes >= BATCH_BYTES {
                        break;
                    }
                }
                Delivery::Progress(to) => cursor.progress(&to),
                told if batch.is_empty() => return Some(Taken::Told(told)),
                told => {
                    self.told += usize::from(of_start);
                    self.bytes += size;
                    self.queue.push_front(told);
                    break;
                }
            }
        }
        Some(Taken::Batch(batch, cursor.clone()))
    }

    fn read(&mut self, cx: &mut Context<'_>) {
        for _ in 0..TURN {
            if self.closed || self.end.is_some() || self.bytes >= AHEAD {
                return;
            }
            match self.deliveries.poll_next_unpin(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(delivery))) => {
                    self.bytes += size(&delivery);
                    self.queue.push_back(delivery);
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(error),
                Poll::Ready(None) => {
                    self.end = Some(Error::new(ErrorKind::Unavailable, "the source ended its stream"));
                }
            }
        }
        cx.waker().wake_by_ref();
    }
}

fn size(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Message(message) => message.size() + OVERHEAD,
        _ => OVERHEAD,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{FutureExt as _, stream};
    use tidewater::Message;

    use super::*;

    fn messages(count: usize, bytes: usize) -> (Deliveries, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        let one = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Delivery::Message(Message::new("t", vec![0; bytes])))
        };
        (stream::iter(0..count).map(one).boxed(), read)
    }

    /// What is slow to write is not read ahead for without a bound.
    #[tokio::test]
    async fn memory_is_bounded_whatever_the_messages_are() {
        for (bytes, most) in [(10, 63_000), (1 << 20, 17), (40 << 20, 1)] {
            let (deliveries, read) = messages(100_000, bytes);
            let mut ahead = Ahead::new(Vec::new(), deliveries);
            let slow = async {
                for _ in 0..1_000 {
                    tokio::task::yield_now().await;
                }
            };
            ahead.beside(slow).await;
            let read = read.load(Ordering::Relaxed);
            assert!((1..=most).contains(&read), "{read} messages of {bytes} bytes");
            // And what was read makes room when it is taken.
            let Some(Taken::Batch(batch, _)) = ahead.take(&mut Cursor::default()) else { panic!("nothing") };
            assert!(batch.len() <= BATCH && !batch.is_empty());
        }
    }

    #[tokio::test]
    async fn what_is_told_stands_alone_and_errors_come_last() {
        let message = || Ok(Delivery::Message(Message::new("t", "x")));
        let gap = || {
            Ok(Delivery::Gap(tidewater::Gap {
                topic: "t".into(),
                tag: Default::default(),
                partition: 0,
                missing: None,
                reason: tidewater::GapReason::Lost,
            }))
        };
        let all = [message(), message(), gap(), message(), Err(Error::new(ErrorKind::Unavailable, "away"))];
        let mut ahead = Ahead::new(Vec::new(), stream::iter(all).boxed());
        ahead.filled().await;
        let mut cursor = Cursor::default();
        let mut taken = Vec::new();
        while let Some(next) = ahead.take(&mut cursor) {
            taken.push(match next {
                Taken::Batch(batch, _) => batch.len().to_string(),
                Taken::Told(_) => "gap".to_owned(),
                Taken::End(error) => error.to_string(),
            });
        }
        assert_eq!(taken, ["2", "gap", "1", "away"]);
        assert!(ahead.filled().now_or_never().is_some(), "a stream that has ended is not waited for");
    }
}
