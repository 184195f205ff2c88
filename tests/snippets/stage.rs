//! What a snippet runs in: a page, the application that it comes from, a gateway, and orders that come to it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater_tests::{
    Gateway,
    browser::{Browser, Tab},
    eventually, free_port, nats,
};

use crate::{doc::snippet, site::Site};

/// How long a page may take: it waits for seconds before it reconnects.
const PAGE: Duration = Duration::from_secs(45);

/// An application with a gateway behind it, of which one channel is read.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) site: Site,
    /// What the channel reads, beside others perhaps.
    orders: nats::Stream,
    /// What is published for an order.
    pub(crate) order: fn(u32) -> String,
    channel: &'static str,
    produced: u32,
    _folder: TempDir,
}

impl Stage {
    /// The channel `orders`, for everybody.
    pub(crate) async fn set() -> Result<Self> {
        let orders = nats::Stream::create("orders").await?;
        let config = format!("[channels.orders]\nsource = '{}'\nretry = '500ms'\n", orders.url());
        Self::configured("orders", orders, |_| config).await
    }

    /// A gateway by a file with this in it, which may depend on where the application is.
    pub(crate) async fn configured(
        channel: &'static str,
        orders: nats::Stream,
        config: impl FnOnce(&Site) -> String,
    ) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let site = Site::start(port).await?;
        let server = format!("listen = '127.0.0.1:{port}'\nadmin_listen = '127.0.0.1:{admin}'");
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("tidewater.toml");
        std::fs::write(&file, format!("{}\n[server]\n{server}\n", config(&site)))?;
        let gateway = Gateway::by_file(&file.display().to_string(), admin).start().await?;
        gateway.until_live().await?;
        Ok(Self { gateway, site, orders, order, channel, produced: 0, _folder: folder })
    }

    /// Opens a page that runs this snippet, with all that snippets leave to a page.
    pub(crate) async fn open<'a>(&self, browser: &'a Browser, name: &str) -> Result<Page<'a>> {
        self.site.put(&format!("/{name}"), snippet(name)?);
        self.open_script(browser, name).await
    }

    /// Opens a page that runs a script of the application's.
    pub(crate) async fn open_script<'a>(&self, browser: &'a Browser, name: &str) -> Result<Page<'a>> {
        self.open_html(browser, &format!("<script type=\"module\" src=\"/{name}\"></script>")).await
    }

    /// Opens a page with this in it.
    pub(crate) async fn open_html<'a>(&self, browser: &'a Browser, html: &str) -> Result<Page<'a>> {
        self.site.put("/", format!("{PAGE_HEAD}{html}"));
        let page = Page(browser.tab());
        page.0.open(&format!("{}/", self.site.origin())).await?;
        Ok(page)
    }

    /// I1 over a gateway that is killed: all orders of this stage are seen, once each and in order.
    pub(crate) async fn exact(&mut self, page: &Page<'_>) -> Result<()> {
        let done = self.over_a_kill(page).await;
        let told = page.told().await?;
        done.with_context(|| format!("{told}\nthe gateway wrote:\n{}", self.gateway.output()))?;
        self.all_seen(page).await
    }

    /// I1: so far.
    pub(crate) async fn all_seen(&self, page: &Page<'_>) -> Result<()> {
        let told = page.told().await?;
        let all: Vec<_> = (1..=self.produced).collect();
        ensure!(told["seen"] == json!(all), "not 1 to {}: {told}", self.produced);
        ensure!(told["gaps"] == json!([]) && told["failures"] == json!([]), "{told}");
        Ok(())
    }

    async fn over_a_kill(&mut self, page: &Page<'_>) -> Result<()> {
        self.clients(1).await?;
        self.produce(60).await?;
        page.until_seen(self.produced - 30).await?;
        // Killed while it sends.
        let (orders, order, from) = (self.orders.clone(), self.order, self.produced);
        self.produced += 120;
        let killed = async {
            page.until_seen(from + 20).await?;
            self.gateway.kill().await
        };
        tokio::try_join!(produce(&orders, order, from, 120), killed)?;
        self.produce(60).await?;
        self.until_turned_away().await?;
        self.gateway.restart().await?;
        self.produce(60).await?;
        page.until_seen(self.produced).await?;
        // What would come twice would come before this.
        self.produce(1).await?;
        page.until(&format!("seen().at(-1) === {}", self.produced)).await
    }

    /// Waits until the page has found the gateway away.
    pub(crate) async fn until_turned_away(&self) -> Result<()> {
        let before = self.site.turned_away();
        eventually("a page that comes back", || async {
            if self.site.turned_away() > before { Ok(()) } else { bail!("nobody came") }
        })
        .await
    }

    /// So many more orders, with numbers from 1 on; every second one is paid.
    pub(crate) async fn produce(&mut self, count: u32) -> Result<()> {
        let from = self.produced;
        self.produced += count;
        produce(&self.orders, self.order, from, count).await
    }

    /// How many it has had.
    pub(crate) fn produced(&self) -> u32 {
        self.produced
    }

    /// Waits until the channel has so many clients.
    pub(crate) async fn clients(&self, count: u64) -> Result<()> {
        let channel = self.channel;
        eventually("the channel's clients", || async {
            let (_, told) = self.gateway.ready().await?;
            let clients = &told["channels"][channel]["clients"];
            if *clients == count { Ok(()) } else { bail!("{channel} has {clients}, not {count}") }
        })
        .await
    }
}

