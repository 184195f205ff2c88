//! The browser's own `EventSource`.

use anyhow::{Result, ensure};
use tidewater_tests::browser::Browser;

use crate::stage::Stage;

pub(crate) async fn event_source(browser: &Browser) -> Result<()> {
    let mut stage = Stage::set().await?;
    let page = stage.open(browser, "eventsource.js").await?;
    stage.exact(&page).await?;
    let said = page.run("return said.filter((word, at) => word !== said[at - 1]).join()").await?;
    ensure!(said == "live,reconnecting,live", "{said}");
    page.click("stop").await?;
    stage.clients(0).await?;

    // A proxy that tells of a gateway that is away ends it for good.
    let page = stage.open(browser, "eventsource.js").await?;
    page.until("said.at(-1) === 'live'").await?;
    stage.site.answer_502();
    stage.gateway.kill().await?;
    page.until("said.at(-1) === 'ended'").await
}

pub(crate) async fn a_reload(browser: &Browser) -> Result<()> {
    let mut stage = Stage::set().await?;
    let page = stage.open(browser, "reloaded.js").await?;
    // It has an id before it has an event.
    page.until("sessionStorage.getItem('lastEventId') !== null").await?;
    for _ in 0..2 {
        browser.open(&format!("{}/elsewhere", stage.site.origin())).await?;
        stage.clients(0).await?;
        stage.produce(20).await?;
        let page = stage.open(browser, "reloaded.js").await?;
        page.until_seen(stage.produced()).await?;
    }
    stage.exact(&page).await
}
