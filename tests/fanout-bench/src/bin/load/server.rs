//! What the server uses, by the kernel's own count.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use nix::{time::clock_getcpuclockid, unistd::Pid};

/// The process under load, if there is one.
#[derive(Debug)]
pub(crate) struct Server(Option<u32>);

impl Server {
    pub(crate) fn new(pid: Option<u32>) -> Self {
        Self(pid)
    }

    /// Processor time of all its threads, also of those that have ended, in seconds. The clock counts nanoseconds.
    pub(crate) fn busy(&self) -> Result<f64> {
        let Some(pid) = self.0 else { return Ok(0.0) };
        let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?)).context("the server has ended")?;
        Ok(Duration::from(clock.now().context("the server has ended")?).as_secs_f64())
    }

    /// Its memory (PSS), in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let Some(pid) = self.0 else { return Ok(0) };
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the server has ended")?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("smaps_rollup")?;
        let kib: u64 = line.split_whitespace().next().context("smaps_rollup")?.parse()?;
        Ok(kib << 10)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_is_seen() {
        let server = Server::new(Some(std::process::id()));
        let before = server.busy().unwrap();
        let filled = vec![1_u8; 8 << 20];
        let sum: u64 = (0..20).flat_map(|_| &filled).map(|byte| u64::from(*byte)).sum();
        assert!(sum > 0 && server.memory().unwrap() > 8 << 20);
        assert!(server.busy().unwrap() > before);
    }
}