/// An order, as JSON.
pub(crate) fn order(number: u32) -> String {
    json!({ "number": number }).to_string()
}

/// So many messages, with numbers behind this one.
pub(crate) async fn produce(
    to: &nats::Stream,
    message: fn(u32) -> String,
    from: u32,
    count: u32,
) -> Result<()> {
    let mut producer = to.producer().await?;
    let paid = [("tidewater-event".to_owned(), "order.paid".to_owned())];
    for number in from + 1..=from + count {
        let headers = if number % 2 == 0 { paid.as_slice() } else { &[] };
        producer.store(&to.subject(), headers, &[message(number)]).await?;
    }
    Ok(())
}

/// A page with a snippet in it.
pub(crate) struct Page<'a>(Tab<'a>);

impl Page<'_> {
    pub(crate) async fn until(&self, condition: &str) -> Result<()> {
        self.0.wait_until(condition, PAGE).await
    }

    pub(crate) async fn until_seen(&self, count: u32) -> Result<()> {
        self.until(&format!("seen().length >= {count}")).await
    }

    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        self.0.run(script).await
    }

    /// Clicks on a button.
    pub(crate) async fn click(&self, button: &str) -> Result<()> {
        self.run(&format!("document.querySelector('#{button}').click()")).await.map(drop)
    }

    /// What it has seen and said, and what went wrong.
    async fn told(&self) -> Result<Value> {
        self.run("return { seen: seen(), gaps, said, failures }").await
    }
}

/// What snippets leave to the page. What `show` has shown outlives a reload; others make lists of their own.
const PAGE_HEAD: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Orders</title>
<button id="stop">stop</button>
<button id="pay">pay</button>
<div id="app"></div>
<script>
  // Properties of the window, for Firefox: only those does a script of the test's see.
  Object.assign(window, {
    shown: JSON.parse(sessionStorage.getItem("shown") ?? "[]"),
    prices: [],
    gaps: [],
    said: [],
    failures: [],
    show(order) {
      shown.push(order.number);
      sessionStorage.setItem("shown", JSON.stringify(shown));
    },
    showPrice: price => prices.push(price.number),
    reload: gap => gaps.push(gap),
    say: text => said.push(text),
    listed: () => [...document.querySelectorAll("li")].map(item => Number(item.textContent)),
    seen: () => [...shown, ...listed()],
  });
  addEventListener("error", event => failures.push(String(event.message)));
  addEventListener("unhandledrejection", event => failures.push(String(event.reason)));
</script>
"#;
