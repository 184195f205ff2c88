//! Loopback ports that stay free while what listens on them is down.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, bail};

/// A loopback port that nothing listens on, and that this process hasn't given out before.
///
/// From below the ephemeral range (Linux: 32768 and up): no outgoing connection sits on it while a gateway is down
/// that shall come back on the same port. Other test programs begin their search elsewhere, and so does xtask, which
/// takes brokers' ports from 20000 up.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (low, high) = (10_000, 20_000);
    let start = low + (std::process::id() % 500) as u16 * 20;
    for port in (start..high).chain(low..start) {
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no free loopback port between {low} and {high}: stop what holds them")
}
