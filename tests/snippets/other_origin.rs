//! A page that publishes, and whose gateway is another origin.

use anyhow::Result;
use tidewater_testkit::secret;
use tidewater_tests::{browser::Browser, nats};

use crate::{doc::snippet, reading::token, stage::Stage};

pub(crate) async fn publishes(browser: &Browser) -> Result<()> {
    let (orders, key) = (nats::Stream::create("orders").await?, secret::secret("tokens"));
    let source = orders.url();
    let stage = Stage::configured("orders", orders, |site| {
        format!(
            "[cors]\norigins = '{}'\n\
             [channels.orders]\nsource = '{source}'\npublish = true\n\
             [authorization.jwt]\nsecret = '{key}'\ncookie = 'session'\n\
             [[authorization.rules]]\nchannels = 'orders'\npublish = true\n",
            site.origin()
        )
    })
    .await?;
    let gateway = stage.site.gateway();
    stage.site.put("/publish.js", snippet("publish.js")?.replace("https://events.shop.example", &gateway));

    // Nobody yet, and told so: the answer to another origin can be read.
    let page = stage.open_script(browser, "publish.js").await?;
    page.click("pay").await?;
    page.until("said.at(-1)?.startsWith('401: ')").await?;

    // A cookie knows no ports, so the application's is the gateway's, too.
    let token = token(&key, "1h").await?;
    page.run(&format!("document.cookie = 'session={token}; path=/; samesite=lax'")).await?;
    let page = stage.open_script(browser, "publish.js").await?;
    stage.clients(1).await?;
    page.click("pay").await?;
    page.until("seen().join() === '1'").await?;
    page.click("stop").await?;
    stage.clients(0).await?;
    secret::assert_hidden(&stage.gateway.output());
    Ok(())
}
