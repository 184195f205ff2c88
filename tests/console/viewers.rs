//! Who sees what, where there is authorization.

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Gateway, browser::Browser, env, free_port, heavy};
use tokio::process::Command;

use crate::page::Page;

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn strangers_viewers_and_operators() -> Result<()> {
    let _alone = heavy().await;
    let secret = tidewater_testkit::secret::secret("console");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("gateway.toml");
    let port = free_port()?;
    let config = |listen: &str| {
        format!(
            "[server]\n{listen}\n[authorization.jwt]\nsecret = '${{JWT_SECRET}}'\naudience = 'tidewater'\n\
             [[authorization.rules]]\nchannels = 'orders'\nkeys = '{{sub}}'\n\
             [[authorization.rules]]\nchannels = ['*']\nrequire = {{ role = 'admin' }}\npublish = true\n\
             [channels.orders]\nsource = 'memory:'\npublish = true\n\
             [channels.secrets]\nsource = 'memory:'\npublish = true\n"
        )
    };
    std::fs::write(&file, config(&format!("listen = '127.0.0.1:{port}'")))?;
    let variables = [("JWT_SECRET".to_owned(), secret.clone())];
    let start = || Gateway::by_file(&file.display().to_string(), port).envs(variables.clone()).start();
    let mut gateway = start().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/")).await?;

    // A stranger learns nothing, and what to do.
    page.until("$('feed').dataset.state === 'refused' && $('rows').childElementCount === 0").await?;
    page.until("notices().some(notice => notice.startsWith('The gateway does not know who asks.'))").await?;
    page.until("$('none').textContent.startsWith('There is no channel that you may read.')").await?;
    ensure!(page.run("return /orders|secrets/.test(document.body.textContent)").await? == false);

    // Whoever has a token sees what it grants, by name and state.
    let ada = token(&secret, &["sub=ada"]).await?;
    page.click("#notices button").await?;
    page.until("document.activeElement === $('token')").await?;
    page.fill("token", &ada).await?;
    page.run("$('identity').requestSubmit()").await?;
    page.until("connected() && $('rows').childElementCount === 1 && notices().length === 0").await?;
    page.until("channel('orders').querySelector('.state').dataset.state === 'live'").await?;
    page.until("$('tiles').hidden && [...$('channels').querySelectorAll('.number')].every(cell => !cell.checkVisibility())")
        .await?;
    ensure!(page.run("return /secrets|memory:orders/.test(document.body.textContent)").await? == false);
    ensure!(
        page.run("return $('token').value === '' && Object.keys(localStorage).length === 0").await? == true
    );
    page.go("#/orders").await?;
    page.until("live() && $('publish').hidden && $('figures').hidden").await?;
    page.until("$('copied').textContent.includes('Authorization: Bearer $TOKEN')").await?;
    page.go("#/secrets").await?;
    page.until("notices().some(notice => notice.startsWith('This is not granted to who asks.'))").await?;

    let admin = token(&secret, &["sub=root", "role=admin"]).await?;
    page.fill("token", &admin).await?;
    page.run("$('identity').requestSubmit()").await?;
    page.until("live() && !$('publish').hidden && notices().length === 0").await?;
    page.publish("", "by an admin").await?;
    page.until("shown()[0]?.data === 'by an admin'").await?;
    drop(page);
    gateway.kill().await?;

    // On the administration's own listener all is told; what may be read there is asked for all the same.
    let public = free_port()?;
    std::fs::write(
        &file,
        config(&format!("listen = '127.0.0.1:{public}'\nadmin_listen = '127.0.0.1:{port}'")),
    )?;
    let gateway = start().await?;
    let page = Page::open(Browser::chromium(), &gateway.url("/")).await?;
    page.until("connected() && channel('secrets') && !$('tiles').hidden").await?;
    page.until("figure(channel('secrets'), 'clients') === 0 && channel('orders').textContent.includes('memory:orders')")
        .await?;
    page.go("#/orders").await?;
    page.until("notices().some(notice => notice.startsWith('The gateway does not know who asks.')) && !$('identify').hidden")
        .await
}

/// Makes a token, as the documentation says.
async fn token(secret: &str, claims: &[&str]) -> Result<String> {
    let mut command = Command::new(env::gateway()?);
    command
        .args(["token", "--secret-env", "JWT_SECRET", "--claim", "aud=tidewater"])
        .env("JWT_SECRET", secret);
    let output = command.args(claims.iter().flat_map(|claim| ["--claim", claim])).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let token = String::from_utf8(output.stdout).context("no text")?.trim().to_owned();
    tidewater_testkit::secret::record(&token);
    Ok(token)
}
