//! Children that end with us: on success, on failure and on Ctrl-C.
//!
//! Each runs in a process group of its own, so that what it starts in turn (test programs, gateways, browsers) ends
//! with it, and so that Ctrl-C reaches this program alone, which then ends its children in order.

use std::{
    io,
    process::{Child, ChildStderr, Command, ExitStatus},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// Process groups that live now.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How long a child may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(8);

/// From here on Ctrl-C, SIGTERM and SIGHUP end the children instead of this program, which goes on to clean up.
/// A second one does not wait for them.
pub(crate) fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        let again = INTERRUPTED.swap(true, Ordering::SeqCst);
        for group in groups().iter() {
            drop(signal_group(*group, again));
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether Ctrl-C (or its like) came.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// An error if Ctrl-C came: for loops that wait.
pub(crate) fn check_interrupted() -> Result<()> {
    if interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

/// A child and all that it starts; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
}

impl Group {
    /// Starts the command in a process group of its own.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        // Held over the spawn: an interrupt meets either no child or a registered one.
        let mut groups = groups();
        check_interrupted()?;
        let child = command.spawn().with_context(|| format!("cannot start `{}`", process::shown(command)))?;
        groups.push(child.id());
        Ok(Self { child })
    }

    /// Waits for the child's own end. Interrupts do end it, through the handler.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        check_interrupted()?;
        Ok(status)
    }

    /// The child's process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child's stderr, once, if it is piped.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Whether the child itself still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.child.id();
        let start = Instant::now();
        if self.is_running() {
            drop(signal_group(id, false));
            while self.is_running() && start.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(20));
            }
        }
        // The child, if it would not end, and whatever it left behind.
        drop(signal_group(id, true));
        drop(self.child.wait());
        groups().retain(|group| *group != id);
    }
}

fn groups() -> MutexGuard<'static, Vec<u32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SIGTERM, or SIGKILL if `hard`, to every process of a group.
#[cfg(unix)]
fn signal_group(group: u32, hard: bool) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process_group};
    match i32::try_from(group).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok(kill_process_group(pid, if hard { Signal::KILL } else { Signal::TERM })?),
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Ends a process and its children; this system has no groups.
#[cfg(not(unix))]
fn signal_group(group: u32, _hard: bool) -> io::Result<()> {
    Command::new("taskkill").args(["/F", "/T", "/PID", &group.to_string()]).status().map(drop)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::Stdio,
    };

    use super::*;

    #[test]
    fn dropping_a_group_ends_grandchildren() {
        let helper = process::tests::Helper::named("helper");
        let mut parent = Command::new(helper.program());
        parent.args(["parent", "71"]).stdout(Stdio::piped());
        let mut group = Group::spawn(&mut parent).unwrap();
        let mut line = String::new();
        BufReader::new(group.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        let limit = Instant::now() + Duration::from_secs(10);
        // Its id is told before its command line may stand in /proc.
        while !process::is_ours(grandchild, "sleep 71") {
            assert!(Instant::now() < limit, "the grandchild never started");
            thread::sleep(Duration::from_millis(5));
        }
        drop(group);
        while process::is_ours(grandchild, "sleep 71") {
            assert!(Instant::now() < limit, "the grandchild outlived its group");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
