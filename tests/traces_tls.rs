//! The gateway's traces over TLS, to a collector that the system trusts, and to one that it doesn't.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tidewater_tests::{Gateway, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// A collector at `https://localhost`, which tells the first line of each request, and its certificate as PEM.
async fn collector() -> Result<(u16, String, mpsc::UnboundedReceiver<String>)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
        )?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (told, lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust it ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0; 64 << 10];
            let length = stream.read(&mut head).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            told.send(head.lines().next().unwrap_or_default().to_owned()).ok();
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await.ok();
        }
    });
    Ok((port, certificate.pem(), lines))
}

async fn start(port: u16, trusted: Option<String>) -> Result<Gateway> {
    let mut variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("https://localhost:{port}")),
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "20".to_owned()),
    ];
    variables.extend(trusted.map(|file| ("SSL_CERT_FILE".to_owned(), file)));
    Gateway::new("direct").channel("feed", "memory:").envs(variables).start().await
}

#[tokio::test]
#[ignore = "needs the gateway: run cargo xtask test"]
async fn traces_go_over_tls_to_who_is_trusted() -> Result<()> {
    let (port, certificate, mut lines) = collector().await?;
    let folder = TempDir::new()?;
    let file = folder.path().join("trusted.pem");
    std::fs::write(&file, certificate)?;
    let gateway = start(port, Some(file.display().to_string())).await?;
    let line = timeout(Duration::from_secs(60), lines.recv()).await;
    let line = line.with_context(|| gateway.output())?.context("the collector has ended")?;
    ensure!(line == "POST /v1/traces HTTP/1.1", "{line}");
    drop(gateway);
    while lines.try_recv().is_ok() {}

    // Another one, in whose place it could stand.
    let (_, other, _) = collector().await?;
    std::fs::write(&file, other)?;
    let gateway = start(port, Some(file.display().to_string())).await?;
    eventually("the error", || async {
        ensure!(gateway.output().contains("traces are lost until https://localhost"), "{}", gateway.output());
        Ok(())
    })
    .await?;
    ensure!(lines.try_recv().is_err(), "it has sent something");
    Ok(())
}
