//! How long the kernel waits for a client's acknowledgement before it ends the connection (`TCP_USER_TIMEOUT`).
//!
//! Without it a client that is gone without a word is noticed after a quarter of an hour. But Linux counts the time of a
//! client that is full by it as well, and can go on counting while the client reads in small pieces. So the kernel's
//! patience is for clients that have never been full, and the shard's own for those that have.

use std::time::Duration;

/// The kernel ends the connection when nothing is acknowledged for so long.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn set<'s>(socket: impl Into<socket2::SockRef<'s>>, timeout: Duration) {
    // Of milliseconds it takes no more than an `int` holds.
    let timeout = timeout.min(Duration::from_millis(i32::MAX.unsigned_abs().into()));
    if let Err(error) = socket.into().set_tcp_user_timeout(Some(timeout)) {
        tracing::debug!(%error, "TCP_USER_TIMEOUT is not set");
    }
}

/// As the system has it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn set<'s>(_socket: impl Into<socket2::SockRef<'s>>, _timeout: Duration) {}

/// The kernel waits as long as it does by itself.
pub(super) fn unset<'s>(socket: impl Into<socket2::SockRef<'s>>) {
    set(socket, Duration::ZERO);
}
