//! Real browsers, headless: Chromium and Firefox, driven by WebDriver.
//!
//! ```no_run
//! use tidewater_tests::{PATIENCE, browser::Browser};
//!
//! # async fn run() -> anyhow::Result<()> {
//! let browser = Browser::firefox().accept_insecure_certs().start().await?;
//! browser.open("https://127.0.0.1:8443/").await?;
//! browser.run("return fetch('/login', { method: 'POST' }).then(answer => answer.status)").await?;
//! let other = browser.open_tab().await?;
//! other.open("https://127.0.0.1:8443/").await?;
//! other.wait_until("document.cookie.includes('session')", PATIENCE).await?;
//! # Ok(()) }
//! ```

mod driver;
mod input;
mod kind;
mod page;
#[cfg(test)]
mod tests;

use std::{future::Future, time::Duration};

use anyhow::{Context, Result, bail};
use fantoccini::{Client, ClientBuilder, error::CmdError, wd::WindowHandle};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::Mutex, time::timeout};

pub use self::page::Page;
use self::{
    driver::{Driver, Process},
    kind::Kind,
};
use crate::PATIENCE;

/// A browser with a profile of its own; dropping it ends it.
///
/// What it does itself, it does in its first tab.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    first: WindowHandle,
    /// The tab that the driver's commands go to; none if that is not known.
    current: Mutex<Option<WindowHandle>>,
    // In this order: the processes end before their folder goes.
    _process: Process,
    _driver: Driver,
    _profile: TempDir,
}

impl Browser {
    /// Chromium, or Chrome, with ChromeDriver.
    pub fn chromium() -> BrowserBuilder {
        BrowserBuilder { kind: Kind::Chromium, insecure_certs: false }
    }

    /// Firefox, with geckodriver.
    pub fn firefox() -> BrowserBuilder {
        BrowserBuilder { kind: Kind::Firefox, insecure_certs: false }
    }

    /// The tab that is there from the start.
    pub fn tab(&self) -> Tab<'_> {
        Tab { browser: self, handle: self.first.clone() }
    }

    /// Opens another tab, with an empty page. It shares the profile: cookies, and connections to an origin.
    ///
    /// # Errors
    /// If it can't be opened.
    pub async fn open_tab(&self) -> Result<Tab<'_>> {
        let opened = timeout(PATIENCE, self.client.new_window(true)).await.context("the browser hangs")??;
        Ok(Tab { browser: self, handle: opened.handle })
    }

    /// As [`Tab::open`].
    ///
    /// # Errors
    /// The same.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.tab().open(url).await
    }

    /// As [`Tab::run`].
    ///
    /// # Errors
    /// The same.
    pub async fn run(&self, script: &str) -> Result<Value> {
        self.tab().run(script).await
    }

    /// As [`Tab::wait_until`].
    ///
    /// # Errors
    /// The same.
    pub async fn wait_until(&self, condition: &str, limit: Duration) -> Result<()> {
        self.tab().wait_until(condition, limit).await
    }
}

/// One of a browser's tabs. Several can be waited for at once: their commands take turns.
#[derive(Clone, Debug)]
pub struct Tab<'a> {
    browser: &'a Browser,
    handle: WindowHandle,
}

impl Tab<'_> {
    /// Opens a page, and waits until it is loaded.
    ///
    /// # Errors
    /// If it can't be opened.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.command(self.browser.client.goto(url)).await.with_context(|| url.to_owned())
    }

    /// Runs a function's body in the page, and gives what it returns; if that is a promise, what comes of it.
    ///
    /// In Firefox its global object is not the page's, but inherits from it: what the page or a later script shall see
    /// is written as `window.name`. To read it, `name` will do.
    ///
    /// # Errors
    /// If it throws, or the promise is rejected.
    pub async fn run(&self, script: &str) -> Result<Value> {
        self.command(self.browser.client.execute(script, Vec::new())).await.context("script")
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

    /// Closes it, as a user would.
    ///
    /// # Errors
    /// If it can't be closed.
    pub async fn close(self) -> Result<()> {
        let closed = self.command(self.browser.client.close_window()).await;
        *self.browser.current.lock().await = None;
        closed
    }

    /// Kills the process of its page: it comes to no end of its own. Chromium only.
    ///
    /// # Errors
    /// If it lives.
    pub async fn crash(self) -> Result<()> {
        let crashed = self.command(self.browser.client.goto("chrome://crash")).await;
        *self.browser.current.lock().await = None;
        match crashed {
            Err(error) if format!("{error:#}").contains("crashed") => Ok(()),
            Err(error) => Err(error),
            Ok(()) => bail!("it did not crash"),
        }
    }

    /// Runs a command in this tab, and in no other that somebody turns to meanwhile.
    async fn command<T>(&self, command: impl Future<Output = Result<T, CmdError>>) -> Result<T> {
        let turn = async {
            let mut current = self.browser.current.lock().await;
            if current.as_ref() != Some(&self.handle) {
                // Not known until it is done: this may be cancelled on the way.
                *current = None;
                self.browser.client.switch_to_window(self.handle.clone()).await?;
                *current = Some(self.handle.clone());
            }
            Ok(command.await?)
        };
        timeout(PATIENCE, turn).await.context("the page hangs")?
    }
}

/// A browser that is to be started, made by [`Browser::chromium`] or [`Browser::firefox`].
#[derive(Clone, Copy, Debug)]
pub struct BrowserBuilder {
    kind: Kind,
    insecure_certs: bool,
}

impl BrowserBuilder {
    /// Takes certificates that nobody vouches for (WebDriver's `acceptInsecureCerts`): those that tests make.
    #[must_use]
    pub fn accept_insecure_certs(mut self) -> Self {
        self.insecure_certs = true;
        self
    }

    /// Starts the driver, and by it the browser with an empty profile.
    ///
    /// # Errors
    /// If they are not installed or don't start.
    pub async fn start(self) -> Result<Browser> {
        let kind = self.kind;
        let profile = tempfile::tempdir()?;
        let driver = Driver::start(kind, profile.path()).await?;
        let mut capabilities = kind.capabilities(profile.path());
        capabilities.insert("acceptInsecureCerts".to_owned(), self.insecure_certs.into());
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connect = builder.capabilities(capabilities).connect(driver.url());
        let client = timeout(PATIENCE, connect).await.with_context(|| format!("{kind} does not start"))??;
        let process = client.capabilities().and_then(|told| told.get(kind.process_id())?.as_i64());
        let process = process.and_then(Process::new);
        let process =
            process.with_context(|| format!("{} does not tell the browser's process", kind.driver()))?;
        let first = timeout(PATIENCE, client.window()).await.context("the browser hangs")??;
        let current = Mutex::new(Some(first.clone()));
        Ok(Browser { client, first, current, _process: process, _driver: driver, _profile: profile })
    }
}
