//! What a process uses, from `/proc`.

use std::time::Duration;

use anyhow::Result;

/// What a process uses at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) threads: usize,
    pub(super) sockets: usize,
    /// Resident memory, in KiB.
    pub(super) resident: u64,
    /// Processor time so far.
    pub(super) busy: Duration,
}

impl Usage {
    /// The most of both; the later of what only grows.
    pub(super) fn most(self, other: Self) -> Self {
        Self {
            threads: self.threads.max(other.threads),
            sockets: self.sockets.max(other.sockets),
            resident: self.resident.max(other.resident),
            busy: self.busy.max(other.busy),
        }
    }
}

/// Reads it.
#[cfg(target_os = "linux")]
pub(super) fn of(pid: u32) -> Result<Usage> {
    use std::fs;

    use anyhow::Context as _;

    let folder = std::path::PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(folder.join("status")).context("the gateway has ended")?;
    let number = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("/proc/PID/status")?;
        line.split_whitespace().next().and_then(|text| text.parse().ok()).context("/proc/PID/status")
    };
    // One that was closed meanwhile can't be read any more.
    let links =
        fs::read_dir(folder.join("fd"))?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let sockets = links.filter(|link| link.to_string_lossy().starts_with("socket:")).count();
    let stat = fs::read_to_string(folder.join("stat"))?;
    // Behind the program's name, which may hold anything: utime and stime are the 12th and 13th, in hundredths of a
    // second (USER_HZ, on every architecture that Rust has).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(Usage {
        threads: usize::try_from(number("Threads:")?)?,
        sockets,
        resident: number("VmRSS:")?,
        busy: Duration::from_millis((ticks(11) + ticks(12)) * 10),
    })
}

/// Reads it: not here.
#[cfg(not(target_os = "linux"))]
pub(super) fn of(_pid: u32) -> Result<Usage> {
    anyhow::bail!("threads, sockets and memory are read from /proc, which only Linux has")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_socket_and_a_thread_more_are_seen() {
        let before = of(std::process::id()).unwrap();
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv());
        let after = of(std::process::id()).unwrap();
        drop(stop);
        thread.join().unwrap().unwrap_err();
        // Other tests run meanwhile.
        assert!(after.threads >= 2 && after.sockets >= 1 && before.resident > 0, "{before:?} {after:?}");
    }
}
