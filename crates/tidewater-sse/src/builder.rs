//! Settings of an event source, checked before anything is sent.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tidewater_core::sse::{Decoder, Limits, Utf8Bytes};

use crate::{
    EventSource,
    backoff::Backoff,
    connect::Settings,
    error::{Error, ErrorKind},
    request::Call,
    source,
    target::{Target, redacted},
};

/// Statuses that say "not now": 429, 502, 503 and 504. For [`Builder::retry_statuses`].
pub const NOT_NOW: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

const INITIAL_RETRY: Duration = Duration::from_secs(3);
const MAX_RETRY: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Settings of an [`EventSource`]: [`EventSource::builder`]. All but the URL may be left as they are.
#[must_use]
pub struct Builder {
    url: String,
    call: Call,
    last_event_id: Utf8Bytes,
    initial_retry: Duration,
    max_retry: Duration,
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    limits: Limits,
    retry_statuses: Vec<StatusCode>,
    #[cfg(feature = "tls")]
    root_certificates: Vec<Bytes>,
    /// The first thing that was wrong, told by `build`.
    fault: Option<Error>,
}

impl Builder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            call: Call { method: Method::GET, headers: HeaderMap::new(), body: Bytes::new() },
            last_event_id: Utf8Bytes::new(),
            initial_retry: INITIAL_RETRY,
            max_retry: MAX_RETRY,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: None,
            limits: Limits::default(),
            retry_statuses: Vec::new(),
            #[cfg(feature = "tls")]
            root_certificates: Vec::new(),
            fault: None,
        }
    }

    /// Adds a header to every request. One of the same name stays too.
    ///
    /// `Authorization`, `Cookie`, `Proxy-Authorization` and values that are marked as
    /// [sensitive](HeaderValue::set_sensitive) don't follow a redirect to another origin.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        let fault = match name.try_into() {
            Ok(name) => match value.try_into() {
                Ok(value) => {
                    self.call.headers.append(name, value);
                    return self;
                }
                // The value itself may be a secret.
                Err(error) => (format!("the value of the header {name}"), error.into()),
            },
            Err(error) => ("a header's name".to_owned(), error.into()),
        };
        self.fault.get_or_insert_with(|| {
            Error::new(ErrorKind::Config, format!("{} can't be sent", fault.0)).caused_by(fault.1)
        });
        self
    }

    /// Adds all these headers, as [`header`](Self::header) does.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        let mut last = None;
        for (name, value) in headers {
            last = name.or(last);
            if let Some(name) = &last {
                self.call.headers.append(name, value);
            }
        }
        self
    }

    /// The method; `GET` if nothing is said. Anything but `HEAD` and `CONNECT`.
    pub fn method(mut self, method: Method) -> Self {
        self.call.method = method;
        self
    }

    /// The body, sent again at each connection. Says nothing about its type: that is a header.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.call.body = body.into();
        self
    }

    /// Where to go on from: sent as `Last-Event-ID` as if an earlier connection had got it. Empty is none.
    pub fn last_event_id(mut self, id: impl Into<Utf8Bytes>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// The reconnection time until the stream sets one: 3 seconds if nothing is said, as in Chromium.
    ///
    /// At least 10 ms are waited, and if it is the stream that sets it, at least 100 ms and at most an hour: neither a
    /// server that says `retry: 0` nor one that says `retry: 9999999999` gets what it asks for.
    pub fn initial_retry(mut self, time: Duration) -> Self {
        self.initial_retry = time;
        self
    }

    /// What waiting grows to while attempts keep failing: 30 seconds if nothing is said. A longer reconnection time
    /// counts all the same.
    ///
    /// The first wait is the reconnection time and up to a quarter more, at random. Each further one is up to twice as
    /// long as the one before, at random between half of that and all of it. A byte of an event stream sets it back.
    pub fn max_retry(mut self, time: Duration) -> Self {
        self.max_retry = time;
        self
    }

    /// How long a connection (name, TCP, TLS) may take: 15 seconds if nothing is said, `None` for as long as the system
    /// takes. How long the server takes to answer is the [`read_timeout`](Self::read_timeout)'s business: some send
    /// nothing before their first event.
    pub fn connect_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = limit.into();
        self
    }

    /// How long nothing at all may come, before the answer or within the stream, until it counts as cut. `None` if
    /// nothing is said: the standard knows no heartbeats, so a server that is quiet may be well, and a reconnection loses
    /// the events of one that gives no ids. (A peer that is gone is still noticed by TCP's keepalive, some minutes later.)
    ///
    /// A server that sends heartbeats should get some three times their distance: 45 seconds for Tidewater's endpoints.
    pub fn read_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.read_timeout = limit.into();
        self
    }

    /// Bounds of a line and of an event; one that is longer ends the stream with an error.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Statuses upon which it connects again, e.g. [`NOT_NOW`]: not before a `Retry-After` in seconds has passed, if
    /// there is one (an hour at most). None if nothing is said, as in a browser, where any status but 200 is the end.
    pub fn retry_statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        self.retry_statuses = statuses.into_iter().collect();
        self
    }

    /// Trusts these certificates too (PEM, one or more), besides those that the system trusts.
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Bytes>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Checks everything. Nothing is sent before the result is polled.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: a URL that can't be read, or is neither `http` nor (with the feature `tls`) `https`; a
    /// header that can't be sent, or is the client's own to set (`Last-Event-ID`, `Content-Length`, `Connection` …); a
    /// method whose answer has no body; certificates that are none. [`ErrorKind::LastEventId`]: an id that no header can
    /// carry.
    pub fn build(mut self) -> Result<EventSource, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let config = |what: String| Err(Error::new(ErrorKind::Config, what));
        let (target, login) = match Target::parse(&self.url) {
            Ok(read) => read,
            Err(why) => return config(format!("{:?}: {why}", redacted(&self.url))),
        };
        #[cfg(not(feature = "tls"))]
        if target.is_https() {
            return Err(crate::connect::without_tls(&target));
        }
        for name in self.call.headers.keys() {
            if let Some(why) = Call::objection(name) {
                return config(format!("the header {name} can't be set: {why}"));
            }
        }
        if matches!(self.call.method, Method::HEAD | Method::CONNECT) {
            return config(format!("the method {} has no answer with events in it", self.call.method));
        }
        if source::header(&self.last_event_id).is_err() {
            let what = "the last event id has a control character, which no header can carry";
            return Err(Error::new(ErrorKind::LastEventId, what));
        }
        if let Some(login) = login {
            self.call.headers.entry(header::AUTHORIZATION).or_insert(login);
        }
        self.call.complete();
        let settings = Settings {
            target,
            call: self.call,
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            retry_statuses: self.retry_statuses,
            #[cfg(feature = "tls")]
            tls: crate::tls::Tls::new(&self.root_certificates)?,
        };
        let decoder = Decoder::with_limits(self.limits).with_last_event_id(self.last_event_id);
        Ok(EventSource::with(settings, decoder, Backoff::new(self.initial_retry, self.max_retry)))
    }
}

/// Without header values, body and query, which may hold secrets.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("url", &redacted(&self.url))
            .field("method", &self.call.method)
            .field("headers", &self.call.headers.keys().collect::<Vec<_>>())
            .field("initial_retry", &self.initial_retry)
            .field("max_retry", &self.max_retry)
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("limits", &self.limits)
            .field("retry_statuses", &self.retry_statuses)
            .finish_non_exhaustive()
    }
}
