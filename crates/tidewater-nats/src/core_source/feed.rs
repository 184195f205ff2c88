//! One subscription: a task that empties the client's queue into one that is bounded by bytes.
//!
//! The client counts its queue in messages ([65,536](async_nats::ConnectOptions::subscription_capacity)) and drops
//! what doesn't fit, which with messages of a mebibyte is a bound of 64 GiB. So a task that waits for nothing else
//! takes them out at once, and what waits for a slow reader waits here, counted in bytes. What the client's queue
//! holds in between is what the client takes from its socket before tokio makes it yield: 128 reads of [`READ`], so
//! 2 MiB. That overflows only when a message takes less than 32 bytes on the wire, and is told like any other loss.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use async_nats::{ConnectOptions, Event, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tidewater_core::{
    Cursor, Delivery, EpochTag, Error, ErrorKind, Gap, GapReason, Message, Next, Result, TopicCursor,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};

use super::{Topic, counter::Counting};
use crate::{
    config::Profile,
    connect, convert, error,
    link::{self, RoundTrip},
    refusal::{Listener, Refusal, Refusals},
};

/// What an entry of the queue takes besides its message's bytes.
const ENTRY: usize = 256;

/// The messages that the client's queue holds.
const CLIENT_QUEUE: usize = 1 << 16;

/// The bytes that the client reads at once; its default is four times as much.
const READ: u16 = 16 << 10;

/// The reader's end.
pub(super) struct Feed {
    shared: Arc<Shared>,
    topic: Topic,
    /// Told behind a gap of unknown extent.
    progress: Option<Cursor>,
    ended: bool,
    task: JoinHandle<()>,
}

impl Feed {
    /// Connects and subscribes; resolves when the server knows of it.
    pub(super) async fn open(
        profile: &Arc<Profile>,
        topic: Topic,
        buffer: usize,
        counting: Counting,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(buffer, counting)),
            moved: Notify::new(),
            started: AtomicBool::new(false),
        });
        let (lost, disconnects) = mpsc::unbounded_channel();
        let refusals = Refusals::new();
        let mut listener = refusals.listen();
        let client = connect::connect(profile, |options| listening(options, &shared, lost, refusals)).await?;
        // Dropping it on the way takes it back.
        let subscriber = client.subscribe(topic.name.to_string()).await.map_err(|error| {
            Error::new(ErrorKind::Config, format!("subscribing to {}", topic.name)).with_source(error)
        })?;
        // A user who has no inbox is told so by the server, in order: the round trip is done all the same.
        let mut asking = listener.again();
        if link::round_trip(&client, &mut asking).await == RoundTrip::Lost {
            return Err(error::unavailable(format!("the connection to NATS at {profile} was lost at once")));
        }
        if let Some(refusal) = link::refused_before(&mut listener, |refusal| topic.is_refused(refusal)).await
        {
            return Err(refusal.error(profile));
        }
        let lost_before = shared.queue().counting.as_ref().is_some_and(Counting::start);
        if lost_before {
            shared.lose();
        }
        shared.started.store(true, SeqCst);
        let task = tokio::spawn(forward(
            subscriber,
            disconnects,
            listener,
            shared.clone(),
            topic.clone(),
            profile.clone(),
        ));
        Ok(Self { shared, topic, progress: None, ended: false, task })
    }

    /// The next delivery; `None` after an error.
    pub(super) async fn next(&mut self) -> Option<Result<Delivery>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(progress) = self.progress.take() {
                return Some(Ok(Delivery::Progress(progress)));
            }
            let moved = self.shared.moved.notified();
            let taken = self.shared.queue().take();
            match taken {
                Some(Taken::Message(message)) => return Some(Ok(Delivery::Message(message))),
                Some(Taken::Dropped(missing)) => return Some(Ok(self.gap(Some(missing)))),
                Some(Taken::Lost(epoch, next)) => {
                    let next = Next::Offsets(vec![next]);
                    self.progress =
                        Some(Cursor::from_iter([TopicCursor { tag: self.topic.tag, epoch, next }]));
                    return Some(Ok(self.gap(None)));
                }
                Some(Taken::End(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => moved.await,
            }
        }
    }

    fn gap(&self, missing: Option<Range<u64>>) -> Delivery {
        let (topic, tag) = (self.topic.name.clone(), self.topic.tag);
        Delivery::Gap(Gap { topic, tag, partition: 0, missing, reason: GapReason::Lost })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // The next subscription may count from here on, even if the task has not seen it yet.
        self.shared.queue().counting = None;
        self.task.abort();
    }
}

