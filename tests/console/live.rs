//! One channel: events as they come, and publishing.

use anyhow::Result;
use tidewater_tests::{
    Gateway,
    browser::{Browser, BrowserBuilder},
    heavy, http,
};

use crate::page::{Page, publish};

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn chromium_shows_and_publishes() -> Result<()> {
    shows_and_publishes(Browser::chromium()).await
}

#[tokio::test]
#[ignore = "needs Firefox: run cargo xtask test"]
async fn firefox_shows_and_publishes() -> Result<()> {
    shows_and_publishes(Browser::firefox()).await
}

async fn shows_and_publishes(browser: BrowserBuilder) -> Result<()> {
    let _alone = heavy().await;
    let mut gateway =
        Gateway::new("hyper").channel("feed", "memory:").channel("other", "memory:").start().await?;
    gateway.until_live().await?;
    let page = Page::open(browser, &gateway.url("/")).await?;
    page.until("connected() && $('rows').childElementCount === 2").await?;
    page.go("#/feed").await?;
    page.until("live() && $('title').textContent === 'feed' && !$('publish').hidden").await?;

    page.publish("greeting", "hello").await?;
    page.until(
        "shown()[0]?.type === 'greeting' && shown()[0]?.data === 'hello' && shown()[0]?.place === '0'",
    )
    .await?;
    page.until("$('said').textContent.includes('to feed, partition 0, offset 0.')").await?;
    // What comes from outside is text, never markup.
    page.publish("", "<img src=x onerror='window.forged = true'>").await?;
    page.until("shown()[0]?.type === 'message' && shown()[0]?.data.startsWith('<img')").await?;
    page.click("#events li button").await?;
    page.until("$('detail-body').textContent.includes('<img')").await?;
    page.until("document.querySelector('main img') === null && !window.forged").await?;
    // A name that is the hub's own is refused, and the page says why.
    page.publish("tidewater.gap", "forged").await?;
    page.until("$('said').textContent.includes('reserved') && shown().length === 2").await?;

    page.go("#/other").await?;
    page.until("$('title').textContent === 'other' && live() && shown().length === 0").await?;
    page.until("$('said').textContent === '' && $('detail').hidden").await?;
    page.go("#/feed").await?;
    page.until("$('title').textContent === 'feed' && live()").await?;

    gateway.kill().await?;
    page.until("$('stream').dataset.state === 'waiting' && $('feed').dataset.state === 'waiting'").await?;
    page.until("notices().some(notice => notice.startsWith('The gateway does not answer since '))").await?;
    gateway.restart().await?;
    page.until("live() && connected() && notices().length === 0").await?;
    page.until("shown().filter(row => row.type === 'gap').length === 1").await?;
    page.until("shown().some(row => row.data.includes('was made anew'))").await?;
    page.publish("", "here again").await?;
    page.until("shown()[0]?.data === 'here again'").await
}

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn events_are_filtered_selected_paused_and_looked_at() -> Result<()> {
    let _alone = heavy().await;
    let gateway = Gateway::new("direct").channel("feed", "memory:").start().await?;
    gateway.until_live().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/#/feed")).await?;
    page.until("live()").await?;
    // A stream begins with its place: a cursor, which is no event.
    page.until("rows().length === 1 && text(rows()[0], '.type') === 'cursor' && $('count').textContent === '0 events'")
        .await?;
    publish(&gateway, "feed?key=ada&event=paid", &["{\"order\":7,\"of\":\"ada\"}"]).await?;
    publish(&gateway, "feed?key=bob&event=paid", &["{\"order\":8,\"of\":\"bob\"}"]).await?;
    publish(&gateway, "feed?key=bob", &["plain"]).await?;
    page.until("shown().length === 3 && $('plot-words').textContent.includes('3 events')").await?;

    // By text, of data and names.
    page.fill("filter", "BOB").await?;
    page.until("shown().length === 1 && $('count').textContent.includes('1 of 3 rows')").await?;
    page.fill("filter", "paid").await?;
    page.until("shown().length === 2").await?;
    page.fill("filter", "").await?;
    page.until("shown().length === 3").await?;

    // What there is to know of one.
    page.run("rows()[1].querySelector('button').click()").await?;
    page.until("!$('detail').hidden && $('detail-body').textContent.includes('\"order\": 8')").await?;
    page.until("$('detail-body').querySelector('.cursor .own').textContent === '02all up to 1'").await?;
    page.until("$('detail-body').querySelector('caption').textContent.startsWith('memory:feed, epoch ')")
        .await?;
    page.until("text($('detail-body'), '.facts').includes('Namepaid')").await?;
    page.run("button('Read on from here').click()").await?;
    page.until("location.hash.includes('last_event_id=') && live()").await?;
    page.until("shown().length === 1 && shown()[0].data === 'plain'").await?;

    // By the endpoint: what is not selected does not come.
    page.run("$('selection').elements.key.value = 'ada'; $('selection').elements.start.value = 'earliest'; $('selection').requestSubmit()")
        .await?;
    page.until("location.hash === '#/feed?key=ada&since=earliest' && live() && shown().length === 1").await?;
    page.until(
        "shown()[0].type === 'paid' && $('asked-words').textContent === 'key ada, from the earliest on'",
    )
    .await?;
    page.go("#/feed").await?;
    page.until("live() && shown().length === 0").await?;

    // It goes on receiving while it is paused, and says how many wait.
    page.click("#pause").await?;
    publish(&gateway, "feed", &["while", "it is", "paused"]).await?;
    page.until("$('count').textContent.includes('3 wait') && shown().length === 0").await?;
    page.click("#pause").await?;
    page.until("shown().length === 3 && shown()[0].data === 'paused'").await?;
    page.click("#clear").await?;
    page.until("shown().length === 0 && $('count').textContent === '0 events'").await
}

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn a_fast_channel_does_not_fill_the_page() -> Result<()> {
    let _alone = heavy().await;
    let gateway =
        Gateway::new("direct").channel("feed", "memory:").args(["--publish-rate".into(), "off".into()]);
    let gateway = gateway.start().await?;
    gateway.until_live().await?;
    publish(&gateway, "feed", &["x"; 2600]).await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/#/feed?since=earliest")).await?;
    page.until("$('count').textContent.startsWith('2,600 events')").await?;
    page.until("rows().length === 500 && shown()[0].place === '2599'").await?;
    page.click("#pause").await?;
    page.run("$('clear').click()").await?;
    publish(&gateway, "feed", &["y"; 2100]).await?;
    page.until("/2,000 wait · 1\\d\\d came/.test($('count').textContent)").await
}

