//! What went wrong, so that it can be told to everybody who waits.

use std::{error::Error as StdError, io};

use tidewater_core::{Error, ErrorKind, Retry};

/// An [`Error`] that can be given to many.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    /// The store refused to begin with it.
    refused: bool,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = if kind == ErrorKind::Unavailable { Retry::Later } else { Retry::Never };
        Self { kind, retry, message: message.into(), refused: false }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Something in the folder is not as it was written.
    pub(crate) fn damaged(what: impl std::fmt::Display) -> Self {
        let message = format!(
            "the store is damaged: {what}. Put a backup in its place, or move the folder away to begin with an empty one"
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
        self.refused
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
            fjall::Error::InvalidVersion(_) => Self::new(
                ErrorKind::Unsupported,
                format!(
                    "{doing}: the store is of another version ({error}): open it with the version that wrote it"
                ),
            ),
            fjall::Error::Poisoned => Self {
                refused: true,
                ..Self::unavailable(format!(
                    "{doing}: the store could not write in the background (is the disk full?); it is opened again"
                ))
            },
            other => Self::damaged(format_args!("{doing}: {other}")),
        }
    }
}
