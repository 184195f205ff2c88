//! A Kafka of a test's own, which may be killed.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{env, process};

/// A broker that `cargo xtask services` runs in a folder of its own; dropping it stops it and removes its data.
#[derive(Debug)]
pub struct KafkaServer {
    data: TempDir,
    broker: String,
}

impl KafkaServer {
    /// Starts one on a free port, and waits until it answers.
    ///
    /// # Errors
    /// If it can't be started.
    pub async fn start() -> Result<Self> {
        let mut server = Self { data: tempfile::tempdir()?, broker: String::new() };
        server.broker = server.up().await?;
        Ok(server)
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
        let broker = self.up().await?;
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

    async fn up(&self) -> Result<String> {
        let exports = self.services("up").await?;
        let broker = exports.lines().find_map(|line| line.strip_prefix("export TIDEWATER_TEST_KAFKA="));
        Ok(broker.with_context(|| format!("no address in {exports:?}"))?.to_owned())
    }

    async fn services(&self, action: &str) -> Result<String> {
        let mut command = Command::new(env::xtask()?);
        command.args(["services", "--dir"]).arg(self.data.path()).args([action, "kafka"]);
        let output = command.stdin(Stdio::null()).output().await.context("cannot run xtask")?;
        let wrote = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "xtask services {action} kafka: {wrote}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        let Ok(xtask) = env::xtask() else { return };
        // One that stands still can't be asked to end.
        self.thaw().ok();
        let mut command = std::process::Command::new(xtask);
        command.args(["services", "--dir"]).arg(self.data.path()).args(["down", "kafka"]);
        if let Err(error) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
        {
            eprintln!("cannot stop Kafka: {error}");
        }
    }
}
