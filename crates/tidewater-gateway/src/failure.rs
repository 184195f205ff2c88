//! How a command fails: a text a person can act on, and an exit code a script can.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use tidewater::{Error, ErrorKind};

use crate::config::Finding;

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    text: String,
}

/// What a script can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Exit code 1: it was asked for something sensible and could not do it.
    Runtime,
    /// Exit code 2: the command line is wrong; the same again fails again. As clap's own errors have it.
    Usage,
    /// Exit code 2: things that are wrong with the configuration, each on a line that begins with its place.
    Findings,
    /// Exit code 3: the address can't be listened on.
    Listen,
    /// Exit code 0: whoever read the output has stopped reading, as `head` does.
    Unread,
}

/// Tells what is not wrong with a configuration, but may be meant otherwise.
pub(crate) fn warn_of(findings: &[Finding]) {
    findings.iter().for_each(|finding| warn(format_args!("warning: {finding}")));
}

/// Tells what goes on all the same. Nobody may read it.
pub(crate) fn warn(text: impl fmt::Display) {
    writeln!(io::stderr(), "{text}").ok();
}

impl Failure {
    /// It could not be done.
    pub(crate) fn runtime(text: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Runtime, text: text.to_string() }
    }

    /// What was given is wrong.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Usage, text: text.to_string() }
    }

    /// The configuration is wrong: a line for each thing, as it is.
    pub(crate) fn findings(findings: &[Finding]) -> Self {
        let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
        Self { kind: FailureKind::Findings, text: text.join("\n") }
    }

    /// The address can't be listened on.
    pub(crate) fn listen(text: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Listen, text: text.to_string() }
    }

    /// Standard output could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => FailureKind::Unread,
            _ => FailureKind::Runtime,
        };
        Self { kind, text: format!("standard output can't be written: {error}") }
    }

    /// Standard input could not be read.
    pub(crate) fn input(error: &io::Error) -> Self {
        Self::runtime(format_args!("standard input can't be read: {error}"))
    }

    /// Prints it and answers with its exit code.
    pub(crate) fn report(self) -> ExitCode {
        let code = match self.kind {
            FailureKind::Unread => return ExitCode::SUCCESS,
            FailureKind::Runtime => 1,
            FailureKind::Usage | FailureKind::Findings => 2,
            FailureKind::Listen => 3,
        };
        // Without anybody to read it the exit code says enough.
        let before = if self.kind == FailureKind::Findings { "" } else { "error: " };
        writeln!(io::stderr(), "{before}{self}").ok();
        ExitCode::from(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for Failure {
    /// What only a person's edit can mend is exit code 2; everything else is 1.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Config | ErrorKind::UnknownScheme | ErrorKind::Unsupported => Self::usage(error),
            _ => Self::runtime(error),
        }
    }
}
