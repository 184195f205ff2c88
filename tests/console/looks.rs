//! How it looks: no violation of WCAG 2.2 A and AA that axe-core finds, in any view, light and dark; and the screenshots of
//! the documentation, which are written to `target/console` (docs/console.md says how they get into docs/).

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Gateway, SseClient, browser::Browser, free_port, heavy, http, npm};

use crate::page::Page;

/// What git and a reader have to load.
const MOST_BYTES: usize = 200_000;

#[tokio::test]
#[ignore = "needs npm and Chromium: run cargo xtask test"]
async fn each_view_is_accessible_and_shown_in_the_documentation() -> Result<()> {
    let _alone = heavy().await;
    let dead = format!("sse+http://127.0.0.1:{}/channels/returns", free_port()?);
    let gateway = Gateway::new("direct")
        .channel("orders", "memory:")
        .channel("prices", "memory:")
        .channel("returns", &dead)
        .args(["--publish-rate".into(), "off".into()])
        .start()
        .await?;
    let traffic = tokio::spawn(traffic(gateway.address()));
    let mut readers = Vec::new();
    for channel in ["orders", "prices", "prices"] {
        let mut client = SseClient::connect(gateway.address(), &format!("/channels/{channel}"), None).await?;
        readers.push(tokio::spawn(async move { while let Ok(Some(_)) = client.next().await {} }));
    }
    let page = Page::open(Browser::chromium(), &gateway.url("/")).await?;
    let axe = fs::read_to_string(npm::package("axe-core")?.join("axe.min.js"))?;
    // In one theme each, whatever the system has.
    for theme in ["light", "dark"] {
        page.tab().resize(1280, 900).await?;
        page.go("#/").await?;
        page.click("#theme").await?;
        page.until(&format!("document.documentElement.dataset.theme === '{theme}'")).await?;
        page.until(
            "connected() && figure(channel('prices'), 'log') > 0 && text(channel('returns'), '.why') !== ''",
        )
        .await?;
        page.until("figure(channel('prices'), 'out') > 0 && points(channel('prices'), 'out') > 20").await?;
        look(&page, &axe, &format!("console-{theme}")).await?;
        page.go("#/orders?since=earliest").await?;
        page.until("live() && shown().length > 20").await?;
        page.until("document.querySelectorAll('#plot .some').length > 15").await?;
        page.run("rows()[4].querySelector('button').click()").await?;
        page.until("!$('detail').hidden").await?;
        look(&page, &axe, &format!("console-channel-{theme}")).await?;
        page.run("$('asked').open = true; document.querySelector('[data-form=fetch]').click()").await?;
        page.publish("tidewater.gap", "{ no json").await?;
        page.until("$('said').textContent.includes('reserved')").await?;
        check(&page, &axe, "what is typed").await?;
        page.go("#/returns").await?;
        page.until("notices().length === 1").await?;
        page.run("$('identity').hidden = false; rows()[0]?.querySelector('button').click()").await?;
        check(&page, &axe, "a fault").await?;
        page.run("$('identity').hidden = true; $('help').showModal()").await?;
        check(&page, &axe, "the keyboard's help").await?;
        page.run("$('help').close()").await?;
        page.tab().resize(360, 740).await?;
        page.go("#/orders?since=earliest").await?;
        page.until("live() && shown().length > 20").await?;
        page.run("$('asked').open = false; scrollTo(0, 0)").await?;
        look(&page, &axe, &format!("console-phone-{theme}")).await?;
        page.go("#/").await?;
        page.until("!$('overview').hidden").await?;
        check(&page, &axe, "all channels on a phone").await?;
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    traffic.abort();
    Ok(())
}

/// Orders, some of them paid, and prices of a few things, as long as somebody looks.
async fn traffic(gateway: std::net::SocketAddr) -> Result<()> {
    for number in 0_u64.. {
        let order = serde_json::json!({ "order": 4200 + number, "customer": "ada", "total": 19.5 + number as f64 % 7.0 });
        let event = if number.is_multiple_of(3) { "order.paid" } else { "order.created" };
        http::post(gateway, &format!("/channels/orders?event={event}&key=ada"), order.to_string().as_bytes())
            .await?;
        for thing in ["tea", "salt", "silk"] {
            let price = serde_json::json!({ "price": 10 + number % 13 }).to_string();
            http::post(gateway, &format!("/channels/prices?key={thing}"), price.as_bytes()).await?;
        }
        tokio::time::sleep(std::time::Duration::from_millis(40 + 15 * (number % 9))).await;
    }
    Ok(())
}

/// Checks a view, and takes its picture.
async fn look(page: &Page, axe: &str, name: &str) -> Result<()> {
    check(page, axe, name).await?;
    let picture = page.tab().screenshot().await?;
    ensure!(picture.len() < MOST_BYTES, "{name} has {} bytes", picture.len());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().context("no target")?.join("console");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name).with_extension("png"), picture)?;
    Ok(())
}

async fn check(page: &Page, axe: &str, view: &str) -> Result<()> {
    // What moves is checked where it has come to rest.
    let script = format!(
        "{axe};
        document.getAnimations().forEach(animation => animation.finish?.call && animation.effect.getComputedTiming().endTime < Infinity && animation.finish());
        return axe.run({{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }})
            .then(({{ violations }}) => violations.map(({{ id, nodes }}) => [id, nodes.map(node => [node.html, node.failureSummary])]));"
    );
    let found = page.run(&script).await.with_context(|| view.to_owned())?;
    ensure!(found.as_array().is_some_and(Vec::is_empty), "{view}: {found:#}");
    Ok(())
}
