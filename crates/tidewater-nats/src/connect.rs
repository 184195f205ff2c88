//! Making a connection.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use tidewater_core::Result;

use crate::{config::Profile, error};

/// The longest that one server is waited for.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a request to a server is waited for.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How often each server is tried again before a connection is given up: 5 seconds or so of [`backoff`]. After that
/// whoever needs one makes another, with files that are read anew, and is told what is wrong.
const RECONNECTS: usize = 9;

/// Connects to one of the servers. `change` is what the caller needs besides.
///
/// # Errors
/// [`Unavailable`](tidewater_core::ErrorKind::Unavailable) when none answers within [`CONNECT_TIMEOUT`] each,
/// [`Denied`](tidewater_core::ErrorKind::Denied) when it lets us not in, [`Config`](tidewater_core::ErrorKind::Config)
/// for a file that can't be used. Each names the setting.
pub(crate) async fn connect(
    profile: &Profile,
    change: impl FnOnce(ConnectOptions) -> ConnectOptions,
) -> Result<Client> {
    let hosts = profile.hosts.len();
    let options = profile
        .options()
        .name("tidewater")
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .max_reconnects(RECONNECTS * hosts)
        .reconnect_delay_callback(move |attempts| backoff(attempts.saturating_sub(1) / hosts));
    let options = profile.tls.apply(profile.login.apply(options).await?).await?;
    let options = match &profile.inbox_prefix {
        Some(prefix) => options.custom_inbox_prefix(prefix),
        None => options,
    };
    let longest = CONNECT_TIMEOUT * (hosts as u32) + Duration::from_secs(1);
    match tokio::time::timeout(longest, change(options).connect(profile.hosts.as_slice())).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(error::connect(profile, error)),
        Err(_) => Err(error::silent(profile)),
    }
}

/// How long to wait before the next round of all servers: none the first time, then doubling to a second.
fn backoff(round: usize) -> Duration {
    match round {
        0 => Duration::ZERO,
        _ => Duration::from_millis(100 << (round - 1).min(4)).min(Duration::from_secs(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_looked_for_for_some_seconds() {
        let all: Duration = (0..RECONNECTS).map(backoff).sum();
        assert!(all > Duration::from_secs(3) && all < Duration::from_secs(10), "{all:?}");
    }
}
