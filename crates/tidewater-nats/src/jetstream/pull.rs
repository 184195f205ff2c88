//! One consumer at the server, and the pull request that it is answering.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use async_nats::{
    StatusCode, Subject, Subscriber,
    jetstream::{
        self,
        consumer::{Consumer, DeliverPolicy, pull},
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use tidewater_core::{Error, Result};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, interval_at, timeout},
};

use super::stream::StreamRef;
use crate::{
    error,
    link::{self, Link},
    refusal::{Listener, Refusal},
};

/// The most messages of one request.
const BATCH: usize = 1024;

/// How long the server keeps a request that nothing answers. When it ends, we look at the stream: so this is how late
/// progress is told and a recreated stream is noticed that said nothing.
const EXPIRES: Duration = Duration::from_secs(2);

/// How often the server shows that it has the request; it refuses more than half of [`EXPIRES`].
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long there may be no request between two, for [`Puller::waiting`].
const RENEWAL: Duration = Duration::from_millis(500);

/// How long the server may be silent: two heartbeats, and some time for the way.
const SILENCE: Duration = Duration::from_secs(3);

/// The bytes of a request of a reader that has caught up, or for which there is no room in the
/// [budget](Link::budget) of the connection.
const SMALL: usize = 128 << 10;

/// How often it is looked whether the connection is another one than the request was made on.
const LOOK: Duration = Duration::from_millis(100);

/// A consumer with its inbox. Dropping it removes the consumer, in the background.
pub(super) struct Puller {
    stream: StreamRef,
    link: Arc<Link>,
    refusals: Listener,
    context: jetstream::Context,
    consumer: Consumer<pull::Config>,
    inbox: Subject,
    messages: Subscriber,
    request: Option<Request>,
    /// When the last request ended although more could have come.
    ended: Option<Instant>,
    /// The consumer's own count of what it has sent us.
    received: u64,
    /// The bytes of a large request.
    large: usize,
    /// The bytes of the next request; more only for a message that doesn't fit.
    small: usize,
    /// More is there than the last request has brought.
    behind: bool,
}

/// A request that the server is answering.
struct Request {
    made: Instant,
    /// Which connection it was made on: the server forgets it with that one.
    connects: u64,
    left: usize,
    answered: bool,
    bytes: usize,
    /// Its part of the budget, if it is a large one.
    _room: Option<OwnedSemaphorePermit>,
}

/// What came.
pub(super) enum Pulled {
    /// Messages, with no hole in the consumer's own count.
    Messages(Vec<Received>),
    /// The request ended with nothing to show for it.
    Nothing,
    /// The request ended.
    Done,
    /// The consumer, or something that it sent, is lost. Why.
    Lost(String),
    /// The user may not do this.
    Refused(Error),
}

/// A message with what JetStream says of it.
pub(super) struct Received {
    pub(super) message: async_nats::Message,
    pub(super) sequence: u64,
    pub(super) published: SystemTime,
    /// How many more the consumer had to send then.
    pub(super) pending: u64,
}

impl Puller {
    /// Makes a consumer that starts at a sequence.
    pub(super) async fn open(stream: &StreamRef, start_sequence: u64, bytes: usize) -> Result<Self> {
        let link = stream.connection.link().await?;
        let refusals = link.listen();
        let client = link.client();
        let inbox = Subject::from(client.new_inbox());
        let messages = client.subscribe(inbox.clone()).await.map_err(|error| {
            error::unavailable(format!("{}: subscribing", stream.connection.profile)).with_source(error)
        })?;
        let consumer = stream.consumer(&link, DeliverPolicy::ByStartSequence { start_sequence }).await?;
        let context = link.jetstream(stream.connection.api_prefix.as_deref());
        let behind = consumer.cached_info().num_pending > 0;
        // The largest message fits: with subject, reply and what else the server counts.
        let large = bytes.max(client.max_payload() + (64 << 10));
        Ok(Self {
            stream: stream.clone(),
            link,
            refusals,
            context,
            consumer,
            inbox,
            messages,
            request: None,
            ended: None,
            received: 0,
            large,
            small: large.min(SMALL),
            behind,
        })
    }

