//! A running gateway.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Lines, end, tidewater};

/// The servers that this build has.
pub(crate) fn servers() -> Vec<&'static str> {
    let all = [
        ("direct", true),
        ("hyper", true),
        ("warp", cfg!(feature = "warp")),
        ("rocket", cfg!(feature = "rocket")),
        ("salvo", cfg!(feature = "salvo")),
    ];
    all.into_iter().filter(|(_, built_in)| *built_in).map(|(name, _)| name).collect()
}

/// How long anything may take before a test fails: much longer than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// `tidewater serve` on a free port; killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    // Kept open: a gateway whose output nobody takes is another case.
    pub(crate) stdout: Lines,
    stderr: Option<Logs>,
}

impl Gateway {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(args, &[], true)
    }

    /// The same with variables.
    pub(crate) fn start_with(args: &[&str], variables: &[(&str, String)]) -> Self {
        Self::spawn(args, variables, true)
    }

    /// Its standard error is a pipe that nobody reads from any more, from the beginning.
    pub(crate) fn start_unread(args: &[&str]) -> Self {
        Self::spawn(args, &[], false)
    }

    fn spawn(args: &[&str], variables: &[(&str, String)], read: bool) -> Self {
        let listen = if args.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let mut child = tidewater()
            .arg("serve")
            .args(listen)
            .args(args)
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().filter(|_| read).map(Logs::of);
        let stdout = Lines::of(child.stdout.take().unwrap());
        let line = stdout.first();
        let Some(address) = line.trim().strip_prefix("Serving on http://") else {
            drop(child.kill());
            panic!("{args:?}: {line:?}, {:?}", stderr.map(Logs::rest));
        };
        let address = address.trim_end_matches('/').to_owned();
        Self { child, address, stdout, stderr }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// As `kill` does it.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until this is in its standard error, and takes everything up to its end.
    #[track_caller]
    pub(crate) fn logged(&self, wanted: &str) -> String {
        self.stderr.as_ref().unwrap().until(wanted)
    }

    /// Waits for its end: the exit code, and all of its standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = end(&mut self.child);
        (code, self.stderr.take().map(Logs::rest).unwrap_or_default())
    }
}

/// What it writes to standard error, as it comes.
struct Logs {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Logs {
    fn of(from: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let to = text.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                to.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { text, reader }
    }

    #[track_caller]
    fn until(&self, wanted: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut text = self.text.lock().unwrap();
            if let Some(at) = text.find(wanted) {
                return text.drain(..at + wanted.len()).collect();
            }
            assert!(Instant::now() < until, "{wanted:?} is not in:\n{text}");
            drop(text);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn rest(self) -> String {
        self.reader.join().unwrap();
        std::mem::take(&mut self.text.lock().unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