/// What the reader, the task and the client's callbacks share.
struct Shared {
    queue: Mutex<Queue>,
    moved: Notify,
    started: AtomicBool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, message: async_nats::Message, topic: &Topic) {
        self.queue().push(message, topic);
        self.moved.notify_one();
    }

    /// Takes everything that is there, which is at most what the client's queue holds. Unconstrained: tokio's budget
    /// would end it after 128 messages, while the client puts in as many as it finds in its socket (and then drops
    /// most of a burst: seen).
    fn drain(&self, subscriber: &mut Subscriber, topic: &Topic) {
        for _ in 0..CLIENT_QUEUE {
            let next = tokio::task::unconstrained(subscriber.next()).now_or_never();
            let Some(Some(message)) = next else { return };
            self.push(message, topic);
        }
    }

    /// Messages were lost here, nobody knows how many.
    fn lose(&self) {
        self.queue().lose();
        self.moved.notify_one();
    }

    fn end(&self, error: Error) {
        self.queue().ended.get_or_insert(error);
        self.moved.notify_one();
    }

    fn event(&self, event: &Event) {
        if let Event::SlowConsumer(_) = event {
            // Early by what its queue holds: better than late, when messages from behind the loss are out already.
            self.lose();
        }
    }
}

/// Messages that wait for the reader.
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    most: usize,
    ended: Option<Error>,
    /// The end behind the last loss: another one at the same place says nothing new.
    lost_at: Option<u64>,
    /// Until the reader goes.
    counting: Option<Counting>,
}

enum Entry {
    Message(Message, usize),
    /// These did not fit.
    Dropped(Range<u64>),
    /// A loss of unknown extent, which takes this offset.
    Lost(u64),
}

enum Taken {
    Message(Message),
    Dropped(Range<u64>),
    /// With the next offset of this epoch behind it.
    Lost(EpochTag, u64),
    End(Error),
}

impl Queue {
    fn new(most: usize, counting: Counting) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            most,
            ended: None,
            lost_at: None,
            counting: Some(counting),
        }
    }

    fn push(&mut self, message: async_nats::Message, topic: &Topic) {
        let Some(offset) = self.counting.as_ref().map(Counting::count) else { return };
        // `length` is what it took on the wire: headers too.
        let size = message.length + ENTRY;
        if self.bytes == 0 || self.bytes + size <= self.most {
            self.bytes += size;
            self.entries.push_back(Entry::Message(convert::received(message, topic.tag, offset, None), size));
        } else if let Some(Entry::Dropped(missing)) = self.entries.back_mut() {
            missing.end = offset + 1;
        } else {
            self.bytes += ENTRY;
            self.entries.push_back(Entry::Dropped(offset..offset + 1));
        }
    }

    fn lose(&mut self) {
        let Some(counting) = &self.counting else { return };
        if self.lost_at == Some(counting.end()) {
            return;
        }
        let offset = counting.count();
        self.lost_at = Some(offset + 1);
        self.bytes += ENTRY;
        self.entries.push_back(Entry::Lost(offset));
    }

    fn take(&mut self) -> Option<Taken> {
        let taken = match self.entries.pop_front() {
            None => return self.ended.take().map(Taken::End),
            Some(Entry::Message(message, size)) => {
                self.bytes -= size;
                return Some(Taken::Message(message));
            }
            Some(Entry::Dropped(missing)) => Taken::Dropped(missing),
            Some(Entry::Lost(offset)) => {
                let counting = self.counting.as_ref()?;
                counting.settle(offset + 1);
                Taken::Lost(counting.epoch().tag(), offset + 1)
            }
        };
        self.bytes -= ENTRY;
        Some(taken)
    }
}

/// Takes messages out of the client's queue as they come.
async fn forward(
    mut subscriber: Subscriber,
    mut disconnects: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    mut refusals: Listener,
    shared: Arc<Shared>,
    topic: Topic,
    profile: Arc<Profile>,
) {
    loop {
        tokio::select! {
            biased;
            Some(gone_on) = disconnects.recv() => {
                // The client waits here before it looks for a server: what its queue holds came before the loss, and
                // what will come, after.
                shared.drain(&mut subscriber, &topic);
                shared.lose();
                // Only fails if the client has gone.
                gone_on.send(()).ok();
            }
            // Permissions change while we are at it, too: then the subscription is silent from here on.
            refusal = refusals.meant(|refusal| topic.is_refused(refusal)) => {
                shared.drain(&mut subscriber, &topic);
                shared.end(refusal.error(&profile));
                return;
            }
            message = subscriber.next() => match message {
                Some(message) => {
                    shared.push(message, &topic);
                    shared.drain(&mut subscriber, &topic);
                }
                None => {
                    shared.end(error::unavailable(format!("the connection to NATS at {profile} is lost")));
                    return;
                }
            },
        }
    }
}

