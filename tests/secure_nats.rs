//! The gateway at a nats-server as in production: what is refused is told at `/health/ready` and in the log, by the
//! setting and never with what it holds; the channel is degraded and goes on trying; and what is put right works.

#![allow(clippy::unwrap_used, missing_docs)]

use anyhow::{Context, Result, bail, ensure};
use tidewater_testkit::{broker::NatsServer, secret};
use tidewater_tests::{
    Gateway, SseClient, eventually,
    secure_nats::{Permissions, SecureNats},
};

/// Waits until the channel is degraded, with an error that holds all these.
async fn told(gateway: &Gateway, names: &[&str]) -> Result<()> {
    let degraded = eventually("the error", || async {
        let (_, ready) = gateway.ready().await?;
        let channel = ready["channels"]["feed"].clone();
        let text = channel.to_string();
        let all = channel["upstream"] == "degraded" && names.iter().all(|name| text.contains(name));
        if all { Ok(()) } else { bail!("{names:?} are not told: {ready}") }
    });
    degraded.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))
}

/// The next message, and nothing before it.
async fn shows(client: &mut SseClient, text: &str) -> Result<()> {
    let event = client.expect_shown().await?;
    ensure!(event.data == text, "{text:?} was expected, and {event:?} came");
    Ok(())
}

/// Everything that the gateway has to say, down to the client's own lines.
fn loud(server: &str, url: &str) -> tidewater_tests::GatewayBuilder {
    Gateway::new(server).channel("feed", url).envs([("RUST_LOG".to_owned(), "trace".to_owned())])
}

fn hidden(gateway: &Gateway, names: &[&str]) -> Result<()> {
    let wrote = gateway.output();
    secret::assert_hidden(&wrote);
    for name in names {
        ensure!(wrote.contains(name), "no {name:?} in what the gateway wrote:\n{wrote}");
    }
    ensure!(!wrote.contains("panicked"), "{wrote}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn credentials_that_are_revoked_and_renewed_while_the_gateway_runs() -> Result<()> {
    let mut nats = SecureNats::start()?;
    let (stream, subject) = nats.stream("secured").await?;
    let needed = Permissions::stream_source(&stream, None);
    let mut access = nats.access("jetstream", &stream, &needed)?;
    let gateway = loud("hyper", &access.url).start().await?;
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), "/channels/feed?since=earliest", None).await?;
    nats.producer().await?.store(&subject, &[], &["before"]).await?;
    shows(&mut client, "before").await?;

    nats.revoke(&access.user)?;
    let path = access.creds.path().display().to_string();
    told(&gateway, &["creds", &path, "revoked"]).await?;
    nats.producer().await?.store(&subject, &[], &["meanwhile"]).await?;
    // Renewed, but for somebody who may not: the error is another one.
    let mut less = needed.clone();
    less.publish.remove(0);
    nats.renew(&mut access, &less)?;
    told(&gateway, &["STREAM.INFO", &stream, "permissions"]).await?;
    nats.renew(&mut access, &needed)?;
    gateway.until_live().await?;
    nats.producer().await?.store(&subject, &[], &["after"]).await?;
    for text in ["meanwhile", "after"] {
        shows(&mut client, text).await?;
    }
    hidden(&gateway, &["STREAM.INFO", &path])
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_password_from_the_environment_and_permission_for_a_subject() -> Result<()> {
    let [right, wrong] = ["right", "wrong"].map(secret::secret);
    let config = |password: &str, subject: &str| {
        format!(
            "authorization {{ users: [ {{ user: reader, password: {password:?}, permissions: {{ publish: [], \
             subscribe: [{subject:?}] }} }} ] }}"
        )
    };
    let mut server = NatsServer::with_config(&config(&wrong, "live"))?;
    let url = format!("nats://127.0.0.1:{}/live?user=reader&password=${{READERS_PASSWORD}}", server.port());
    let gateway = loud("hyper", &url).envs([("READERS_PASSWORD".to_owned(), right.clone())]).spawn()?;
    eventually("the gateway", || gateway.ready()).await?;
    told(&gateway, &["reader", "password"]).await?;
    server.reload(&config(&right, "other"))?;
    told(&gateway, &["live", "subscribe"]).await?;
    server.reload(&config(&right, "live"))?;
    gateway.until_live().await?;
    server.reload(&config(&right, "other"))?;
    told(&gateway, &["live", "subscribe"]).await?;
    hidden(&gateway, &["reader"])
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn tls_at_a_server_that_has_none_and_a_file_that_comes_later() -> Result<()> {
    let server = NatsServer::start()?;
    let ca = tempfile::tempdir()?;
    let path = ca.path().join("ca.pem");
    let url = format!("nats://127.0.0.1:{}/live?tls_ca={}", server.port(), path.display());
    let gateway = loud("warp", &url).spawn()?;
    eventually("the gateway", || gateway.ready()).await?;
    told(&gateway, &["tls_ca", "can't be read", &path.display().to_string()]).await?;
    std::fs::write(&path, tidewater_tests::secure_nats::Authority::new("late")?.pem())?;
    told(&gateway, &["TLS", "tls_ca"]).await?;
    hidden(&gateway, &["tls_ca"])
}
