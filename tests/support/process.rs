//! Signals for processes that the tests started.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Sends it.
///
/// # Errors
/// If there is no such process, or it is somebody else's.
pub(crate) fn signal(id: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process id")?;
    kill_process(pid, signal).with_context(|| format!("process {id}"))
}
