//! Channels in htmx, React and Vue, with the helper. The proxy before the gateway answers 502 while that is away, which
//! ends every `EventSource` that is not the helper's.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidewater_tests::{browser::Browser, npm};

use crate::{
    bundle::{bundle, compile_vue},
    doc::snippet,
    stage::Stage,
};

/// The helper itself.
pub(crate) async fn helper(browser: &Browser) -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.site.answer_502();
    let page = stage.open(browser, "helper.js").await?;
    stage.exact(&page).await?;
    let said = page.run("return said.filter((word, at) => word !== said[at - 1]).join()").await?;
    ensure!(said == "live,reconnecting,live", "{said}");
    page.click("stop").await?;
    stage.clients(0).await
}

/// The one that tabs share; there is one of them.
pub(crate) async fn shared(browser: &Browser) -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.site.answer_502();
    let page = stage.open(browser, "shared.js").await?;
    stage.exact(&page).await?;
    page.click("stop").await?;
    stage.clients(0).await
}

/// What is lost without the helper, and that nothing is with it.
pub(crate) async fn htmx(browser: &Browser) -> Result<()> {
    let with_helper = snippet("htmx.html")?;
    let (before, rest) = with_helper.split_once("<script type=\"module\">").context("no module")?;
    let (_module, after) = rest.split_once("</script>").context("no end of the module")?;
    let without = format!("{before}{after}");

    let mut stage = htmx_stage().await?;
    let page = stage.open_html(browser, &without).await?;
    stage.clients(1).await?;
    stage.produce(20).await?;
    page.until_seen(20).await?;
    stage.gateway.kill().await?;
    stage.until_turned_away().await?;
    stage.produce(20).await?;
    stage.gateway.restart().await?;
    stage.clients(1).await?;
    stage.produce(20).await?;
    page.until("seen().at(-1) === 60").await?;
    let seen = page.run("return seen()").await?;
    ensure!(seen == json!((1..=20).chain(41..=60).collect::<Vec<_>>()), "not all but 21 to 40: {seen}");

    let mut stage = htmx_stage().await?;
    let page = stage.open_html(browser, with_helper).await?;
    stage.exact(&page).await?;
    page.run("htmx.swap(htmx.find('[sse-connect]'), '', { swapStyle: 'outerHTML' })").await?;
    stage.clients(0).await
}

async fn htmx_stage() -> Result<Stage> {
    let mut stage = Stage::set().await?;
    stage.order = |number| format!("<li>{number}</li>");
    stage.site.answer_502();
    for (path, package, file) in
        [("/htmx.js", "htmx.org", "dist/htmx.js"), ("/htmx-ext-sse.js", "htmx-ext-sse", "sse.js")]
    {
        stage.site.put(path, std::fs::read_to_string(npm::package(package)?.join(file))?);
    }
    Ok(stage)
}

pub(crate) async fn react(browser: &Browser) -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.site.answer_502();
    let files = [("orders.jsx", snippet("orders.jsx")?), ("use-channel.js", snippet("use-channel.js")?)];
    stage.site.put("/orders.js", bundle(&files).await?);
    let page = stage.open_script(browser, "orders.js").await?;
    stage.clients(1).await?;
    stage.produce(1).await?;
    page.until_seen(1).await?;
    // Two components, each of which StrictMode has mounted twice.
    ensure!(stage.site.streams() == 1, "{} streams were opened", stage.site.streams());
    stage.exact(&page).await?;

    // Away for a moment, as between two views: the stream stays.
    let streams = stage.site.streams();
    page.run(
        "const toggle = document.querySelector('#toggle');
         toggle.click();
         return new Promise(done => setTimeout(() => done(toggle.click()), 50));",
    )
    .await?;
    stage.produce(1).await?;
    page.until_seen(stage.produced()).await?;
    ensure!(stage.site.streams() == streams, "another stream was opened");

    // Away for longer: it ends, and another goes on.
    page.click("toggle").await?;
    stage.clients(0).await?;
    stage.produce(20).await?;
    page.click("toggle").await?;
    page.until_seen(stage.produced()).await?;
    stage.all_seen(&page).await?;
    page.until("document.querySelector('#count').textContent === String(seen().length)").await
}

pub(crate) async fn vue(browser: &Browser) -> Result<()> {
    const MAIN: &str = r##"
        import { createApp, createSSRApp } from "vue";
        import { renderToString } from "vue/server-renderer";
        import Orders from "./Orders.js";
        // As a server does, which must not be left with a stream.
        await renderToString(createSSRApp(Orders));
        const app = createApp(Orders);
        app.mount("#app");
        document.querySelector("#stop").onclick = () => app.unmount();
    "##;
    let mut stage = Stage::set().await?;
    stage.site.answer_502();
    let component = compile_vue(snippet("Orders.vue")?).await?;
    let files = [("main.js", MAIN), ("Orders.js", &component), ("useChannel.js", snippet("useChannel.js")?)];
    stage.site.put("/main.js", bundle(&files).await?);
    let page = stage.open_script(browser, "main.js").await?;
    stage.exact(&page).await?;
    page.click("stop").await?;
    stage.clients(0).await
}
