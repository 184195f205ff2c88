//! The processes of a browser: its driver's, and its own.

use std::{net::Ipv4Addr, path::Path, process::Stdio};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use tokio::process::Child;

use super::kind::Kind;
use crate::{eventually, free_port, http};

/// What speaks WebDriver. In the test's own process group, so that what ends the tests ends it too.
#[derive(Debug)]
pub(super) struct Driver {
    url: String,
    _child: Child,
}

impl Driver {
    /// Starts it, and waits until it answers.
    pub(super) async fn start(kind: Kind, profile: &Path) -> Result<Self> {
        let port = free_port()?;
        let name = kind.driver();
        let child = kind
            .driver_command(profile, port)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}: `cargo xtask doctor` says what is missing"))?;
        eventually(name, || async {
            let status = http::get((Ipv4Addr::LOCALHOST, port).into(), "/status").await?.json()?;
            if status["value"]["ready"] == true { Ok(()) } else { bail!("it is not ready: {status}") }
        })
        .await?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), _child: child })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// The browser's main process: those that it has started end with it. The driver's end alone would leave it.
#[derive(Debug)]
pub(super) struct Process(Pid);

impl Process {
    pub(super) fn new(id: i64) -> Option<Self> {
        Pid::from_raw(id.try_into().ok()?).map(Self)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        match kill_process(self.0, Signal::KILL) {
            // The session's end, which the driver was told of a moment ago, may have been quicker.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => eprintln!("cannot end the browser: {error}"),
        }
    }
}
