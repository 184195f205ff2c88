//! Loopback ports and waiting for what shall answer on them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::group;

/// Finds `N` different loopback ports that nothing listens on: see [`some_free_ports`].
pub(crate) fn free_ports<const N: usize>(place: &Path) -> Result<[u16; N]> {
    let ports = some_free_ports(place, N)?;
    ports.try_into().map_err(|ports: Vec<u16>| anyhow!("{} ports instead of {N}", ports.len()))
}

/// Finds so many different loopback ports that nothing listens on.
///
/// The search starts where `place` says: runs for other folders look elsewhere (so that two which start at the same
/// time do not pick the same ports), and a later run for the same one finds the same.
///
/// Taken from below the ephemeral range (Linux: 32768 and up), so that no outgoing connection sits on one while a
/// broker is down: tests restart brokers on the same port.
pub(crate) fn some_free_ports(place: &Path, count: usize) -> Result<Vec<u16>> {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    let start = 20_000 + (hasher.finish() % 1_000) as u16 * 10;
    let mut held = Vec::with_capacity(count);
    for port in (start..32_000).chain(20_000..start) {
        if held.len() == count {
            break;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        bail!("no {count} free loopback ports between 20000 and 32000: stop what holds them");
    }
    Ok(held.into_iter().map(|(port, _listener)| port).collect())
}

/// This port, or the next one that nothing listens on.
pub(crate) fn next_free_port(first: u16) -> Result<u16> {
    (first..first.saturating_add(50))
        .find(|port| TcpListener::bind(loopback(*port)).is_ok())
        .with_context(|| format!("no free port from {first} on: name another one"))
}

/// The loopback address of a port.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Asks `ready` every 100 ms until it answers; gives up at `limit` or when `alive` says that it is in vain.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut alive: impl FnMut() -> bool,
    mut ready: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let error = match ready() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        group::check_interrupted()?;
        if !alive() {
            bail!("{what} ended before it answered (last try: {error:#})");
        }
        if start.elapsed() > limit {
            bail!("{what} did not answer within {} s (last try: {error:#})", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_free() {
        let ports = free_ports::<3>(Path::new("net")).unwrap();
        for (i, port) in ports.iter().enumerate() {
            assert!(!ports[..i].contains(port));
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap();
        }
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind(loopback(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(next_free_port(port).unwrap() > port);
    }

    #[test]
    fn waiting_ends_when_the_process_has_ended() {
        let result = wait_for("it", Duration::from_secs(60), || false, || -> Result<()> { bail!("refused") });
        assert!(result.unwrap_err().to_string().contains("ended before it answered"));
    }
}
