//! What a channel counts of its events and its clients.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use tidewater_core::GapReason;

use crate::{
    log::frame::{Batch, Kind},
    resume::{Place, Plan},
    status::Gaps,
};

/// How many threads have a part of [`Sent`] to themselves.
const PARTS: usize = 8;

/// What has come, what went out, and what became of clients.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) sent: Sent,
    pub(crate) opened: AtomicU64,
    pub(crate) sent_away: AtomicU64,
    /// Gaps that all clients get.
    pub(crate) channel_gaps: GapCounts,
    /// Gaps that were told to one client.
    pub(crate) gaps: GapCounts,
    pub(crate) resumes_from_log: AtomicU64,
    pub(crate) resumes_from_broker: AtomicU64,
    pub(crate) resumes_with_gap: AtomicU64,
    pub(crate) lagged: AtomicU64,
    pub(crate) lag_disconnects: AtomicU64,
    pub(crate) segments: AtomicU64,
}

impl Counts {
    /// A client that had something, or wants to start in the past, goes on from here.
    pub(crate) fn resumed(&self, plan: &Plan) {
        for (told, _) in &plan.gaps {
            self.gaps.add(told.reason, 1);
        }
        let place = match plan.place {
            _ if !plan.gaps.is_empty() => &self.resumes_with_gap,
            Place::Backfill => &self.resumes_from_broker,
            Place::Shared(_) | Place::Own(_) => &self.resumes_from_log,
        };
        add(place, 1);
    }

    /// A batch that comes by the upstream subscription.
    pub(crate) fn came(&self, batch: &Batch) {
        add(&self.events_in, batch.messages(0..batch.frames.len()));
        add(&self.bytes_in, batch.bytes.len());
        self.has_gaps(batch);
    }

    fn has_gaps(&self, batch: &Batch) {
        if batch.others == 0 {
            return;
        }
        for frame in &batch.frames {
            match &frame.kind {
                Kind::Gap(gap, _) => self.channel_gaps.add(gap.reason, 1),
                Kind::Epoch(_) => self.channel_gaps.add(GapReason::Epoch, 1),
                Kind::Message(..) | Kind::Skip(_) => {}
            }
        }
    }
}

/// Gap events, by reason.
#[derive(Debug, Default)]
pub(crate) struct GapCounts([AtomicU64; GapReason::ALL.len()]);

impl GapCounts {
    pub(crate) fn add(&self, reason: GapReason, gaps: u64) {
        let mut all = GapReason::ALL.iter().zip(&self.0);
        if let Some((_, count)) = all.find(|(own, _)| **own == reason) {
            count.fetch_add(gaps, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_all(&self, gaps: Gaps) {
        for (reason, gaps) in gaps.by_reason().filter(|(_, gaps)| *gaps > 0) {
            self.add(reason, gaps);
        }
    }

    pub(crate) fn read(&self) -> Gaps {
        let mut gaps = Gaps::default();
        for (reason, count) in GapReason::ALL.iter().zip(&self.0) {
            gaps.add(*reason, count.load(Ordering::Relaxed));
        }
        gaps
    }
}

/// What clients were given. That is counted with each delivery and on every thread that writes, so each thread adds to a
/// part of its own: none waits for a cache line that another has.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    parts: [Part; PARTS],
    /// The most that was ever read: what is given back between two looks makes no count go down.
    most_events: AtomicU64,
    most_bytes: AtomicU64,
}

/// Alone on the cache lines that a processor fetches together. Below zero where what was given on one thread was given back on
/// another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    events: AtomicI64,
    bytes: AtomicI64,
}

impl Sent {
    pub(crate) fn add(&self, events: usize, bytes: usize) {
        let part = self.own();
        part.events.fetch_add(events as i64, Ordering::Relaxed);
        part.bytes.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// It was given back.
    pub(crate) fn take_back(&self, events: usize, bytes: usize) {
        let part = self.own();
        part.events.fetch_sub(events as i64, Ordering::Relaxed);
        part.bytes.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    /// Events and bytes. Neither ever goes down.
    pub(crate) fn read(&self) -> (u64, u64) {
        let sum = |of: fn(&Part) -> &AtomicI64| {
            let sum: i64 = self.parts.iter().map(|part| of(part).load(Ordering::Relaxed)).sum();
            sum.max(0) as u64
        };
        let never_less = |most: &AtomicU64, now| most.fetch_max(now, Ordering::Relaxed).max(now);
        (
            never_less(&self.most_events, sum(|part| &part.events)),
            never_less(&self.most_bytes, sum(|part| &part.bytes)),
        )
    }

    fn own(&self) -> &Part {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) % PARTS;
        }
        &self.parts[OWN.with(|own| *own)]
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_give_and_give_back_is_counted_whole() {
        let sent = Sent::default();
        std::thread::scope(|scope| {
            for _ in 0..3 * PARTS {
                scope.spawn(|| (0..100).for_each(|_| sent.add(3, 50)));
            }
        });
        std::thread::scope(|scope| drop(scope.spawn(|| sent.take_back(2, 40))));
        let all = 3 * PARTS as u64 * 100;
        assert_eq!(sent.read(), (3 * all - 2, 50 * all - 40));
    }

    /// Who follows counts would take it for a process that began anew.
    #[test]
    fn what_is_given_back_between_two_looks_makes_no_count_go_down() {
        let sent = Sent::default();
        sent.add(2, 100);
        assert_eq!(sent.read(), (2, 100));
        sent.take_back(1, 60);
        assert_eq!(sent.read(), (2, 100));
        sent.add(3, 200);
        assert_eq!(sent.read(), (4, 240));
    }

    #[test]
    fn gaps_are_counted_by_reason() {
        let counts = GapCounts::default();
        for (gaps, reason) in (1..).zip(GapReason::ALL) {
            counts.add(*reason, gaps);
        }
        let read = counts.read();
        assert_eq!((read.of(GapReason::Retention), read.of(GapReason::Map), read.total()), (1, 9, 45));
    }
}
