//! Loopback ports that stay free while what listens on them is down.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};

/// Chromium: `ERR_UNSAFE_PORT`.
const BAD_PORT: u16 = 10_080;

/// A loopback port that nothing listens on, and that this process hasn't given out before.
///
/// Not the one port of the range that browsers refuse (the Fetch standard's list of bad ports).
///
/// From below the ephemeral range (Linux: 32768 and up): no outgoing connection sits on it while a gateway is down
/// that shall come back on the same port. Test programs that run at the same time get different ones; xtask takes
/// brokers' ports from 20000 up.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    // A claim is a locked file: a port whose gateway was just killed is free, and still nobody else's, neither here
    // nor in another test process.
    static CLAIMED: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let claims = std::env::temp_dir().join("tidewater-tests-ports");
    std::fs::create_dir_all(&claims).with_context(|| claims.display().to_string())?;
    let (low, high) = (10_000, 20_000);
    let start = low + (std::process::id() % 500) as u16 * 20;
    for port in (start..high).chain(low..start) {
        if claimed.contains_key(&port) || port == BAD_PORT {
            continue;
        }
        let claim = File::create(claims.join(port.to_string()))?;
        if claim.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            claimed.insert(port, claim);
            return Ok(port);
        }
    }
    bail!("no free loopback port between {low} and {high}: stop what holds them")
}
