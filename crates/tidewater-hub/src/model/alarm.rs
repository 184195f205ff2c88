//! A client's waker. A stream is polled only when it was woken, so a wake-up that is lost is not made good by the next
//! poll; and wake-ups for nothing are noticed (I8).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

pub(crate) struct Alarm {
    bell: Arc<Bell>,
    waker: Waker,
    /// It may be polled without being woken: it is new, or has just given something.
    fresh: bool,
    /// It slept, and the last poll, after it was woken, gave nothing.
    idle: bool,
    idle_and_judged: bool,
    /// It has found nothing, and was not woken by itself.
    asleep: bool,
}

#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    /// Who polls it now.
    reader: Mutex<Option<Waker>>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = bell.clone().into();
        Self { bell, waker, fresh: true, idle: false, idle_and_judged: false, asleep: false }
    }

    /// Polls, if it was woken.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        *self.bell.reader.lock().unwrap() = Some(cx.waker().clone());
        let rung = self.bell.rung.swap(false, Ordering::Relaxed);
        if !rung && !self.fresh {
            return Poll::Pending;
        }
        let polled = poll(&mut Context::from_waker(&self.waker));
        let slept = std::mem::take(&mut self.asleep);
        self.fresh = polled.is_ready();
        self.asleep = !self.fresh && !self.bell.rung.load(Ordering::Relaxed);
        self.idle = slept && self.asleep;
        polled
    }

    /// It may be polled without being woken: it has given something back.
    pub(crate) fn refresh(&mut self) {
        self.fresh = true;
        self.asleep = false;
    }

    /// Whether the last poll is one that has to give something.
    pub(crate) fn judge(&mut self, has_to: bool) {
        self.idle_and_judged |= std::mem::take(&mut self.idle) && has_to;
    }

    /// Whether it was woken for nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle_and_judged
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.lock().unwrap().take() {
            reader.wake();
        }
    }
}
