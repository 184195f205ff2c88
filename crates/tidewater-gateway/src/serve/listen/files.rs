//! How many files may be open: each connection is one.

use std::num::NonZeroUsize;

/// What is open besides connections: brokers, logs, listeners, and connections that are told that there is no room.
const OTHERS: usize = 512;

/// Raises the bound of open files as far as it goes, and says how many connections there may be: as many as were asked
/// for, or else as many as that allows.
pub(in crate::serve) fn connections(asked: Option<NonZeroUsize>) -> usize {
    let files = raise();
    let allowed = files.map_or(usize::MAX, |files| files.saturating_sub(OTHERS).max(files / 2));
    match asked.map(NonZeroUsize::get) {
        Some(asked) => {
            if asked > allowed {
                tracing::warn!(
                    "{asked} connections may be too many: {} files may be open. Raise the hard limit (ulimit -Hn, \
                     LimitNOFILE= of systemd) to {}",
                    files.unwrap_or_default(),
                    asked.saturating_add(OTHERS)
                );
            }
            asked
        }
        None => allowed,
    }
}

/// The soft limit becomes the hard one. `None`: there is none, or nobody can tell.
#[cfg(unix)]
fn raise() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            // Some systems call it unlimited, and then have a limit.
            tracing::warn!(%error, "the limit of open files is not raised");
            limit.current
        }
    };
    let told = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    tracing::info!(
        soft = told(limit.current),
        hard = told(limit.maximum),
        now = told(now),
        "how many files may be open"
    );
    now.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn raise() -> Option<usize> {
    None
}
