//! Finding programs, running them, starting them for good, ending them.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The program's place on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    file.is_file()
}

/// Runs a command to its end; what it writes goes to our stderr, so that stdout stays for our own answer.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command and returns what it wrote: stdout, then stderr (`java -version` writes to the latter).
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("`{}` failed ({}): {}", shown(command), output.status, text.trim());
    }
    Ok(text)
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Starts a command that outlives this program: a process group of its own, and all it writes is appended to `log`.
pub(crate) fn spawn_detached(command: &mut Command, log: &Path) -> Result<u32> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
    let pid = child.id();
    // The kernel lets us go on a moment before the new command line stands in /proc; `is_ours` reads it there.
    let start = Instant::now();
    while child.try_wait()?.is_none() && start.elapsed() < Duration::from_secs(2) {
        if command_line(pid).is_some_and(|line| !line.trim().is_empty()) {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    // Reaps it if it ends while this program still runs: a zombie would count as living.
    thread::spawn(move || drop(child.wait()));
    Ok(pid)
}

/// Whether `pid` is alive and is still the process we mean: its command line holds `marker`.
///
/// A pid alone proves nothing: after a reboot it may belong to anybody.
pub(crate) fn is_ours(pid: u32, marker: &str) -> bool {
    command_line(pid).is_some_and(|line| line.contains(marker))
}

fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let mut ps = Command::new("ps");
    output(ps.args(["-o", "command=", "-p", &pid.to_string()])).ok()
}

/// Ends a process that is ours: asks it to, waits up to `patience`, then makes it. Says whether there was one.
pub(crate) fn stop(pid: u32, marker: &str, patience: Duration) -> Result<bool> {
    if !is_ours(pid, marker) {
        return Ok(false);
    }
    signal(pid, false)?;
    let start = Instant::now();
    while start.elapsed() < patience {
        if !is_ours(pid, marker) {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(50));
    }
    kill(pid, marker)?;
    Ok(true)
}

/// SIGKILL to a process that is ours, and waits until it is gone. Says whether there was one.
pub(crate) fn kill(pid: u32, marker: &str) -> Result<bool> {
    if !is_ours(pid, marker) {
        return Ok(false);
    }
    signal(pid, true)?;
    let start = Instant::now();
    while is_ours(pid, marker) {
        if start.elapsed() > Duration::from_secs(10) {
            bail!("process {pid} ({marker}) does not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

/// SIGTERM, or SIGKILL if `hard`. A process that has just ended is no error.
#[cfg(unix)]
fn signal(pid: u32, hard: bool) -> Result<()> {
    use rustix::{
        io::Errno,
        process::{Pid, Signal, kill_process},
    };
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { bail!("{pid} is no process id") };
    match kill_process(pid, if hard { Signal::KILL } else { Signal::TERM }) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process {pid:?}")),
    }
}

/// Ends a process; this system has no gentle way.
#[cfg(not(unix))]
fn signal(pid: u32, _hard: bool) -> Result<()> {
    run(Command::new("taskkill").args(["/F", "/PID", &pid.to_string()]))
}

#[cfg(all(test, unix))]
pub(crate) mod tests {
    use super::*;

    /// `examples/helper.rs`, in a folder of its own and under any name; dropping it removes the folder.
    pub(crate) struct Helper {
        program: PathBuf,
    }

    impl Helper {
        pub(crate) fn named(name: &str) -> Self {
            static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let folder = env::temp_dir().join(format!("xtask-helper-{}-{count}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            // `target/debug/deps/xtask-…` beside `target/debug/examples/helper`.
            let tests = env::current_exe().unwrap();
            let built = tests.parent().unwrap().parent().unwrap().join("examples/helper");
            let program = folder.join(name);
            // A link, no copy: one that is written while another thread forks cannot be started.
            std::os::unix::fs::symlink(&built, &program).unwrap();
            assert!(program.is_file(), "{} is not built: cargo test -p xtask does it", built.display());
            Self { program }
        }

        pub(crate) fn program(&self) -> PathBuf {
            self.program.clone()
        }

        pub(crate) fn folder(&self) -> &Path {
            self.program.parent().unwrap()
        }
    }

    impl Drop for Helper {
        fn drop(&mut self) {
            fs::remove_dir_all(self.folder()).unwrap();
        }
    }

    #[test]
    fn stops_its_own_and_leaves_others() {
        let helper = Helper::named("helper");
        let mut command = Command::new(helper.program());
        let pid = spawn_detached(command.args(["sleep", "61"]), &helper.folder().join("log")).unwrap();
        let patience = Duration::from_secs(5);
        assert!(!stop(pid, "sleep 62", patience).unwrap(), "another command line is not ours");
        assert!(is_ours(pid, "sleep 61"));
        assert!(stop(pid, "sleep 61", patience).unwrap());
        assert!(!is_ours(pid, "sleep 61"));
    }

    #[test]
    fn finds_programs_on_the_path() {
        // Nothing is built without it.
        assert!(find("cc").or_else(|| find("rustc")).is_some());
        assert!(find("no-such-program-as-this").is_none());
    }
}