/// An envelope's fields are told apart from what it carries.
#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn an_envelope_is_opened_and_what_may_not_be_published_is_not_offered() -> Result<()> {
    let _alone = heavy().await;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("gateway.toml");
    let port = tidewater_tests::free_port()?;
    let text = "[channels.whole]\nsource = 'memory:'\npayload = 'envelope'\n[channels.closed]\nsource = 'memory:'\npublish = false\n";
    std::fs::write(&file, format!("[server]\nlisten = '127.0.0.1:{port}'\n{text}"))?;
    let gateway = Gateway::by_file(&file.display().to_string(), port).start().await?;
    gateway.until_live().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/#/closed")).await?;
    page.until("live() && connected() && $('upstream').dataset.state === 'live' && $('publish').hidden")
        .await?;
    page.go("#/whole").await?;
    page.until("live() && !$('publish').hidden").await?;
    page.fill("payload", "{\"no\": json}").await?;
    page.until("$('json').textContent.startsWith('no JSON: ')").await?;
    page.fill("payload", "{\"is\": \"json\"}").await?;
    page.until("$('json').textContent === 'JSON'").await?;
    let answer = http::post(gateway.address(), "/channels/whole?key=k&event=named", b"{\"inner\":1}").await?;
    anyhow::ensure!(answer.status == 202, "{answer:?}");
    page.until("shown().length === 1").await?;
    page.run("rows()[0].querySelector('button').click()").await?;
    page.until("text($('detail-body'), '.facts').includes('keyk') && text($('detail-body'), '.headers').includes('tidewater-eventnamed')")
        .await?;
    page.until("text($('detail-body'), '.payload').includes('\"inner\": 1')").await
}
