//! One stream of several topics.

use anyhow::{Result, ensure};
use serde_json::json;
use tidewater_tests::{browser::Browser, nats};

use crate::{
    doc::snippet,
    stage::{Stage, order, produce},
};

/// Each event is called what its topic is.
pub(crate) async fn by_name(browser: &Browser) -> Result<()> {
    exact(browser, snippet("shop.toml")?, snippet("topics.js")?).await
}

/// The data tells the topic.
pub(crate) async fn in_envelopes(browser: &Browser) -> Result<()> {
    exact(browser, snippet("envelope.toml")?, snippet("envelope.js")?).await
}

async fn exact(browser: &Browser, config: &str, script: &str) -> Result<()> {
    let orders = nats::Stream::create("orders").await?;
    let prices = nats::Stream::create("prices").await?;
    // Tests share their broker, so what is in it has names of its own.
    let config = config
        .replace("jetstream://localhost:4222/ORDERS", &orders.url())
        .replace("jetstream://localhost:4222/PRICES", &prices.url());
    let script = script
        .replace("shop.orders", &orders.subject())
        .replace("shop.prices", &prices.subject())
        .replace("shop.>", "*.events");
    let mut stage = Stage::configured("shop", orders, |_| config).await?;
    stage.site.put("/shop.js", script);
    let page = stage.open_script(browser, "shop.js").await?;
    stage.clients(1).await?;
    produce(&prices, order, 0, 20).await?;
    stage.exact(&page).await?;
    produce(&prices, order, 20, 20).await?;
    page.until("prices.length >= 40").await?;
    let told = page.run("return prices").await?;
    ensure!(told == json!((1..=40).collect::<Vec<_>>()), "not 1 to 40: {told}");
    page.click("stop").await?;
    stage.clients(0).await
}
