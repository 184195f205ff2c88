//! A pipe as a process of its own, which can be killed and started again with its checkpoint.

use std::{
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::{
    PATIENCE, env, eventually,
    output::{Output, Running},
};

/// What a pipe is started with.
#[derive(Clone, Debug)]
pub struct PipeBuilder {
    args: Vec<String>,
    /// Where it runs, and its checkpoint is.
    folder: Arc<TempDir>,
}

impl PipeBuilder {
    /// Adds arguments as they are.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Its checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("checkpoint.json")
    }

    /// What its checkpoint says.
    ///
    /// # Errors
    /// If there is none.
    pub fn checkpointed(&self) -> Result<Value> {
        let path = self.checkpoint();
        Ok(serde_json::from_slice(&fs::read(&path).with_context(|| path.display().to_string())?)?)
    }

    /// Starts one. Several at the same time get in each other's way, as they should.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(&self) -> Result<Pipe> {
        let binary = env::gateway()?;
        let child = Command::new(&binary)
            .arg("pipe")
            .args(&self.args)
            .arg("--checkpoint")
            .arg(self.checkpoint())
            .current_dir(self.folder.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let output = Output::default();
        Ok(Pipe { running: output.of(child)?, output })
    }

    /// Runs one to its own end, without an error. What it wrote.
    ///
    /// # Errors
    /// If it can't be started, does not end, or ends in an error.
    pub async fn run(&self) -> Result<String> {
        let pipe = self.start()?;
        let (status, output) = pipe.wait().await?;
        ensure!(status.success(), "the pipe ended with {status}; it wrote:\n{output}");
        Ok(output)
    }
}

/// A pipe that runs; dropping it kills it.
#[derive(Debug)]
pub struct Pipe {
    running: Running,
    output: Output,
}

impl Pipe {
    /// One from this source into this sink.
    ///
    /// # Errors
    /// If there is no place for its checkpoint.
    #[expect(clippy::new_ret_no_self, reason = "what is made is started by the builder")]
    pub fn new(source: &str, sink: &str) -> Result<PipeBuilder> {
        Ok(PipeBuilder { args: vec![source.to_owned(), sink.to_owned()], folder: Arc::new(TempDir::new()?) })
    }

    /// What it wrote to standard error and output so far.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Waits until it has written this.
    ///
    /// # Errors
    /// If it doesn't; what it wrote stands in the error.
    pub async fn until_written(&self, wanted: &str) -> Result<()> {
        eventually("the pipe's output", || async {
            if self.output().contains(wanted) {
                Ok(())
            } else {
                bail!("{wanted:?} is not in:\n{}", self.output())
            }
        })
        .await
    }

    /// Its process.
    ///
    /// # Errors
    /// If it has ended.
    pub fn id(&self) -> Result<u32> {
        self.running.child.id().context("the pipe has ended")
    }

    /// Ends it as a power cut would (SIGKILL), and waits until it is gone. What it wrote.
    ///
    /// # Errors
    /// If it can't be.
    pub async fn kill(mut self) -> Result<String> {
        self.running.child.kill().await.context("cannot kill the pipe")?;
        self.running.drain().await?;
        Ok(self.output.text())
    }

    /// Asks it to end (SIGTERM). [`wait`](Self::wait) for it then.
    ///
    /// # Errors
    /// If it does not run.
    pub fn terminate(&self) -> Result<()> {
        crate::process::signal(self.id()?, Signal::TERM).context("cannot signal the pipe")
    }

    /// Waits for its own end: how it ended, and what it wrote.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn wait(mut self) -> Result<(ExitStatus, String)> {
        let status = timeout(PATIENCE, self.running.child.wait())
            .await
            .with_context(|| format!("the pipe did not end; it wrote:\n{}", self.output()))??;
        self.running.drain().await?;
        Ok((status, self.output.text()))
    }
}
