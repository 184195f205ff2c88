//! What the console offers to copy does what it says: it is run.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Gateway, PATIENCE, browser::Browser, heavy};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::page::{Page, publish};

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn each_form_reads_what_is_shown() -> Result<()> {
    let _alone = heavy().await;
    let gateway = Gateway::new("direct").channel("feed", "memory:").start().await?;
    gateway.until_live().await?;
    // A key for which every quoting counts.
    let key = "it's $HOME & \"more\" `x` \\ %41";
    let encoded = "it%27s%20%24HOME%20%26%20%22more%22%20%60x%60%20%5C%20%2541";
    publish(&gateway, &format!("feed?key={encoded}&event=paid"), &["{\"a\":\"b: c\"}"]).await?;
    publish(&gateway, "feed?key=other", &["not selected"]).await?;
    let page =
        Page::open(Browser::chromium(), &gateway.url(&format!("/#/feed?key={encoded}&since=earliest")))
            .await?;
    page.until("live() && shown().length === 1 && shown()[0].type === 'paid'").await?;
    ensure!(page.run("return $('selection').elements.key.value").await? == key);

    let curl = copied(&page, "curl").await?;
    ensure!(curl.starts_with("curl -N '"), "{curl}");
    curl_gets(&curl, "data: {\"a\":\"b: c\"}").await.context(curl)?;

    for form in ["eventsource", "fetch"] {
        let program = copied(&page, form).await?;
        let script = format!(
            "window.logged = []; const console = {{ log: (...words) => window.logged.push(words) }};
             (async () => {{ {program}\n }})().catch(error => window.logged.push(['failed', `${{error}}`]));"
        );
        page.run(&script).await?;
        page.until("JSON.stringify(window.logged) === '[[\"paid\",\"{\\\\\"a\\\\\":\\\\\"b: c\\\\\"}\"]]'")
            .await
            .with_context(|| format!("{form}:\n{program}"))?;
    }
    // The button says what it did, whether or not there is a clipboard.
    page.click("#copy").await?;
    page.until("['Copied', 'Selected: copy it'].includes($('copy').textContent)").await
}

async fn copied(page: &Page, form: &str) -> Result<String> {
    page.click(&format!("#copies [data-form={form}]")).await?;
    let text = page.run("return $('copied').textContent").await?;
    Ok(text.as_str().context("no text")?.to_owned())
}

/// Runs a line of a shell until it has written this line.
async fn curl_gets(command: &str, wanted: &str) -> Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let found = async {
        while let Some(line) = lines.next_line().await? {
            ensure!(!line.contains("not selected"), "{line}");
            if line == wanted {
                return Ok(());
            }
        }
        anyhow::bail!("it ended without {wanted}")
    };
    timeout(PATIENCE, found).await.context("it does not come")?
}
