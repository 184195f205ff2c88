//! All channels.

use anyhow::{Result, ensure};
use tidewater_tests::{Gateway, SseClient, browser::Browser, heavy};

use crate::page::{Page, publish};

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn rates_and_clients_move_and_channels_come_and_go() -> Result<()> {
    let _alone = heavy().await;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("gateway.toml");
    let port = tidewater_tests::free_port()?;
    let write = |channels: &[&str]| {
        let channels = channels.iter().map(|name| format!("[channels.{name}]\nsource = 'memory:'\n"));
        let head = format!("[server]\nlisten = '127.0.0.1:{port}'\n");
        std::fs::write(&file, head + &channels.collect::<String>())
    };
    write(&["quiet", "busy"])?;
    let gateway = Gateway::by_file(&file.display().to_string(), port).start().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/")).await?;
    page.until("connected() && $('rows').childElementCount === 2").await?;
    // The first minute: how to publish the first event.
    page.until("!$('first').hidden && $('first-publish').textContent.startsWith('curl -d ')").await?;

    let mut client = SseClient::connect(gateway.address(), "/channels/busy", None).await?;
    let _cursor = client.next().await?;
    let payload = "x".repeat(100);
    for _ in 0..200 {
        publish(&gateway, "busy", &[payload.as_str(); 10]).await?;
        if page.run("return figure(channel('busy'), 'in') > 0 && figure(channel('busy'), 'out') > 0").await?
            == true
        {
            break;
        }
    }
    page.until("points(channel('busy'), 'in') > 1").await?;
    page.until("figure(channel('busy'), 'clients') === 1 && figure(channel('quiet'), 'clients') === 0")
        .await?;
    page.until("figure(channel('busy'), 'log') >= 10 && $('first').hidden").await?;
    page.until("text($('tiles'), 'strong') !== '–' && channel('busy').textContent.includes('memory:busy')")
        .await?;
    ensure!(page.run("return figure(channel('quiet'), 'in')").await? == 0);
    // It comes to rest.
    page.until("figure(channel('busy'), 'in') === 0").await?;

    write(&["busy", "new"])?;
    gateway.signal(rustix::process::Signal::HUP)?;
    page.until("channel('new') && !channel('quiet') && $('rows').childElementCount === 2").await?;
    page.until("notices().length === 0").await?;
    page.click("#rows a").await?;
    page.until("$('title').textContent === 'busy' && live()").await
}
