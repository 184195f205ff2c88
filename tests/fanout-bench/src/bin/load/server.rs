//! What the server uses, from `/proc`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

/// The process under load, if there is one.
#[derive(Debug)]
pub(crate) struct Server(Option<PathBuf>);

impl Server {
    pub(crate) fn new(pid: Option<u32>) -> Self {
        Self(pid.map(|pid| PathBuf::from(format!("/proc/{pid}"))))
    }

    /// Processor time of all its threads that live, in seconds. By the scheduler's own count, in nanoseconds.
    pub(crate) fn busy(&self) -> Result<f64> {
        let Some(folder) = &self.0 else { return Ok(0.0) };
        let mut nanoseconds = 0_u64;
        for thread in fs::read_dir(folder.join("task")).context("the server has ended")? {
            let file = thread?.path().join("schedstat");
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            nanoseconds += text.split_whitespace().next().context("schedstat")?.parse::<u64>()?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// Its memory (PSS), in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let Some(folder) = &self.0 else { return Ok(0) };
        let text = fs::read_to_string(folder.join("smaps_rollup")).context("the server has ended")?;
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
