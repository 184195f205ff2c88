//! A real Chromium, headless, driven through ChromeDriver.

use std::{net::Ipv4Addr, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{PATIENCE, env, eventually, free_port, http};

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one tab; dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    // In this order: the processes end before their folder goes.
    _process: Process,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts ChromeDriver and Chromium.
    ///
    /// # Errors
    /// If they are not installed or don't start.
    pub async fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let (driver, url) = start_driver().await?;
        let mut args: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let mut capabilities = serde_json::Map::new();
        let mut options = json!({ "args": args });
        // Without it ChromeDriver looks where its own kind is usually installed.
        if let Some(browser) = env::browser() {
            options["binary"] = json!(browser);
        }
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connect = builder.capabilities(capabilities).connect(&url);
        let client = timeout(PATIENCE, connect).await.context("Chromium does not start")??;
        let told = client.capabilities();
        let pid = told.and_then(|told| told.get("goog:processID")?.as_i64());
        let pid = pid.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let process = Process(pid.context("ChromeDriver does not tell the browser's process")?);
        Ok(Self { client, _process: process, _driver: driver, _profile: profile })
    }

    /// Opens a page, and waits until it is loaded.
    ///
    /// # Errors
    /// If it can't be opened.
    pub async fn open(&self, url: &str) -> Result<()> {
        timeout(PATIENCE, self.client.goto(url))
            .await
            .context("the page hangs")?
            .with_context(|| url.to_owned())
    }

    /// Runs a function's body in the page, and gives what it returns.
    ///
    /// # Errors
    /// If it throws.
    pub async fn run(&self, script: &str) -> Result<Value> {
        timeout(PATIENCE, self.client.execute(script, Vec::new()))
            .await
            .context("the page hangs")?
            .context("script")
    }

    /// Asks until the script gives `true`, for so long as `limit`.
    ///
    /// # Errors
    /// If it doesn't.
    pub async fn wait_until(&self, condition: &str, limit: Duration) -> Result<()> {
        let wait = async {
            while self.run(&format!("return {condition}")).await? != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        match timeout(limit, wait).await {
            Ok(done) => done,
            Err(_) => bail!("the page did not get to {condition} within {limit:?}"),
        }
    }
}

/// The browser's main process: those that it has started end with it. ChromeDriver's end alone would leave it.
#[derive(Debug)]
struct Process(Pid);

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = kill_process(self.0, Signal::KILL) {
            eprintln!("cannot end the browser: {error}");
        }
    }
}

/// ChromeDriver, and its URL. In the test's own process group, so that what ends the tests ends it too.
async fn start_driver() -> Result<(Child, String)> {
    let port = free_port()?;
    let child = Command::new(env::chromedriver())
        .arg(format!("--port={port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start ChromeDriver: `cargo xtask doctor` says what is missing")?;
    eventually("ChromeDriver", || async {
        let status = http::get((Ipv4Addr::LOCALHOST, port).into(), "/status").await?.json()?;
        if status["value"]["ready"] == true { Ok(()) } else { bail!("it is not ready: {status}") }
    })
    .await?;
    Ok((child, format!("http://127.0.0.1:{port}")))
}
