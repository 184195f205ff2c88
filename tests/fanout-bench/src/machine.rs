//! The machine under a process: its core, its open files, its clock.

use std::io;

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Pins this process, and all threads that it starts from now on, to a core, if there are two.
///
/// # Errors
/// What the kernel says.
pub fn pin(core: Option<usize>) -> io::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(core) = core.filter(|_| cores > 1) else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Allows as many open files as the hard limit does.
///
/// # Errors
/// What the kernel says.
pub fn raise_files() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
