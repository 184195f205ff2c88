//! [`EventSource`]: one stream of signals over any number of connections.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::{FusedStream, Stream};
use futures_util::task::AtomicWaker;
use http::{HeaderValue, Response, Uri};
use tidewater_core::sse::{DecodeError, Decoder, Event, Item};
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    Builder,
    backoff::Backoff,
    connect::{Chunks, Opened, Opening, Settings, lost, open},
    error::{Error, ErrorKind},
    signal::Signal,
    target::Target,
};

/// A stream of server-sent events that is followed over cuts, as a browser's `EventSource` does (WHATWG HTML §9.2).
///
/// A [`Stream`] of [`Signal`]s; [`events`](Self::events) makes one of events alone. Nothing happens before it is
/// polled. It ends with `None` when the server says that there are no more events (204), and after an `Err`, which is
/// final: what passes is a [`Signal::Reconnecting`].
///
/// Pull only: bytes are read when it is polled, and no task is spawned. Who polls seldom makes the server wait (TCP's
/// flow control), and loses nothing. Dropping it closes the connection.
///
/// # Cancel safety
/// Futures of the stream, such as `next()`, may be dropped at any time: nothing is lost.
pub struct EventSource {
    settings: Arc<Settings>,
    /// Holds what outlives a connection: the last event id and the reconnection time.
    decoder: Decoder,
    backoff: Backoff,
    state: State,
    /// Where the stream came from last.
    from: Target,
    restart: Handle,
}

enum State {
    /// Connects at the next poll.
    Ready,
    Connecting(Pin<Box<dyn Future<Output = Result<Opening, Error>> + Send>>),
    Open(Reading),
    Waiting(Pin<Box<Sleep>>),
    Done,
}

impl EventSource {
    /// An event source with the usual settings.
    ///
    /// # Errors
    /// Those of [`Builder::build`].
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// One with settings: a method, headers, a body, an id to go on from, timeouts.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    pub(crate) fn with(settings: Settings, decoder: Decoder, backoff: Backoff) -> Self {
        let from = settings.target.clone();
        let settings = Arc::new(settings);
        Self { settings, decoder, backoff, state: State::Ready, from, restart: Handle::default() }
    }

    /// The events alone.
    pub fn events(self) -> Events {
        Events(self)
    }

    /// The last event id: what the next connection sends as `Last-Event-ID`. Empty if there is none.
    ///
    /// That of the last signal that was taken, or of a block without data behind it; never ahead of what was told.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// The reconnection time: the stream's, or the one it began with, within bounds (see
    /// [`Builder::initial_retry`]).
    pub fn retry(&self) -> Duration {
        self.backoff.reconnection_time(self.decoder.retry())
    }

    /// Where the stream comes from, behind all redirects; before the first one is open, the URL that was given. Without
    /// user, password and fragment; with its query, which may hold secrets.
    pub fn url(&self) -> &Uri {
        self.from.uri()
    }

    /// Drops the connection and connects again at once, from the last event id. What was read and not yet taken comes
    /// again from the server. Without effect behind the stream's end.
    pub fn restart(&self) {
        self.restart.restart();
    }

    /// A handle for [`restart`](Self::restart) from elsewhere, while this is being polled.
    pub fn handle(&self) -> Handle {
        self.restart.clone()
    }

    fn attempt(&mut self) -> Result<State, Error> {
        self.decoder.restart();
        let id = header(self.decoder.last_event_id()).map_err(|()| {
            let what = "the last event id has a control character, which no header can carry";
            Error::new(ErrorKind::LastEventId, format!("{}: {what}", self.settings.target))
        })?;
        let settings = self.settings.clone();
        Ok(State::Connecting(Box::pin(async move { open(&settings, id).await })))
    }

    fn opened(&mut self, opened: Opened) -> Signal {
        self.from = opened.target;
        self.state = State::Open(Reading {
            chunks: opened.body,
            silence: self.settings.read_timeout.map(|limit| (limit, Box::pin(sleep(limit)))),
        });
        tracing::debug!(from = %self.from, "an event stream is open");
        Signal::Open(Response::from_parts(opened.head, ()))
    }

    /// What passes is told and waited for; the rest is the end.
    fn failed(&mut self, error: Error) -> Result<Signal, Error> {
        if !error.is_transient() {
            self.state = State::Done;
            return Err(error);
        }
        let wait = self.backoff.next(self.decoder.retry(), fastrand::f64());
        let after = error.retry_after().map_or(wait, |least| wait.max(least));
        self.state = State::Waiting(Box::pin(sleep(after)));
        tracing::debug!(%error, ?after, "connecting again");
        Ok(Signal::Reconnecting { error, after })
    }

    /// The next signal of the stream that is open.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Signal, Error>> {
        let State::Open(reading) = &mut self.state else { return Poll::Pending };
        loop {
            match self.decoder.next_item() {
                Ok(Some(Item::Event(event))) => return Poll::Ready(Ok(Signal::Event(event))),
                Ok(Some(Item::Comment(comment))) => {
                    return Poll::Ready(Ok(Signal::Comment(comment)));
                }
                Ok(Some(Item::Retry(millis))) => {
                    return Poll::Ready(Ok(Signal::Retry(Duration::from_millis(millis))));
                }
                Ok(Some(_)) => {}
                Ok(None) => match ready!(reading.poll(&self.from, cx)) {
                    Ok(chunk) => {
                        self.backoff.reset();
                        self.decoder.feed_bytes(chunk);
                    }
                    Err(error) => return Poll::Ready(self.failed(error)),
                },
                Err(error) => {
                    let error = too_long(&self.from, error);
                    return Poll::Ready(self.failed(error));
                }
            }
        }
    }
}