    /// Waits for what comes next, and takes along what else is there.
    ///
    /// Cancel safe, but for a request to the server that may be made in vain.
    pub(super) async fn next(&mut self) -> Pulled {
        if let Err(lost) = self.request().await {
            return Pulled::Lost(lost);
        }
        let (inbox, asked) = (&self.inbox, self.subject("MSG.NEXT"));
        let ours = |refusal: &Refusal| match refusal {
            Refusal::Publish(subject) => *subject == asked,
            Refusal::Subscribe(subject) => **subject == **inbox,
            Refusal::Limit(_) => true,
        };
        let connects = self.request.as_ref().map(|request| request.connects);
        let first = tokio::select! {
            biased;
            first = timeout(SILENCE, self.messages.next()) => first,
            refusal = self.refusals.meant(ours) => return Pulled::Refused(self.refused(refusal)),
            () = reconnected(&self.link, connects) => return Pulled::Lost("the connection was lost".into()),
        };
        let first = match first {
            Err(_) => return Pulled::Lost("it sends no heartbeats".into()),
            Ok(None) => return Pulled::Lost("the connection is closed".into()),
            Ok(Some(first)) => first,
        };
        let mut received = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            // What ends the request is dealt with when it comes first: what came before it is delivered first.
            match self.take(message) {
                Taken::Message(message) => received.push(message),
                Taken::Nothing => {}
                Taken::End(end) => {
                    let end = if received.is_empty() { end } else { Pulled::Messages(received) };
                    return end;
                }
                // What came before the hole will come again, from another consumer.
                Taken::Lost(lost) => return Pulled::Lost(lost),
            }
            next = if received.len() < BATCH { self.messages.next().now_or_never().flatten() } else { None };
        }
        if received.is_empty() { Pulled::Done } else { Pulled::Messages(received) }
    }

    /// Whether the server can send at any time: a request waits there, or is only just being renewed.
    pub(super) fn waiting(&self) -> bool {
        match &self.request {
            Some(request) => request.made.elapsed() < EXPIRES + RENEWAL,
            None => self.ended.is_some_and(|ended| ended.elapsed() < RENEWAL),
        }
    }

    /// Whether everything that the consumer has sent has come, and nothing more is there for it; `None` if it sent
    /// something that hasn't come.
    pub(super) async fn caught_up(&self) -> Result<Option<bool>> {
        let info = self.link.ask(&self.subject("INFO"), self.consumer.get_info()).await?;
        let info =
            info.map_err(|error| error::unavailable("the consumer does not answer").with_source(error))?;
        Ok((info.delivered.consumer_sequence == self.received).then_some(info.num_pending == 0))
    }

    async fn request(&mut self) -> Result<(), String> {
        if self.request.is_some() {
            return Ok(());
        }
        // Large only with a part of the budget, which is not waited for: a small one brings something, too.
        let kibibytes = u32::try_from(self.large >> 10).unwrap_or(u32::MAX).min(link::BUDGET);
        let wants = self.behind && self.large > self.small;
        let room = wants.then(|| self.link.budget().try_acquire_many_owned(kibibytes).ok()).flatten();
        let bytes = if room.is_some() { self.large } else { self.small };
        let batch = pull::BatchConfig {
            batch: BATCH,
            expires: Some(EXPIRES),
            max_bytes: bytes,
            idle_heartbeat: HEARTBEAT,
            ..Default::default()
        };
        let connects = connects(&self.link);
        self.consumer.request_batch(batch, self.inbox.clone()).await.map_err(|error| error.to_string())?;
        let (made, left) = (Instant::now(), BATCH);
        self.request = Some(Request { made, connects, left, answered: false, bytes, _room: room });
        Ok(())
    }

    fn subject(&self, what: &str) -> String {
        let name = &self.consumer.cached_info().name;
        format!("{}.CONSUMER.{what}.{}.{name}", self.stream.connection.api(), self.stream.name)
    }

    fn refused(&self, refusal: Refusal) -> Error {
        match refusal {
            // Told as the client's own inbox is: all below the prefix are needed.
            Refusal::Subscribe(inbox) => self.link.refused(&Refusal::Subscribe(format!("{inbox}.*"))),
            other => self.link.refused(&other),
        }
    }

    fn take(&mut self, message: async_nats::Message) -> Taken {
        let text = message.description.as_deref().unwrap_or_default();
        match message.status {
            None | Some(StatusCode::OK) => self.message(message),
            Some(StatusCode::IDLE_HEARTBEAT) => Taken::Nothing,
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => self.ended(),
            Some(StatusCode::REQUEST_TERMINATED) if text == "Batch Completed" => self.ended(),
            Some(StatusCode::REQUEST_TERMINATED) if text.starts_with("Message Size Exceeds MaxBytes") => {
                // Also how a request ends whose bytes are used up: too small is it only if it let nothing in.
                if let Some(request) = self.request.take().filter(|request| !request.answered) {
                    let more = request.bytes.saturating_mul(2);
                    if request.bytes >= self.large {
                        self.large = more
                    } else {
                        self.small = more.min(self.large)
                    }
                }
                (self.behind, self.ended) = (true, None);
                Taken::End(Pulled::Done)
            }
            Some(status) => Taken::Lost(format!("{status} {text}")),
        }
    }

    fn message(&mut self, message: async_nats::Message) -> Taken {
        let message = jetstream::Message { message, context: self.context.clone() };
        let info = match message.info() {
            Ok(info) => info,
            Err(error) => return Taken::Lost(format!("a message that doesn't say what it is: {error}")),
        };
        if info.consumer_sequence != self.received + 1 {
            return Taken::Lost(format!(
                "message {} of the consumer came after {}",
                info.consumer_sequence, self.received
            ));
        }
        self.received += 1;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        self.behind = pending > 0;
        let published = SystemTime::from(info.published);
        if let Some(request) = &mut self.request {
            request.answered = true;
            request.left -= 1;
        }
        if self.request.as_ref().is_some_and(|request| request.left == 0) {
            (self.request, self.ended) = (None, None);
        }
        Taken::Message(Received { message: message.message, sequence, published, pending })
    }

    fn ended(&mut self) -> Taken {
        let request = self.request.take();
        self.ended = request.as_ref().map(|request| Instant::now().min(request.made + EXPIRES));
        let answered = request.is_some_and(|request| request.answered);
        Taken::End(if answered { Pulled::Done } else { Pulled::Nothing })
    }
}

/// How often the client has connected.
fn connects(link: &Link) -> u64 {
    link.client().statistics().connects.load(Ordering::Relaxed)
}

/// Waits until it has connected again since; for ever, if it is not known since when.
async fn reconnected(link: &Link, since: Option<u64>) {
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    while since.is_none_or(|since| since == connects(link)) {
        looks.tick().await;
    }
}

enum Taken {
    Message(Received),
    Nothing,
    End(Pulled),
    Lost(String),
}

impl Drop for Puller {
    fn drop(&mut self) {
        // Without a runtime the server's own threshold does it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let info = self.consumer.cached_info();
            let (context, name, stream) = (self.context.clone(), info.name.clone(), info.stream_name.clone());
            let (link, subject) = (self.link.clone(), self.subject("DELETE"));
            runtime.spawn(async move {
                // It may be gone, or the server, or the user may not: then the server's own threshold does it.
                link.ask(&subject, context.delete_consumer_from_stream(name, stream)).await.ok();
            });
        }
    }
}
