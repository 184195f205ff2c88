//! What went wrong, so that it can be told to everybody who waits.

use std::{error::Error as StdError, io};

use tidewater_core::{Error, ErrorKind, Retry};

/// An [`Error`] that can be given to many.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    found: Found,
}

/// In which state a failure has found, and left, the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is not known what was done.
    Unknown,
    /// It had failed before: nothing was begun.
    Failed,
    /// It is as it was, and good: nothing was begun.
    Busy,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = if kind == ErrorKind::Unavailable { Retry::Later } else { Retry::Never };
        Self { kind, retry, message: message.into(), found: Found::Unknown }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// It can't take more just now.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self { found: Found::Busy, ..Self::unavailable(message) }
    }

    /// Something in the folder is not as it was written.
    pub(crate) fn damaged(what: impl std::fmt::Display) -> Self {
        let message = format!(
            "the store is damaged: {what}. Stop this process; then put a backup in its place, or move the folder \
             away to begin with an empty one"
        );
        Self::new(ErrorKind::Internal, message)
    }

    /// The same, which goes away when a person has done something: it is tried again.
    pub(crate) fn for_mending(mut self) -> Self {
        self.retry = Retry::Later;
        self
    }

    /// Whether nothing was begun: the store had failed before.
    pub(crate) fn is_refused(&self) -> bool {
        self.found == Found::Failed
    }

    /// Whether nothing was begun, and the store can be used on.
    pub(crate) fn is_busy(&self) -> bool {
        self.found == Found::Busy
    }

    pub(crate) fn error(&self) -> Error {
        Error::new(self.kind, self.message.clone()).with_retry(self.retry)
    }

    /// What the system said while something was done.
    pub(crate) fn io(doing: &str, error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::unavailable(format!(
                "{doing}: there is no room on the disk ({error}): make some, or let retain_bytes keep less"
            )),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::new(
                ErrorKind::Denied,
                format!("{doing}: {error}: let the user that this runs as read and write it"),
            ),
            Io::UnexpectedEof | Io::InvalidData => Self::damaged(format_args!("{doing}: {error}")),
            _ => Self::unavailable(format!("{doing}: {error}")),
        }
    }

    /// What the store said while it was opened: what it does not find there is missing.
    pub(crate) fn opening(error: &fjall::Error) -> Self {
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
                if is_missing(error) =>
            {
                Self::damaged(format_args!("a file of it is gone: {error}"))
            }
            _ => Self::store("opening the store", error),
        }
    }

    /// What the store said while something was done.
    pub(crate) fn store(doing: &str, error: &fjall::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(found) = cause {
            if let Some(error) = found.downcast_ref::<io::Error>() {
                return Self::io(doing, error);
            }
            cause = found.source();
        }
        match error {
            fjall::Error::Locked => {
                Self::unavailable(format!("{doing}: another process has the store in it open"))
            }
            fjall::Error::InvalidVersion(_) | fjall::Error::Storage(fjall::LsmError::InvalidVersion(_)) => {
                Self::new(
                    ErrorKind::Unsupported,
                    format!(
                        "{doing}: the store is of another version ({error}): open it with the version that wrote it"
                    ),
                )
            }
            fjall::Error::Poisoned => Self {
                found: Found::Failed,
                ..Self::unavailable(format!(
                    "{doing}: the store could not write in the background (is the disk full?); it is opened again"
                ))
            },
            other => Self::damaged(format_args!("{doing}: {other}")),
        }
    }
}
