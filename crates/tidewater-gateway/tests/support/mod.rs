//! Runs the real binary.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod client;
pub(crate) mod file;
pub(crate) mod gateway;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use gateway::PATIENCE;

/// The binary, with no log filter and no collector from outside.
pub(crate) fn tidewater() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewater"));
    command.env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
}

/// A token of this subject, as `tidewater token` makes it with a secret.
#[cfg(feature = "authorization")]
pub(crate) fn token(secret: &str, subject: &str) -> String {
    let mut command = tidewater();
    command.args(["token", "--secret-env", "JWT_SECRET", "--claim", "aud=tidewater", "--claim"]);
    command.arg(format!("sub={subject}"));
    let mut child = command.env("JWT_SECRET", secret).stdout(Stdio::piped()).spawn().unwrap();
    let token = text(child.stdout.take().unwrap());
    assert_eq!(end(&mut child), Some(0));
    token.join().unwrap().trim().to_owned()
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Asserts the exit code, showing what was printed.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Asserts that the error says all of this.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        }
        self
    }
}

/// Runs it to its end with this on standard input.
#[track_caller]
pub(crate) fn run(args: &[&str], stdin: &[u8]) -> Done {
    let mut command = tidewater();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut input, bytes) = (child.stdin.take().unwrap(), stdin.to_vec());
    // A command that ends early closes its input: what it did is looked at, not what it left unread.
    let writer = thread::spawn(move || drop(input.write_all(&bytes)));
    let stdout = text(child.stdout.take().unwrap());
    let stderr = text(child.stderr.take().unwrap());
    let code = end(&mut child);
    writer.join().unwrap();
    Done { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Runs it to its end with variables.
#[track_caller]
pub(crate) fn with_variables(args: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = tidewater();
    command.args(args).envs(variables.iter().copied());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (text(child.stdout.take().unwrap()), text(child.stderr.take().unwrap()));
    let code = end(&mut child);
    Done { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Waits for its end: the exit code, or `None` if a signal killed it. Kills it, and fails, if it takes too long.
#[track_caller]
pub(crate) fn end(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Reads all of it in the background.
pub(crate) fn text(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(from.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The lines that come out of it, each within [`PATIENCE`].
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    pub(crate) fn of(from: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// The first, or nothing if there is none.
    pub(crate) fn first(&self) -> String {
        self.0.recv_timeout(PATIENCE).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("no line comes")
    }
}
