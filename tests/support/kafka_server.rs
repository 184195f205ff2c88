//! A Kafka of a test's own, which may be killed.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{env, process};

/// A broker that `cargo xtask services` runs in a folder of its own; dropping it stops it and removes its data, and so
/// does the end of this program, however it comes.
#[derive(Debug)]
pub struct KafkaServer {
    data: TempDir,
    broker: String,
    /// Stops the broker when its standard input ends.
    holder: Child,
}

impl KafkaServer {
    /// Starts one on a free port, and waits until it answers.
    ///
    /// # Errors
    /// If it can't be started.
    pub async fn start() -> Result<Self> {
        let data = tempfile::tempdir()?;
        let mut command = services(data.path(), "up")?;
        command.arg("--hold").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // Ctrl-C is for this program; the broker follows.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut holder = command.spawn().context("cannot run xtask")?;
        let out = BufReader::new(holder.stdout.take().context("no standard output")?);
        let exports = spawn_blocking(move || {
            let lines = out.lines().map_while(Result::ok);
            lines.take_while(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
        });
        let broker = address(&exports.await?)?;
        Ok(Self { data, broker, holder })
    }

    /// `127.0.0.1:PORT`.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// If that fails.
    pub async fn kill(&self) -> Result<()> {
        self.services("kill").await.map(drop)
    }

    /// Starts it again, on the same port and with the same data, and waits until it answers.
    ///
    /// # Errors
    /// If it can't be started.
    pub async fn restart(&self) -> Result<()> {
        let broker = address(&self.services("up").await?)?;
        ensure!(broker == self.broker, "it was at {} and is now at {broker}", self.broker);
        Ok(())
    }

    /// Stops it where it stands (SIGSTOP); connections stay open.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self) -> Result<()> {
        process::signal(self.id()?, Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        process::signal(self.id()?, Signal::CONT)
    }

    /// Its process, from where xtask keeps it.
    fn id(&self) -> Result<u32> {
        let state: Value = serde_json::from_slice(&std::fs::read(self.data.path().join("state.json"))?)?;
        let id = state["kafka"]["pid"].as_u64().context("Kafka does not run")?;
        Ok(u32::try_from(id)?)
    }

    async fn services(&self, action: &str) -> Result<String> {
        let command = services(self.data.path(), action)?;
        let output = tokio::process::Command::from(command).stdin(Stdio::null()).output().await;
        let output = output.context("cannot run xtask")?;
        let wrote = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "xtask services {action} kafka: {wrote}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        // One that stands still can't be asked to end.
        self.thaw().ok();
        drop(self.holder.stdin.take());
        if let Err(error) = self.holder.wait() {
            eprintln!("cannot stop Kafka: {error}");
        }
    }
}

fn services(data: &Path, action: &str) -> Result<Command> {
    let mut command = Command::new(env::xtask()?);
    command.args(["services", "--dir"]).arg(data).args([action, "kafka"]);
    Ok(command)
}

fn address(exports: &str) -> Result<String> {
    let broker = exports.lines().find_map(|line| line.strip_prefix("export TIDEWATER_TEST_KAFKA="));
    Ok(broker.with_context(|| format!("no address in {exports:?}"))?.to_owned())
}
