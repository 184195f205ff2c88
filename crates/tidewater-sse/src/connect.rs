//! Opening a stream: connect, ask, follow redirects, judge the answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::poll_fn;
use http::{HeaderValue, Response, StatusCode, response::Parts};
use http_body::Body as _;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1,
    rt::{Read, Write},
};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service as _;

use crate::{
    error::{Error, ErrorKind},
    request::Call,
    response::{Verdict, judge, refusal},
    target::Target,
};

/// As many as a browser follows (Fetch, HTTP-redirect fetch).
const MOST_REDIRECTS: usize = 20;
/// How much of a refusal's body is read, and for how long: it is shown, nothing else.
const MOST_OF_REFUSAL: usize = 4 << 10;
const PATIENCE_FOR_REFUSAL: Duration = Duration::from_secs(2);
/// A peer that is gone without a word is noticed by TCP itself, as in Chromium, where the application sets no timeout.
const KEEPALIVE: Duration = Duration::from_secs(45);

/// What every connection is made with.
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) call: Call,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) retry_statuses: Vec<StatusCode>,
    #[cfg(feature = "tls")]
    pub(crate) tls: crate::tls::Tls,
}

/// What came of it.
pub(crate) enum Opening {
    Stream(Box<Opened>),
    /// 204: there are no more events.
    NoMore,
}

/// A stream that has begun.
pub(crate) struct Opened {
    /// Where, behind all redirects.
    pub(crate) target: Target,
    pub(crate) head: Parts,
    pub(crate) body: Chunks,
}

/// Opens the stream once. Dropping it closes what it has opened.
pub(crate) async fn open(settings: &Settings, last_event_id: Option<HeaderValue>) -> Result<Opening, Error> {
    let (mut target, mut call) = (settings.target.clone(), settings.call.clone());
    for _ in 0..=MOST_REDIRECTS {
        let (head, mut body) = settings.ask(&target, &call, last_event_id.clone()).await?;
        match judge(&target, &head)? {
            Verdict::Stream => return Ok(Opening::Stream(Box::new(Opened { target, head, body }))),
            Verdict::NoMore => return Ok(Opening::NoMore),
            Verdict::Redirect(to, login) => {
                call.redirect(head.status, &target, &to);
                if let Some(login) = login {
                    call.headers.insert(http::header::AUTHORIZATION, login);
                }
                target = to;
            }
            Verdict::Refused => {
                let said = body.beginning().await;
                let transient = settings.retry_statuses.contains(&head.status);
                return Err(refusal(&target, &head, &said, transient));
            }
        }
    }
    let what = format!("{} redirects more than {MOST_REDIRECTS} times", settings.target);
    Err(Error::new(ErrorKind::Redirect, what))
}

impl Settings {
    /// One request on a connection of its own, up to the head of the answer.
    async fn ask(
        &self,
        target: &Target,
        call: &Call,
        last_event_id: Option<HeaderValue>,
    ) -> Result<(Parts, Chunks), Error> {
        let io = self.connect(target).await?;
        let no_http = |error: hyper::Error| lost(target, "before it has answered", error);
        let (mut sender, connection) = http1::handshake(io).await.map_err(no_http)?;
        let mut driver = Driver(Some(Box::pin(connection)));
        let answer = driver.drive(sender.send_request(call.request(target, last_event_id)));
        let answer = match self.read_timeout {
            None => answer.await,
            Some(limit) => timeout(limit, answer).await.map_err(|_| {
                Error::new(
                    ErrorKind::Timeout,
                    format!("{target} has not answered within {limit:?} (the read timeout)"),
                )
            })?,
        };
        let (head, body) = answer.map_err(no_http)?.into_parts();
        Ok((head, Chunks { body, driver }))
    }

    async fn connect(&self, target: &Target) -> Result<Box<dyn Io>, Error> {
        let connecting = self.connect_without_limit(target);
        match self.connect_timeout {
            None => connecting.await,
            Some(limit) => timeout(limit, connecting).await.unwrap_or_else(|_| {
                let what = format!("{target} can't be reached within {limit:?} (the connect timeout)");
                Err(Error::new(ErrorKind::Timeout, what))
            }),
        }
    }

