//! A gateway as a process of its own, which can be killed and started again on the same port.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::{
    PATIENCE, env, eventually, free_port, http,
    output::{Output, Running},
};

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub struct GatewayBuilder {
    args: Vec<String>,
    environment: Environment,
    port: Option<u16>,
    by_file: bool,
}

impl GatewayBuilder {
    /// Adds `--channel NAME=URL`.
    #[must_use]
    pub fn channel(self, name: &str, url: &str) -> Self {
        self.args(["--channel".to_owned(), format!("{name}={url}")])
    }

    /// Adds `--allow-publish NAME`.
    #[must_use]
    pub fn allow_publish(self, name: &str) -> Self {
        self.args(["--allow-publish".to_owned(), name.to_owned()])
    }

    /// Adds arguments as they are.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.args.extend(args);
        self
    }

    /// Adds to its environment.
    #[must_use]
    pub fn envs(mut self, envs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.0.extend(envs);
        self
    }

    /// Listens on this port. By default on one that is free.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts it and waits until it answers on `/health/ready`.
    ///
    /// # Errors
    /// If it ends or does not answer; what it wrote stands in the error.
    pub async fn start(self) -> Result<Gateway> {
        let mut gateway = self.spawn()?;
        gateway.wait_until_up().await?;
        Ok(gateway)
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn spawn(self) -> Result<Gateway> {
        let port = match self.port {
            Some(port) => port,
            None => free_port()?,
        };
        let Self { mut args, environment, by_file, .. } = self;
        if !by_file {
            args.splice(..0, ["--listen".to_owned(), format!("127.0.0.1:{port}")]);
        }
        let mut gateway = Gateway { args, environment, port, running: None, output: Output::default() };
        gateway.spawn()?;
        Ok(gateway)
    }
}

/// A gateway; dropping it kills it.
#[derive(Debug)]
pub struct Gateway {
    args: Vec<String>,
    environment: Environment,
    port: u16,
    running: Option<Running>,
    output: Output,
}

/// Variables, which may be secrets.
#[derive(Clone, Default)]
struct Environment(Vec<(String, String)>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Gateway {
    /// One that is served by this web server.
    #[expect(clippy::new_ret_no_self, reason = "what is made is started by the builder")]
    pub fn new(server: &str) -> GatewayBuilder {
        GatewayBuilder {
            args: vec!["--server".to_owned(), server.to_owned()],
            environment: Environment::default(),
            port: None,
            by_file: false,
        }
    }

    /// One that is configured by this file alone. On this port, which is the file's business too, it answers about itself.
    pub fn by_file(file: &str, port: u16) -> GatewayBuilder {
        GatewayBuilder {
            args: vec!["--config".to_owned(), file.to_owned()],
            environment: Environment::default(),
            port: Some(port),
            by_file: true,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its process, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// The URL of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// What all its processes wrote to standard error and output so far.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// What `/health/ready` says: the status and the body.
    ///
    /// # Errors
    /// If it does not answer, or with something else than JSON.
    pub async fn ready(&self) -> Result<(u16, Value)> {
        let response = http::get(self.address(), "/health/ready").await?;
        Ok((response.status, response.json()?))
    }

    /// Waits until every channel's upstream is `live`.
    ///
    /// # Errors
    /// If one of them is not; what the gateway wrote stands in the error.
    pub async fn until_live(&self) -> Result<()> {
        self.until("live").await
    }

    /// Waits until every channel's upstream is in this state.
    ///
    /// # Errors
    /// If one of them is not; what the gateway wrote stands in the error.
    pub async fn until(&self, state: &str) -> Result<()> {
        let all = eventually("the channels", || async {
            let (_, told) = self.ready().await?;
            let channels = told["channels"].as_object().context("no channels")?;
            let all = !channels.is_empty() && channels.values().all(|channel| channel["upstream"] == state);
            if all { Ok(()) } else { bail!("not all are {state}: {told}") }
        });
        all.await.with_context(|| format!("the gateway wrote:\n{}", self.output()))
    }

    /// Ends it as a power cut would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the gateway does not run")?;
        running.child.kill().await.context("cannot kill the gateway")?;
        running.drain().await
    }

    /// Starts it again, with the same arguments and on the same port, and waits until it answers.
    ///
    /// # Errors
    /// If it runs still, or as [`GatewayBuilder::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_until_up().await
    }

    /// Asks it to end (SIGTERM). [`wait`](Self::wait) for it then.
    ///
    /// # Errors
    /// If it does not run.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.id().context("the gateway does not run")?;
        crate::process::signal(pid, signal).context("cannot signal the gateway")
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// If it does not run, or does not end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let mut running = self.running.take().context("the gateway does not run")?;
        let status = timeout(PATIENCE, running.child.wait())
            .await
            .with_context(|| format!("the gateway did not end; it wrote:\n{}", self.output()))??;
        running.drain().await?;
        Ok(status)
    }

    fn spawn(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("the gateway runs already");
        }
        let binary = env::gateway()?;
        let child = Command::new(&binary)
            .arg("serve")
            .args(&self.args)
            .envs(self.environment.0.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        self.running = Some(self.output.of(child)?);
        Ok(())
    }

    async fn wait_until_up(&mut self) -> Result<()> {
        let (address, output) = (self.address(), self.output.clone());
        let running = self.running.as_mut().context("the gateway does not run")?;
        let up = eventually("the gateway's answer", || async {
            let response = http::get(address, "/health/ready").await?;
            if response.status == 200 { Ok(()) } else { bail!("it answers {}", response.status) }
        });
        tokio::select! {
            biased;
            status = running.child.wait() => {
                let status = status?;
                let mut running = self.running.take().context("the gateway does not run")?;
                running.drain().await?;
                bail!("the gateway ended before it answered ({status}); it wrote:\n{}", output.text())
            }
            up = up => up.with_context(|| format!("the gateway wrote:\n{}", output.text())),
        }
    }
}