impl Stream for EventSource {
    type Item = Result<Signal, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.restart.poll(cx) && !this.is_terminated() {
            this.state = State::Ready;
        }
        loop {
            match &mut this.state {
                State::Ready => match this.attempt() {
                    Ok(connecting) => this.state = connecting,
                    Err(error) => return Poll::Ready(Some(this.failed(error))),
                },
                State::Connecting(opening) => {
                    return Poll::Ready(match ready!(opening.as_mut().poll(cx)) {
                        Ok(Opening::Stream(opened)) => Some(Ok(this.opened(*opened))),
                        Ok(Opening::NoMore) => {
                            this.state = State::Done;
                            None
                        }
                        Err(error) => Some(this.failed(error)),
                    });
                }
                State::Open(_) => return this.poll_open(cx).map(Some),
                State::Waiting(wait) => {
                    ready!(wait.as_mut().poll(cx));
                    this.state = State::Ready;
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

impl FusedStream for EventSource {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ready | State::Connecting(_) => "connecting",
            State::Open(_) => "open",
            State::Waiting(_) => "waiting",
            State::Done => "done",
        };
        f.debug_struct("EventSource")
            .field("from", &self.from)
            .field("state", &state)
            .field("last_event_id", &self.last_event_id())
            .finish_non_exhaustive()
    }
}

/// Restarts an [`EventSource`] from elsewhere: [`EventSource::handle`].
#[derive(Clone, Default)]
pub struct Handle(Arc<Restart>);

#[derive(Default)]
struct Restart {
    wanted: AtomicBool,
    waker: AtomicWaker,
}

impl Handle {
    /// See [`EventSource::restart`].
    pub fn restart(&self) {
        self.0.wanted.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Whether it is wanted by now; wakes if it is later.
    fn poll(&self, cx: &Context<'_>) -> bool {
        self.0.waker.register(cx.waker());
        self.0.wanted.swap(false, Ordering::AcqRel)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// The events of an [`EventSource`], and nothing else: comments are passed over, and so are cuts, which it outlives. Ends
/// as the [`EventSource`] does: with `None`, or after an `Err`.
#[derive(Debug)]
pub struct Events(EventSource);

impl Events {
    /// The event source, for what it knows.
    pub fn get_ref(&self) -> &EventSource {
        &self.0
    }

    /// The event source, for what else it tells.
    pub fn into_inner(self) -> EventSource {
        self.0
    }
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let source = &mut self.get_mut().0;
        loop {
            match ready!(Pin::new(&mut *source).poll_next(cx)) {
                Some(Ok(Signal::Event(event))) => return Poll::Ready(Some(Ok(event))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl FusedStream for Events {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

/// A stream that is open, and how long nothing may come of it.
struct Reading {
    chunks: Chunks,
    silence: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Reading {
    fn poll(&mut self, from: &Target, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        let when = "within the stream";
        match self.chunks.poll_next(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                if let Some((limit, silence)) = &mut self.silence {
                    silence.as_mut().reset(Instant::now() + *limit);
                }
                Poll::Ready(Ok(chunk))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(lost(from, when, error))),
            Poll::Ready(None) => {
                Poll::Ready(Err(Error::new(ErrorKind::Ended, format!("{from} has ended the stream"))))
            }
            // Only now: who polls late still gets what has come in time.
            Poll::Pending => {
                let Some((limit, silence)) = &mut self.silence else { return Poll::Pending };
                ready!(silence.as_mut().poll(cx));
                let what = format!("{from} has sent nothing for {limit:?} (the read timeout)");
                Poll::Ready(Err(Error::new(ErrorKind::Timeout, what)))
            }
        }
    }
}

/// The id as a header, if there is one.
pub(crate) fn header(id: &str) -> Result<Option<HeaderValue>, ()> {
    if id.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_bytes(id.as_bytes()).map(Some).map_err(|_| ())
}

fn too_long(from: &Target, error: DecodeError) -> Error {
    let what = format!("{from}: {error}. It would come again at the next connection; `limits` allows more");
    Error::new(ErrorKind::TooLong, what)
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_fn;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::advance,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(45);

    /// A stream whose silence is limited, and its server's end.
    async fn reading() -> (Reading, Target, DuplexStream) {
        let (client, mut server) = duplex(1 << 10);
        let answer = async {
            assert!(server.read(&mut [0; 100]).await.unwrap() > 0);
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        };
        let (chunks, ()) = tokio::join!(Chunks::over(client), answer);
        let target = Target::parse("http://a/").unwrap().0;
        (Reading { chunks, silence: Some((LIMIT, Box::pin(sleep(LIMIT)))) }, target, server)
    }

    #[tokio::test(start_paused = true)]
    async fn any_byte_ends_silence() {
        let (mut reading, target, mut server) = reading().await;
        let serving = async {
            for _ in 0..5 {
                sleep(LIMIT - Duration::from_secs(1)).await;
                server.write_all(b":").await.unwrap();
            }
            Instant::now()
        };
        let reading = async {
            let mut bytes = 0;
            loop {
                match poll_fn(|cx| reading.poll(&target, cx)).await {
                    Ok(chunk) => bytes += chunk.len(),
                    Err(error) => return (bytes, error, Instant::now()),
                }
            }
        };
        let (last, (bytes, error, end)) = tokio::join!(serving, reading);
        assert_eq!((bytes, error.kind()), (5, ErrorKind::Timeout));
        let silence = end - last;
        assert!(silence >= LIMIT && silence < LIMIT + Duration::from_secs(1), "{silence:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_polls_late_gets_what_came_in_time() {
        let (mut reading, target, mut server) = reading().await;
        server.write_all(b"x").await.unwrap();
        advance(3 * LIMIT).await;
        assert_eq!(poll_fn(|cx| reading.poll(&target, cx)).await.unwrap(), "x");
    }
}
