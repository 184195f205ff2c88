//! A real gateway that is killed and comes back, under a page of another origin: Firefox gives up at the first refusal.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidewater_tests::{
    Broker, Feed, Gateway, PATIENCE,
    browser::{Browser, BrowserBuilder},
    heavy,
};

use crate::{KEEP, QUICK, server::Server};

#[tokio::test]
#[ignore = "needs NATS and Chromium: run cargo xtask test"]
async fn i1_chromium_goes_on_over_a_kill() -> Result<()> {
    goes_on_over_a_kill(Browser::chromium()).await
}

#[tokio::test]
#[ignore = "needs NATS and Firefox: run cargo xtask test"]
async fn i1_firefox_goes_on_over_a_kill() -> Result<()> {
    goes_on_over_a_kill(Browser::firefox()).await
}

async fn goes_on_over_a_kill(browser: BrowserBuilder) -> Result<()> {
    let _alone = heavy().await;
    let browser = browser.start().await?;
    let pages = Server::start().await?;
    let feed = Feed::create(Broker::JetStream, "helper").await?;
    let gateway = Gateway::new("direct").channel("feed", &feed.url());
    let mut gateway = gateway.args(["--cors-origin".to_owned(), pages.origin().to_owned()]).start().await?;
    gateway.until_live().await?;
    let (helper, url) = (gateway.url("/tidewater.js"), gateway.url("/channels/feed"));
    // The gateway's own copy, from another origin.
    let keep = KEEP.replace("/tidewater.js", &helper);
    pages.script(&format!(
        "{keep}
         window.cursors = [];
         window.gaps = [];
         const told = {{ onCursor: id => cursors.push(id), onGap: gap => gaps.push(gap) }};
         keep(source({}, {{ ...{QUICK}, ...told }}));",
        json!(url)
    ));
    let done = async {
        browser.open(&format!("{}/", pages.origin())).await?;
        browser.wait_until("cursors.length > 0", PATIENCE).await?;
        for round in 0..3 {
            let number = |n: u32| (round * 100 + n).to_string();
            feed.produce((1..=50).map(number)).await?;
            browser.wait_until(&format!("kept.length > {}", round * 100 + 20), PATIENCE).await?;
            gateway.kill().await?;
            browser.wait_until("events.readyState === EventSource.CONNECTING", PATIENCE).await?;
            feed.produce((51..=100).map(number)).await?;
            gateway.restart().await?;
            browser.wait_until(&format!("kept.length >= {}", round * 100 + 100), PATIENCE).await?;
        }
        // What would come twice would come before this.
        feed.produce(["301"]).await?;
        browser.wait_until("kept.at(-1) === '301'", PATIENCE).await
    };
    let done = done.await;
    let told = browser.run("return [kept, gaps]").await?;
    done.with_context(|| format!("{told}\nthe gateway wrote:\n{}", gateway.output()))?;
    let all: Vec<String> = (1..=301).map(|number| number.to_string()).collect();
    ensure!(told == json!([all, []]), "not 1..301: {told}");
    Ok(())
}
