//! The gateway over TLS: more streams in a page than HTTP/1.1 has connections, and certificates that are renewed.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tidewater_tests::{Gateway, browser::Browser, eventually, free_port, heavy, http};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

/// Writes a new certificate for localhost and its key.
fn write(folder: &Path) -> Result<CertificateDer<'static>> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    std::fs::write(folder.join("chain.pem"), certificate.pem())?;
    std::fs::write(folder.join("key.pem"), key.serialize_pem())?;
    Ok(certificate.der().clone())
}

/// A gateway with a channel in memory, and the port where it has TLS.
async fn start(server: &str, folder: &Path) -> Result<(Gateway, u16)> {
    let port = free_port()?;
    let file = |name: &str| folder.join(name).display().to_string();
    let listen = format!("https://localhost:{port}");
    let args = ["--listen", &listen, "--tls-certificate", &file("chain.pem"), "--tls-key", &file("key.pem")];
    let gateway =
        Gateway::new(server).channel("feed", "memory:").args(args.map(str::to_owned)).start().await?;
    Ok((gateway, port))
}

async fn handshake(port: u16, trusted: &CertificateDer<'static>) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn a_new_certificate_is_read_on_a_signal() -> Result<()> {
    for server in ["direct", "hyper"] {
        let folder = TempDir::new()?;
        let old = write(folder.path())?;
        let (gateway, port) = start(server, folder.path()).await?;
        handshake(port, &old).await?;
        let new = write(folder.path())?;
        gateway.signal(Signal::HUP)?;
        eventually("the new certificate", || handshake(port, &new)).await?;
        ensure!(handshake(port, &old).await.is_err(), "{server}: the old one is still there");
        // One that is broken changes nothing, and is told.
        std::fs::write(folder.path().join("key.pem"), "no key")?;
        gateway.signal(Signal::HUP)?;
        eventually("the error", || async {
            ensure!(gateway.output().contains("no private key"), "{}", gateway.output());
            Ok(())
        })
        .await?;
        handshake(port, &new).await?;
    }
    Ok(())
}

/// Over HTTP/1.1 the seventh stream of a page waits for one of the six to end.
#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn a_page_holds_twenty_streams() -> Result<()> {
    let _alone = heavy().await;
    let browser = Browser::chromium().accept_insecure_certs().start().await?;
    let folder = TempDir::new()?;
    write(folder.path())?;
    for server in ["direct", "hyper"] {
        let (gateway, port) = start(server, folder.path()).await?;
        browser.open(&format!("https://localhost:{port}/")).await?;
        browser
            .run(
                "window.got = Array.from({ length: 20 }, () => []);
                 window.sources = got.map((list) => {
                     const source = new EventSource('/channels/feed');
                     source.onmessage = (event) => list.push(event.data);
                     return source;
                 });",
            )
            .await?;
        let limit = Duration::from_secs(30);
        let done = async {
            browser
                .wait_until("sources.every((source) => source.readyState === EventSource.OPEN)", limit)
                .await
                .context("not all of them open")?;
            for n in 1..=50 {
                let answer =
                    http::post(gateway.address(), "/channels/feed", n.to_string().as_bytes()).await?;
                ensure!(answer.status == 202, "{n}: {}", answer.status);
            }
            browser.wait_until("got.every((list) => list.length >= 50)", limit).await
        };
        let done = done.await;
        let got = browser.run("return got").await?;
        done.with_context(|| format!("{server}: {got}\nthe gateway wrote:\n{}", gateway.output()))?;
        let all: Vec<String> = (1..=50).map(|n| n.to_string()).collect();
        ensure!(got == json!(vec![all; 20]), "{server}: not 1..50 each: {got}");
        let protocol =
            browser.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol").await?;
        ensure!(protocol == "h2", "{server}: {protocol}");
    }
    Ok(())
}
