//! What is told when something is wrong.

use anyhow::Result;
use tidewater_tests::{Gateway, browser::Browser, free_port, heavy};

use crate::page::{Page, publish};

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn a_broker_that_is_gone_is_told_with_its_error_and_what_to_do() -> Result<()> {
    let _alone = heavy().await;
    let dead = free_port()?;
    let source = format!("sse+http://127.0.0.1:{dead}/channels/orders");
    let gateway =
        Gateway::new("direct").channel("feed", "memory:").channel("orders", &source).start().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/")).await?;
    page.until("channel('orders')?.querySelector('.state').dataset.state === 'degraded'").await?;
    page.until(&format!("text(channel('orders'), '.why').includes('{dead}')")).await?;
    page.until("channel('feed').querySelector('.state').dataset.state === 'live' && text(channel('feed'), '.why') === ''")
        .await?;
    page.go("#/orders").await?;
    page.until(&format!(
        "notices().some(notice => notice.startsWith('The broker of orders is not reached.') && notice.includes('{dead}'))"
    ))
    .await?;
    page.go("#/feed").await?;
    page.until("live() && notices().length === 0").await
}

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn a_drain_passes_and_a_channel_that_is_gone_is_told() -> Result<()> {
    let _alone = heavy().await;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("gateway.toml");
    let port = free_port()?;
    let write =
        |channels: &str| std::fs::write(&file, format!("[server]\nlisten = '127.0.0.1:{port}'\n{channels}"));
    write("[channels.a]\nsource = 'memory:'\n[channels.b]\nsource = 'memory:'\n")?;
    let mut gateway = Gateway::by_file(&file.display().to_string(), port).start().await?;
    gateway.until_live().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/#/b")).await?;
    page.until("live() && connected()").await?;
    gateway.terminate()?;
    gateway.wait().await?;
    page.until(
        "$('stream').dataset.state === 'waiting' && $('empty').textContent.includes('comes back by itself')",
    )
    .await?;
    gateway.restart().await?;
    page.until("live() && connected() && notices().length === 0").await?;
    publish(&gateway, "b", &["again"]).await?;
    page.until("shown()[0]?.data === 'again'").await?;

    write("[channels.a]\nsource = 'memory:'\n")?;
    gateway.signal(rustix::process::Signal::HUP)?;
    page.until(
        "notices().some(notice => notice.startsWith('The gateway has no channel of this name any more.'))",
    )
    .await?;
    page.until("$('stream').dataset.state === 'refused'").await
}

/// Three tabs with two streams each are all that a browser has.
#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn connections_that_run_out_are_told_before() -> Result<()> {
    let _alone = heavy().await;
    let gateway = Gateway::new("hyper").channel("feed", "memory:").start().await?;
    gateway.until_live().await?;
    let url = gateway.url("/#/feed");
    let page = Page::open(Browser::chromium(), &url).await?;
    page.until("live() && connected() && notices().length === 0").await?;
    // Other tabs, by what they tell: a browser without a window shows all of them, or none.
    let others = "window.others = new BroadcastChannel('tidewater-console');
                  others.postMessage({ from: 'one', streams: 2, asks: true });
                  others.postMessage({ from: 'two', streams: 1, asks: true });";
    page.run(others).await?;
    page.until("notices().some(notice => notice.includes('hold 5 of the 6 connections'))").await?;
    page.run("others.postMessage({ from: 'two', streams: 0, asks: false })").await?;
    page.until("notices().length === 0").await
}
