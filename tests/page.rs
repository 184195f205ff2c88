//! The gateway's own page, in Chromium and in Firefox: channels, events, publishing, and how the connection is.

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result};
use serde_json::Value;
use tidewater_tests::{
    Gateway, PATIENCE,
    browser::{Browser, BrowserBuilder},
    heavy,
};

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn chromium_shows_publishes_and_tells_how_it_is() -> Result<()> {
    shows_publishes_and_tells_how_it_is(Browser::chromium()).await
}

#[tokio::test]
#[ignore = "needs Firefox: run cargo xtask test"]
async fn firefox_shows_publishes_and_tells_how_it_is() -> Result<()> {
    shows_publishes_and_tells_how_it_is(Browser::firefox()).await
}

async fn shows_publishes_and_tells_how_it_is(browser: BrowserBuilder) -> Result<()> {
    let _alone = heavy().await;
    let mut gateway =
        Gateway::new("hyper").channel("feed", "memory:").channel("other", "memory:").start().await?;
    gateway.until_live().await?;
    let page = Page(browser.start().await?);
    let done = async {
        page.0.open(&gateway.url("/#feed")).await?;
        page.until("state() === 'connected'").await?;
        page.until("$('channels').childElementCount === 2").await?;
        page.until("title() === 'feed'").await?;

        page.publish("greeting", "hello").await?;
        page.until("shown()[0]?.type === 'greeting' && shown()[0]?.data === 'hello'").await?;
        page.until("$('said').textContent.includes('offset 0')").await?;
        // What comes from outside is text, never markup.
        page.publish("", "<img src=x onerror='window.forged = true'>").await?;
        page.until("shown()[0]?.type === 'message' && shown()[0]?.data.startsWith('<img')").await?;
        page.until("document.querySelector('#events img') === null && !window.forged").await?;
        // A name that is the hub's own is refused, and the page says why.
        page.publish("tidewater.gap", "forged").await?;
        page.until("$('said').textContent.includes('reserved') && shown().length === 2").await?;

        page.0.run("location.hash = 'other'").await?;
        page.until("title() === 'other' && shown().length === 0").await?;
        page.0.run("location.hash = 'feed'").await?;
        page.until("title() === 'feed' && state() === 'connected'").await?;

        gateway.kill().await?;
        page.until("state() === 'reconnecting'").await?;
        gateway.restart().await?;
        page.until("state() === 'connected'").await?;
        page.until("shown().filter(row => row.type === 'gap').length === 1").await?;
        page.publish("", "here again").await?;
        page.until("shown()[0]?.data === 'here again'").await
    };
    let done = done.await;
    let looks = page.0.run(&format!("{HELPERS} return [state(), title(), shown()]")).await?;
    done.with_context(|| format!("the page: {looks}\nthe gateway wrote:\n{}", gateway.output()))
}

struct Page(Browser);

impl Page {
    async fn until(&self, condition: &str) -> Result<()> {
        self.0.wait_until(&format!("(() => {{ {HELPERS} return {condition} }})()"), PATIENCE).await
    }

    /// Types into the box and sends it.
    async fn publish(&self, event: &str, payload: &str) -> Result<()> {
        let (event, payload) = (Value::from(event), Value::from(payload));
        let script = format!(
            "{HELPERS} $('event').value = {event}; $('payload').value = {payload}; $('publish').requestSubmit();"
        );
        self.0.run(&script).await.map(drop)
    }
}

/// What the page shows, newest first.
const HELPERS: &str = r"
    const $ = id => document.getElementById(id);
    const state = () => $('status').dataset.state;
    const title = () => $('title').textContent;
    const text = (row, part) => row.querySelector(part)?.textContent;
    const shown = () => [...$('events').children].map(row => ({ type: text(row, '.type'), data: text(row, 'pre') }));
";
