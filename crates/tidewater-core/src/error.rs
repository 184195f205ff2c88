//! The one error of the workspace.

use std::{error::Error as StdError, fmt};

/// A result with the workspace's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, whether trying again can help, what was being done, and what caused it.
///
/// The message is written for the person who has to act: what was given, what is wrong, what to do.
///
/// ```
/// use tidewater_core::{Error, ErrorKind, Retry};
///
/// let error = Error::new(ErrorKind::Unavailable, "no broker answers at 127.0.0.1:9092").context("channel \"orders\"");
/// assert_eq!(error.to_string(), "channel \"orders\": no broker answers at 127.0.0.1:9092");
/// assert_eq!(error.retry(), Retry::Later);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    context: Vec<String>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind; [`retry`](Self::retry) is what the kind suggests.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = if kind == ErrorKind::Unavailable { Retry::Later } else { Retry::Never };
        Self(Box::new(Inner { kind, retry, context: Vec::new(), message: message.into(), source: None }))
    }

    /// The same, saying whether trying again can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// The same, caused by `source`. Its text becomes part of this error's text.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same, with what was being done put before it.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.0.context.push(context.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for context in self.0.context.iter().rev() {
            write!(f, "{context}: ")?;
        }
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (retry: {:?}): {self}", self.0.kind, self.0.retry)
    }
}

impl StdError for Error {
    /// What caused this error's own cause: the cause itself is in the text already.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().and_then(|source| source.source())
    }
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, a URL or an argument is wrong. Nothing changes until a person changes it.
    Config,
    /// No plugin that is linked in has this scheme.
    UnknownScheme,
    /// A topic, stream or channel of that name does not exist (now).
    NotFound,
    /// The broker refuses who we are or what we may do.
    Denied,
    /// The broker can't be reached, or doesn't answer in time.
    Unavailable,
    /// The other side refuses this one message: too large, malformed.
    Rejected,
    /// The source or sink can't do this at all.
    Unsupported,
    /// It is shut down.
    Closed,
    /// Anything else.
    Internal,
}

impl ErrorKind {
    /// Its name in traces, such as `not_found`: never changes.
    ///
    /// ```
    /// use tidewater_core::ErrorKind;
    ///
    /// assert_eq!(ErrorKind::NotFound.as_str(), "not_found");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::UnknownScheme => "unknown_scheme",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Rejected => "rejected",
            Self::Unsupported => "unsupported",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call fails again.
    Never,
    /// The same call may succeed later.
    Later,
}