fn listening(
    options: ConnectOptions,
    shared: &Arc<Shared>,
    lost: mpsc::UnboundedSender<oneshot::Sender<()>>,
    refusals: Refusals,
) -> ConnectOptions {
    // The client's tasks hold these: they must not keep the queue alive.
    let (events, state): (Weak<Shared>, Weak<Shared>) = (Arc::downgrade(shared), Arc::downgrade(shared));
    options
        .subscription_capacity(CLIENT_QUEUE)
        .read_buffer_capacity(READ)
        .event_callback(move |event| {
            if let Event::ServerError(error) = &event {
                refusals.take(&error.to_string());
            }
            if let Some(shared) = events.upgrade() {
                shared.event(&event);
            }
            std::future::ready(())
        })
        // Called before every attempt to connect, the first one too.
        .reconnect_to_server_callback(move |_, _| {
            let started = state.upgrade().is_some_and(|shared| shared.started.load(SeqCst));
            let lost = lost.clone();
            async move {
                let (gone_on, go_on) = oneshot::channel();
                if started && lost.send(gone_on).is_ok() {
                    // Fails when the reader has gone: then nobody minds.
                    go_on.await.ok();
                }
                None
            }
        })
}

impl Topic {
    fn is_refused(&self, refusal: &Refusal) -> bool {
        match refusal {
            Refusal::Subscribe(subject) => *subject == *self.name,
            Refusal::Limit(_) => true,
            Refusal::Publish(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewater_core::{TopicName, TopicTag};

    use super::{super::counter::Counter, *};

    fn message(payload: usize) -> async_nats::Message {
        async_nats::Message {
            subject: "s".into(),
            reply: None,
            payload: vec![b'x'; payload].into(),
            headers: None,
            status: None,
            description: None,
            length: payload,
        }
    }

    fn queue(most: usize) -> (Queue, Topic) {
        let counter = Arc::new(Counter::new());
        let topic = Topic { name: TopicName::new("s"), tag: TopicTag(1) };
        (Queue::new(most, Counter::begin(&counter)), topic)
    }

    fn taken(queue: &mut Queue) -> String {
        std::iter::from_fn(|| queue.take())
            .map(|taken| match taken {
                Taken::Message(message) => format!("{} ", message.position.offset().unwrap()),
                Taken::Dropped(missing) => format!("dropped {missing:?} "),
                Taken::Lost(_, next) => format!("lost, next {next} "),
                Taken::End(error) => format!("{error} "),
            })
            .collect()
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_where_it_was() {
        let (mut queue, topic) = queue(2 * (1000 + ENTRY));
        for _ in 0..5 {
            queue.push(message(1000), &topic);
        }
        assert_eq!(taken(&mut queue), "0 1 dropped 2..5 ");
        assert_eq!(queue.bytes, 0);
        queue.push(message(5000), &topic);
        queue.push(message(1), &topic);
        assert_eq!(taken(&mut queue), "5 dropped 6..7 ", "one that is too large is let in alone");
    }

    #[test]
    fn a_loss_is_told_once_and_takes_an_offset() {
        let (mut queue, topic) = queue(1 << 20);
        queue.push(message(1), &topic);
        queue.lose();
        queue.lose();
        assert_eq!(taken(&mut queue), "0 lost, next 2 ");
        queue.lose();
        queue.push(message(1), &topic);
        queue.ended = Some(error::unavailable("gone"));
        assert_eq!(taken(&mut queue), "2 gone ");
    }

    #[test]
    fn what_the_client_drops_is_a_loss() {
        let (queue, _) = queue(1 << 20);
        let (queue, moved, started) = (Mutex::new(queue), Notify::new(), AtomicBool::new(true));
        let shared = Shared { queue, moved, started };
        shared.event(&Event::SlowConsumer(1));
        assert_eq!(taken(&mut shared.queue()), "lost, next 1 ");
    }

    #[test]
    fn a_reader_that_has_gone_moves_nothing() {
        let (mut queue, topic) = queue(1 << 20);
        queue.counting = None;
        queue.push(message(1), &topic);
        queue.lose();
        assert_eq!(taken(&mut queue), "");
    }
}