    async fn connect_without_limit(&self, target: &Target) -> Result<Box<dyn Io>, Error> {
        #[cfg(not(feature = "tls"))]
        if target.is_https() {
            return Err(without_tls(target));
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        // It is shared out among the addresses of a name, so that a dead one does not use up all of it.
        tcp.set_connect_timeout(self.connect_timeout);
        let stream = tcp.call(target.uri().clone()).await.map_err(|error| {
            let what = format!(
                "{target} can't be reached ({}). Is the server running, and is that its port?",
                target.address()
            );
            Error::new(ErrorKind::Connect, what).caused_by(error)
        })?;
        #[cfg(feature = "tls")]
        if target.is_https() {
            return self.tls.secure(target, stream.into_inner()).await;
        }
        Ok(Box::new(stream))
    }
}

/// Where `https` would be needed and is not in the build.
#[cfg(not(feature = "tls"))]
pub(crate) fn without_tls(target: &Target) -> Error {
    let what =
        "there is no TLS in this build: enable the feature `tls` of tidewater-sse, or `sse-tls` of tidewater";
    Error::new(ErrorKind::Config, format!("{target}: {what}"))
}

/// An error of hyper's: a connection that broke, or one that speaks something else.
pub(crate) fn lost(target: &Target, when: &str, error: hyper::Error) -> Error {
    if error.is_parse() {
        Error::new(ErrorKind::Http, format!("{target} does not answer as HTTP")).caused_by(error)
    } else {
        Error::new(ErrorKind::Cut, format!("{target} was cut off {when}")).caused_by(error)
    }
}

/// A connection's two directions.
pub(crate) trait Io: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Io for T {}

/// Hyper's half of a connection: it moves only while it is polled, so nothing is read that nobody asks for, and it is
/// closed when it is dropped. No task is needed for it.
struct Driver(Option<Pin<Box<Connection>>>);

type Connection = http1::Connection<Box<dyn Io>, Full<Bytes>>;

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        // What goes wrong is told to whoever waits for an answer or a body.
        if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready()) {
            self.0 = None;
        }
    }

    async fn drive(
        &mut self,
        answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut answer = std::pin::pin!(answer);
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            self.poll(cx);
            answer.as_mut().poll(cx)
        })
        .await
    }
}

/// A response's body, with the connection that it comes from.
pub(crate) struct Chunks {
    body: Incoming,
    driver: Driver,
}

impl Chunks {
    /// The next bytes; `None` at the body's proper end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        loop {
            let mut frame = Pin::new(&mut self.body).poll_frame(cx);
            if frame.is_pending() {
                // The body has just told the connection that it wants more.
                self.driver.poll(cx);
                frame = Pin::new(&mut self.body).poll_frame(cx);
            }
            match ready!(frame) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    // Trailers say nothing about events.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }

    /// What there is of its beginning, as much as is worth showing.
    async fn beginning(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE_FOR_REFUSAL;
        let mut said = Vec::new();
        while said.len() < MOST_OF_REFUSAL
            && let Ok(Some(Ok(chunk))) = timeout_at(deadline, poll_fn(|cx| self.poll_next(cx))).await
        {
            said.extend_from_slice(&chunk[..chunk.len().min(MOST_OF_REFUSAL)]);
        }
        said
    }
}

#[cfg(test)]
impl Chunks {
    /// The body of the answer to a request over any stream.
    pub(crate) async fn over(stream: tokio::io::DuplexStream) -> Self {
        let io: Box<dyn Io> = Box::new(hyper_util::rt::TokioIo::new(stream));
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        let mut driver = Driver(Some(Box::pin(connection)));
        let request = http::Request::new(Full::default());
        let body = driver.drive(sender.send_request(request)).await.unwrap().into_body();
        Self { body, driver }
    }
}
