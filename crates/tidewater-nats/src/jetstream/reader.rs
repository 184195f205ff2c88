//! Reading on from a sequence, whatever happens to the consumer, the stream and the connection meanwhile.
//!
//! The reader knows the next sequence that it owes. Whenever it can't be sure of the consumer any more (a missed
//! heartbeat, a hole in the consumer's own count, an error) it throws it away, looks at the stream and makes another
//! one at that sequence:
//!
//! - another creation time: it is another stream of that name; [`Delivery::Epoch`];
//! - the first sequence is past the next: [`Delivery::Gap`];
//! - the next is past the end: the log went back (a stream kept in memory after a restart, a restored backup). The
//!   stream of deliveries ends with an error: who subscribes again is told where it starts.
//!
//! A hole in the *stream's* sequences is nothing by itself: filtered subjects, deleted messages. It is a gap as far as
//! the stream's first sequence, read after the message behind it came, has passed it.

use std::{collections::VecDeque, mem, time::Duration};

use tidewater_core::{
    Cursor, Delivery, Epoch, Error, ErrorKind, Gap, GapReason, NewEpoch, Next, Result, Retry, TopicCursor,
};
use tokio::time::{Instant, sleep};

use super::{
    pull::{Pulled, Puller, Received},
    stream::{Held, StreamRef},
};
use crate::{convert, error};

/// How long a stream or a server that is away is looked for before the stream ends with an error: long enough for a
/// server that is restarted, short enough that whoever reads can tell that the source is down.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(150);

/// Reads one subscription.
pub(super) struct Reader {
    stream: StreamRef,
    epoch: Epoch,
    /// The next sequence that is owed: everything before it was delivered, told, or isn't ours.
    next: u64,
    read_ahead: usize,
    puller: Option<Puller>,
    /// For a filtered stream: at some time nothing was pending, and ever since the server could send at once. What is
    /// removed then before `next` has come is what the filter leaves out.
    watching: bool,
    queue: VecDeque<Delivery>,
    /// Since when nothing has worked.
    trouble: Option<Instant>,
    /// Where the consumer was lost the last time.
    lost_at: Option<u64>,
    /// What ends the stream once the queue is empty.
    failed: Option<Error>,
    ended: bool,
}

/// Why a step did not succeed.
enum Stop {
    /// Try again, for some time.
    Retry(Error),
    /// The stream of deliveries ends.
    End(Error),
}

/// What came of asking for one message.
enum Single {
    Taken,
    /// There is none, or it is of another stream.
    None,
    /// The user may not.
    Denied(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        // What is refused now is refused a moment later too, and a server that counts failures should not be pressed.
        match (error.retry(), error.kind()) {
            (Retry::Never, _) | (_, ErrorKind::Denied | ErrorKind::Config) => Self::End(error),
            (Retry::Later, _) => Self::Retry(error),
        }
    }
}

impl Reader {
    /// Starts at a sequence of this incarnation of the stream.
    pub(super) async fn open(stream: StreamRef, epoch: Epoch, next: u64, read_ahead: usize) -> Result<Self> {
        let mut reader = Self {
            stream,
            epoch,
            next,
            read_ahead,
            puller: None,
            watching: false,
            queue: VecDeque::new(),
            trouble: None,
            lost_at: None,
            failed: None,
            ended: false,
        };
        match reader.establish().await {
            Ok(()) => Ok(reader),
            Err(Stop::Retry(error) | Stop::End(error)) => Err(error),
        }
    }

