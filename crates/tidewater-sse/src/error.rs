//! What goes wrong, and whether it is for good.

use std::{error::Error as StdError, fmt, time::Duration};

use http::StatusCode;

/// Why there is no event stream, or none any more.
///
/// Its text names the URL without user, password and query, which may hold secrets, and ends with the text of what
/// caused it ([`get_ref`](Self::get_ref)).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    transient: bool,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    message: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            transient: kind.is_transient(),
            status: None,
            retry_after: None,
            message: message.into(),
            cause: None,
        }))
    }

    pub(crate) fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Makes it one that passes, after so long if the server says so.
    pub(crate) fn passing(mut self, retry_after: Option<Duration>) -> Self {
        self.0.transient = true;
        self.0.retry_after = retry_after;
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether connecting again can help, as an `EventSource` has it: it does so by itself.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// The response's status, if that is what is wrong.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// What caused it. As with [`std::io::Error::get_ref`], its text is within this error's, so it is no
    /// [`source`](StdError::source).
    pub fn get_ref(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut cause = self.0.cause.as_deref().map(|cause| cause as &dyn StdError);
        let mut last = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some tell their own cause's text too.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.0.transient { "for now" } else { "for good" };
        write!(f, "{:?} ({when}): {self}", self.0.kind)
    }
}

impl StdError for Error {}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A URL, a header, a certificate or another setting is wrong. Final.
    Config,
    /// There is no connection to the server: its name is unknown, nobody listens, it is unreachable. Transient.
    Connect,
    /// There is one, but no TLS over it: a certificate that is not trusted, or no TLS at all. Transient, as in a browser.
    Tls,
    /// The connect timeout or the read timeout has passed. Transient.
    Timeout,
    /// The connection broke: while the answer was waited for, or within the stream. Transient.
    Cut,
    /// The server has ended the stream. Transient.
    Ended,
    /// What came is no HTTP. Transient, as in a browser.
    Http,
    /// The status is none of 200 and 204 ([`Error::status`]). Final, but for
    /// [those that are retried](crate::Builder::retry_statuses).
    Status,
    /// The answer is no `text/event-stream`, or one in an encoding that was not asked for. Final.
    ContentType,
    /// A redirect that can't be followed. Final.
    Redirect,
    /// The last event id can't be sent: it has a control character, which no header takes. Final, because connecting
    /// without it would lose the position in silence.
    LastEventId,
    /// A line or an event is longer than the [limits](crate::Builder::limits). Final: it would come again.
    TooLong,
}

impl ErrorKind {
    fn is_transient(self) -> bool {
        matches!(self, Self::Connect | Self::Tls | Self::Timeout | Self::Cut | Self::Ended | Self::Http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_all_causes_once() {
        let io = std::io::Error::other("reset");
        let error = Error::new(ErrorKind::Cut, "http://a/ was cut off").caused_by(io);
        assert_eq!(error.to_string(), "http://a/ was cut off: reset");
        assert_eq!(format!("{error:?}"), "Cut (for now): http://a/ was cut off: reset");
        assert!(error.get_ref().unwrap().is::<std::io::Error>() && error.source().is_none());

        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let error = Error::new(ErrorKind::Http, "no HTTP").caused_by(Outer(std::io::Error::other("inner")));
        assert_eq!(error.to_string(), "no HTTP: outer: inner");
        let error = Error::new(ErrorKind::Http, "no HTTP").caused_by(std::io::Error::other(error));
        assert_eq!(error.to_string(), "no HTTP: no HTTP: outer: inner");
    }
}
