//! A nats-server of a test's own, which may be killed.

use std::{net::Ipv4Addr, process::Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{NatsProducer, env, eventually, free_port, nats_client, process};

/// A server with JetStream in file storage; dropping it kills it and removes its data.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    data: TempDir,
    child: Option<Child>,
}

impl NatsServer {
    /// A free port and an empty folder, and no process yet.
    ///
    /// # Errors
    /// If there is no port or no folder.
    pub fn reserve() -> Result<Self> {
        Ok(Self { port: free_port()?, data: tempfile::tempdir()?, child: None })
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Starts it, again on the same port and with the same data, and waits until it answers.
    ///
    /// # Errors
    /// If it runs, or can't be started.
    pub async fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("nats-server runs already");
        }
        let binary = env::nats_server()?;
        // By default it is 1 MiB, which is less than Kafka can be given.
        let config = self.data.path().join("nats-server.conf");
        std::fs::write(&config, "max_payload: 16MB\n")?;
        let child = Command::new(&binary)
            .arg("-c")
            .arg(config)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(self.data.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        self.child = Some(child);
        let url = self.url();
        eventually("nats-server", || NatsProducer::connect(&url)).await?;
        // JetStream takes another moment to read what it has stored.
        eventually("JetStream", || nats_client::answers(&url)).await
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("nats-server does not run")?;
        child.kill().await.context("cannot kill nats-server")
    }

    /// Stops it where it stands (SIGSTOP); connections stay open.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.as_ref().and_then(Child::id).context("nats-server does not run")?;
        process::signal(id, signal)
    }
}