    /// The next delivery; `None` after an error.
    pub(super) async fn next(&mut self) -> Option<Result<Delivery>> {
        loop {
            if let Some(delivery) = self.queue.pop_front() {
                return Some(Ok(delivery));
            }
            if let Some(error) = self.failed.take() {
                self.ended = true;
                return Some(Err(error));
            }
            if self.ended {
                return None;
            }
            match self.step().await {
                Ok(()) => {}
                Err(Stop::End(error)) => self.failed = Some(error),
                Err(Stop::Retry(error)) => {
                    self.puller = None;
                    let since = *self.trouble.get_or_insert_with(Instant::now);
                    if since.elapsed() > PATIENCE {
                        self.failed = Some(error);
                        continue;
                    }
                    tracing::debug!(stream = %self.stream.name, %error, "looking again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), Stop> {
        let Some(puller) = &mut self.puller else { return self.establish().await };
        // Whether the server could send all the while, up to here.
        let covered = puller.waiting();
        let pulled = puller.next().await;
        let waiting = puller.waiting();
        match pulled {
            Pulled::Lost(why) => {
                self.puller = None;
                let again = self.lost_at.replace(self.next) == Some(self.next);
                let hint = match if again { self.single().await } else { Ok(Single::None) } {
                    Ok(Single::Taken) => {
                        self.trouble = None;
                        return Ok(());
                    }
                    Ok(Single::None) => String::new(),
                    Ok(Single::Denied(error)) => {
                        format!("; if the next message has headers that can't be read: {error}")
                    }
                    Err(stop) => return Err(stop),
                };
                let error = format!("the consumer of stream {:?} is lost: {why}{hint}", self.stream.name);
                return Err(Stop::Retry(error::unavailable(error)));
            }
            Pulled::Refused(error) => return Err(Stop::End(error)),
            Pulled::Messages(messages) => {
                self.watching &= covered;
                self.messages(messages, waiting).await?;
            }
            Pulled::Nothing => {
                self.watching &= covered;
                self.look().await?;
            }
            Pulled::Done => {}
        }
        (self.trouble, self.lost_at) = (None, None);
        Ok(())
    }

    /// Makes a consumer at the next sequence, after a look at the stream.
    async fn establish(&mut self) -> Result<(), Stop> {
        self.puller = None;
        self.watching = false;
        loop {
            let held = self.stream.held().await?;
            if held.epoch == self.epoch {
                self.not_past(held)?;
                self.removed_before(held.first);
            } else {
                self.begin(held);
            }
            let puller = Puller::open(&self.stream, self.next, self.read_ahead).await?;
            // Made on the stream that was looked at, and not on another one that came in between.
            if self.stream.held().await?.epoch == self.epoch {
                self.puller = Some(puller);
                return Ok(());
            }
        }
    }

    /// Queues what came. `waiting`: the server can send more at any time.
    async fn messages(&mut self, messages: Vec<Received>, waiting: bool) -> Result<(), Stop> {
        let mut expected = self.next;
        let whole = messages
            .iter()
            .all(|received| mem::replace(&mut expected, received.sequence + 1) == received.sequence);
        let first = if whole || self.watching {
            self.next
        } else {
            let held = self.stream.held().await?;
            if held.epoch != self.epoch {
                // Of a stream that is no more: the next step tells so.
                self.puller = None;
                return Ok(());
            }
            held.first
        };
        self.watching =
            self.stream.filter.is_some() && waiting && messages.last().is_some_and(|last| last.pending == 0);
        for Received { message, sequence, published, .. } in messages {
            self.removed_before(first.min(sequence));
            self.next = sequence + 1;
            let message = convert::received(message, self.stream.tag, sequence, Some(published));
            self.queue.push_back(Delivery::Message(message));
        }
        Ok(())
    }

    /// Takes the next message by itself, where the consumer was lost twice: it may be one that the client can't read.
    async fn single(&mut self) -> Result<Single, Stop> {
        let (sequence, message) = match self.stream.message(self.next).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Single::None),
            Err(error) if error.kind() == ErrorKind::Denied => return Ok(Single::Denied(error)),
            Err(error) => return Err(error.into()),
        };
        let held = self.stream.held().await?;
        if held.epoch != self.epoch {
            // Of a stream that is no more, or of the new one, which the next step tells first.
            return Ok(Single::None);
        }
        tracing::warn!(
            stream = %self.stream.name, sequence,
            "the consumer was lost twice before this message, so it was read by itself: its headers may be none that a \
             client of NATS can read"
        );
        self.removed_before(held.first.min(sequence));
        self.next = sequence + 1;
        self.queue.push_back(Delivery::Message(message));
        Ok(Single::Taken)
    }

    /// Looks at the stream while nothing comes: positions may have moved without a message for us.
    async fn look(&mut self) -> Result<(), Stop> {
        // Read before the consumer is asked: up to here nothing can be pending when the consumer has nothing.
        let held = self.stream.held().await?;
        let caught_up = match &self.puller {
            Some(puller) if held.epoch == self.epoch => puller.caught_up().await,
            _ => Ok(None),
        };
        self.not_past_in(held)?;
        match caught_up {
            Ok(Some(true)) => {
                if !self.watching {
                    self.removed_before(held.first);
                }
                if held.end > self.next {
                    self.next = held.end;
                    self.queue.push_back(Delivery::Progress(self.cursor()));
                }
                self.watching = self.stream.filter.is_some();
            }
            // It will send what it has.
            Ok(Some(false)) => {}
            // Something got lost on the way, or the consumer did.
            Ok(None) => self.puller = None,
            Err(error) if error.kind() == ErrorKind::Denied => return Err(Stop::End(error)),
            Err(_) => self.puller = None,
        }
        Ok(())
    }

    /// Tells that what stood before `first` and is still owed can't be read any more.
    fn removed_before(&mut self, first: u64) {
        if first > self.next {
            let missing = Some(mem::replace(&mut self.next, first)..first);
            let (topic, tag) = (self.stream.name.clone(), self.stream.tag);
            self.queue.push_back(Delivery::Gap(Gap {
                topic,
                tag,
                partition: 0,
                missing,
                reason: GapReason::Retention,
            }));
        }
    }

    /// Begins with another incarnation of the stream.
    fn begin(&mut self, held: Held) {
        (self.epoch, self.next) = (held.epoch, held.first);
        let (topic, tag) = (self.stream.name.clone(), self.stream.tag);
        self.queue.push_back(Delivery::Epoch(NewEpoch {
            topic,
            tag,
            epoch: held.epoch,
            start: vec![held.first],
        }));
    }

    fn not_past_in(&self, held: Held) -> Result<(), Stop> {
        if held.epoch == self.epoch { self.not_past(held) } else { Ok(()) }
    }

    fn not_past(&self, held: Held) -> Result<(), Stop> {
        if self.next <= held.end {
            return Ok(());
        }
        Err(Stop::End(Error::new(
            ErrorKind::Unavailable,
            format!(
                "stream {:?} ends before {}, and {} is the next to be read: it went back (kept in memory, or restored?)",
                self.stream.name, held.end, self.next
            ),
        )))
    }

    fn cursor(&self) -> Cursor {
        Cursor::from_iter([TopicCursor {
            tag: self.stream.tag,
            epoch: self.epoch.tag(),
            next: Next::Offsets(vec![self.next]),
        }])
    }
}
