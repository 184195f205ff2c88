//! Without a mouse, and on a phone.

use anyhow::{Result, ensure};
use tidewater_tests::{Gateway, browser::Browser, heavy};

use crate::page::{Page, publish};

/// WebDriver's own characters for keys that have none.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const ESCAPE: char = '\u{e00c}';
const DOWN: char = '\u{e015}';

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn all_of_it_works_by_the_keyboard_alone() -> Result<()> {
    let _alone = heavy().await;
    let gateway =
        Gateway::new("direct").channel("feed", "memory:").channel("other", "memory:").start().await?;
    gateway.until_live().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/")).await?;
    page.until("connected() && $('rows').childElementCount === 2").await?;
    let tab = page.tab();

    // The first stop leads past the bar, and each stop can be seen.
    tab.press([TAB]).await?;
    page.until("document.activeElement === $('skip')").await?;
    tab.press([ENTER, TAB]).await?;
    page.until("document.activeElement === channel('feed').querySelector('a')").await?;
    page.until("getComputedStyle(document.activeElement).outlineStyle === 'solid'").await?;
    tab.press([ENTER]).await?;
    page.until("live() && document.activeElement === $('title')").await?;

    tab.press(['n']).await?;
    page.until("document.activeElement === $('payload')").await?;
    // In a field a key is a character.
    tab.press("pop".chars().chain([TAB, TAB, TAB, ENTER])).await?;
    page.until("shown()[0]?.data === 'pop' && $('pause').getAttribute('aria-pressed') === 'false'").await?;
    publish(&gateway, "feed", &["second", "third"]).await?;
    page.until("shown().length === 3").await?;

    tab.press(['j', DOWN, 'k', DOWN]).await?;
    page.until("document.activeElement === rows()[1].firstChild").await?;
    // One stop for the whole list.
    page.until("$('events').querySelectorAll('[tabindex=\"0\"]').length === 1").await?;
    tab.press([ENTER]).await?;
    page.until(
        "document.activeElement === $('detail-title') && $('detail-body').textContent.includes('second')",
    )
    .await?;
    tab.press([ESCAPE]).await?;
    page.until("$('detail').hidden && document.activeElement === rows()[1].firstChild").await?;

    tab.press(['/']).await?;
    tab.press("third".chars()).await?;
    page.until("shown().length === 1").await?;
    tab.press([ESCAPE]).await?;
    tab.press(['p']).await?;
    page.until("$('pause').getAttribute('aria-pressed') === 'true'").await?;
    tab.press([']']).await?;
    page.until("$('title').textContent === 'other' && live()").await?;
    tab.press(['?']).await?;
    page.until("$('help').open && $('shortcuts').textContent.includes('pauses, and resumes')").await?;
    // They can be turned off: programs that dictate type them.
    page.click("#keys-on").await?;
    tab.press([ESCAPE]).await?;
    page.until("!$('help').open").await?;
    tab.press(['p']).await?;
    ensure!(page.run("return $('pause').getAttribute('aria-pressed')").await? == "false");
    Ok(())
}

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn nothing_is_wider_than_a_phone() -> Result<()> {
    let _alone = heavy().await;
    let gateway =
        Gateway::new("direct").channel("feed", "memory:").channel("other", "memory:").start().await?;
    gateway.until_live().await?;
    let long = "a".repeat(2000);
    publish(&gateway, &format!("feed?event={}", &long[..200]), &[&long, "{\"a\":[1,2]}"]).await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/")).await?;
    page.tab().resize(360, 740).await?;
    let fits = "document.documentElement.scrollWidth <= 360 && innerWidth === 360";
    page.until(&format!("connected() && figure(channel('feed'), 'log') === 2 && {fits}")).await?;
    page.go("#/feed?since=earliest").await?;
    page.until(&format!("live() && shown().length === 2 && {fits}")).await?;
    page.run("rows()[1].querySelector('button').click(); $('asked').open = true").await?;
    page.until(&format!("!$('detail').hidden && {fits}")).await?;
    // What is touched is large enough for a finger.
    page.until("[...document.querySelectorAll('#pause, #clear, #send, #events button')].every(button => button.getBoundingClientRect().height >= 24)")
        .await?;
    page.run("$('help').showModal()").await?;
    page.until(fits).await
}
