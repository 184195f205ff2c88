//! The page under test.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidewater_tests::{
    Gateway, PATIENCE,
    browser::{Browser, BrowserBuilder, Tab},
    http,
};

/// The console in a browser of its own.
pub(crate) struct Page(Browser);

impl Page {
    /// Opens it at this place (`#/feed`).
    pub(crate) async fn open(browser: BrowserBuilder, url: &str) -> Result<Self> {
        let page = Self(browser.start().await?);
        page.0.open(url).await?;
        Ok(page)
    }

    pub(crate) fn tab(&self) -> Tab<'_> {
        self.0.tab()
    }

    /// Waits until this is so; [`HELPERS`] can be used in it.
    pub(crate) async fn until(&self, condition: &str) -> Result<()> {
        let done =
            self.0.wait_until(&format!("(() => {{ {HELPERS} return {condition} }})()"), PATIENCE).await;
        if done.is_ok() {
            return Ok(());
        }
        let looks = self.run("return document.body.innerText").await?;
        done.with_context(|| format!("the page:\n{}", looks.as_str().unwrap_or_default()))
    }

    /// Runs a function's body in the page.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        self.0.run(&format!("{HELPERS} {script}")).await
    }

    /// Clicks on what this selects.
    pub(crate) async fn click(&self, selector: &str) -> Result<()> {
        let selector = Value::from(selector);
        self.run(&format!("document.querySelector({selector}).click()")).await.map(drop)
    }

    /// Goes to another place of the page.
    pub(crate) async fn go(&self, hash: &str) -> Result<()> {
        self.run(&format!("location.hash = {}", Value::from(hash))).await.map(drop)
    }

    /// Writes into a field, as if it had been typed.
    pub(crate) async fn fill(&self, id: &str, text: &str) -> Result<()> {
        let (id, text) = (Value::from(id), Value::from(text));
        let script =
            format!("$({id}).value = {text}; $({id}).dispatchEvent(new Event('input', {{ bubbles: true }}))");
        self.run(&script).await.map(drop)
    }

    /// Publishes by the box.
    pub(crate) async fn publish(&self, event: &str, payload: &str) -> Result<()> {
        self.fill("event", event).await?;
        self.fill("payload", payload).await?;
        self.run("$('publish').requestSubmit()").await.map(drop)
    }
}

/// What the page shows. Events are newest first.
const HELPERS: &str = r"
    const $ = id => document.getElementById(id);
    const text = (row, part) => row.querySelector(part)?.textContent;
    const rows = () => [...$('events').children].filter(row => !row.hidden);
    const shown = () => rows().filter(row => text(row, '.type') !== 'cursor')
        .map(row => ({ type: text(row, '.type'), data: text(row, '.data'), place: text(row, '.place') }));
    const live = () => $('stream').dataset.state === 'open';
    const connected = () => $('feed').dataset.state === 'open';
    const notices = () => [...$('notices').children].map(notice => notice.textContent);
    const channel = name => [...$('rows').children].find(row => text(row, '.name') === name);
    const button = label => [...document.querySelectorAll('button')].find(button => button.textContent === label);
    const points = (row, cell) => row.querySelector(`.${cell} polyline`)?.getAttribute('points').split(' ').length ?? 0;
    const figure = (row, cell) => parseFloat(text(row, `.${cell} .value`).replaceAll(',', ''));
";

/// Publishes to a channel, past the page.
pub(crate) async fn publish(gateway: &Gateway, channel: &str, payloads: &[&str]) -> Result<()> {
    for payload in payloads {
        let answer =
            http::post(gateway.address(), &format!("/channels/{channel}"), payload.as_bytes()).await?;
        ensure!(answer.status == 202, "{answer:?}");
    }
    Ok(())
}
