//! What is known of the process.

use std::{
    fmt,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::families::{Families, NONE};

/// When the process began to serve.
pub(in crate::serve) fn started() -> SystemTime {
    static STARTED: OnceLock<SystemTime> = OnceLock::new();
    *STARTED.get_or_init(SystemTime::now)
}

/// A time, as Prometheus has it.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Under the names that every exporter has for it. What the system does not tell is `None`.
#[derive(Debug, Default)]
pub(super) struct Process {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    open_files: Option<u64>,
    most_files: Option<u64>,
}

impl Process {
    /// Three small files of Linux, and the size of a folder; elsewhere nothing is known.
    #[cfg(target_os = "linux")]
    pub(super) fn read() -> Self {
        use rustix::{
            param::{clock_ticks_per_second, page_size},
            process::{Resource, getrlimit},
        };

        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (stat, statm) = (text("/proc/self/stat"), text("/proc/self/statm"));
        // proc_pid_stat(5): behind the name, which may hold anything, utime and stime are the 12th and the 13th.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut times = after_name.split_whitespace().skip(11).map_while(|ticks| ticks.parse::<u64>().ok());
        let ticks = times.next().zip(times.next()).map(|(user, system)| user + system);
        let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Self {
            cpu_seconds: ticks.map(|ticks| ticks as f64 / clock_ticks_per_second() as f64),
            resident_bytes: pages.map(|pages| pages * page_size() as u64),
            open_files: open_files(),
            most_files: getrlimit(Resource::Nofile).current,
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn read() -> Self {
        Self::default()
    }
}

/// Linux counts them since 6.2. Before that they have to be listed, which takes long where there are a million.
#[cfg(target_os = "linux")]
fn open_files() -> Option<u64> {
    let folder = "/proc/self/fd";
    match std::fs::metadata(folder).ok()?.len() {
        // Without the one that looks.
        0 => Some(std::fs::read_dir(folder).ok()?.count().saturating_sub(1) as u64),
        count => Some(count),
    }
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        families.gauges(
            "process_start_time_seconds",
            "When the process began to serve, in seconds since 1970",
            [(NONE, seconds(started()))],
        )?;
        families.counters(
            "process_cpu_seconds",
            "Processor time that the process has used",
            self.cpu_seconds.map(|seconds| (NONE, seconds)),
        )?;
        families.gauges(
            "process_resident_memory_bytes",
            "Memory of the process that is not swapped out",
            self.resident_bytes.map(|bytes| (NONE, bytes)),
        )?;
        families.gauges(
            "process_open_fds",
            "Open files, with connections",
            self.open_files.map(|files| (NONE, files)),
        )?;
        families.gauges(
            "process_max_fds",
            "How many files may be open",
            self.most_files.map(|files| (NONE, files)),
        )
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_all_of_it() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1 << 20, "{process:?}");
        assert!((1.0..1e6).contains(&(process.cpu_seconds.unwrap() + 1.0)), "{process:?}");
        assert!(process.open_files.unwrap() >= 3, "{process:?}");
        assert!(process.most_files.is_none_or(|most| most >= 64), "{process:?}");
    }
}
