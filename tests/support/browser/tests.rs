//! What the tests rely on that start a browser.

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn chromiums_tabs_share_a_login_and_take_turns() -> Result<()> {
    tabs_share_a_login_and_take_turns(Browser::chromium()).await
}

#[tokio::test]
#[ignore = "needs Firefox: run cargo xtask test"]
async fn firefoxs_tabs_share_a_login_and_take_turns() -> Result<()> {
    tabs_share_a_login_and_take_turns(Browser::firefox()).await
}

async fn tabs_share_a_login_and_take_turns(browser: BrowserBuilder) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    let browser = browser.start().await?;
    browser.open(&url).await?;
    let login =
        "return fetch('/login', { method: 'POST', credentials: 'include' }).then(answer => answer.status)";
    ensure!(browser.run(login).await? == 200);
    let (first, second) = (browser.tab(), browser.open_tab().await?);
    second.open(&url).await?;
    let shown = second.run("return document.body.textContent").await?;
    ensure!(shown == "cookie: session=ada", "the second tab is somebody else: {shown}");
    first.run("window.mine = 'first'; setTimeout(() => window.late = 'first', 100)").await?;
    second.run("window.mine = 'second'").await?;
    for _ in 0..10 {
        let (one, other) = tokio::try_join!(first.run("return mine"), second.run("return mine"))?;
        ensure!((&one, &other) == (&"first".into(), &"second".into()), "{one} and {other}");
    }
    tokio::try_join!(
        first.wait_until("window.late === 'first'", PATIENCE),
        second.wait_until("window.late === undefined", PATIENCE)
    )?;
    Ok(())
}

/// Answers one request with the cookies that came with it. `/login` gives one that no script sees.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let cookie = head.lines().find(|line| line.starts_with("cookie: ")).unwrap_or("nobody");
    let login = head.starts_with("post /login").then_some("set-cookie: session=ada; HttpOnly; Path=/\r\n");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n{}\r\n{cookie}",
        cookie.len(),
        login.unwrap_or_default()
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

#[cfg(feature = "tls")]
mod certificates {
    use std::sync::Arc;

    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            ServerConfig,
            crypto::ring,
            pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        },
    };

    use super::*;

    #[tokio::test]
    #[ignore = "needs Chromium: run cargo xtask test"]
    async fn chromium_takes_one_of_nobody_s_only_if_asked() -> Result<()> {
        taken_only_if_asked(Browser::chromium()).await
    }

    #[tokio::test]
    #[ignore = "needs Firefox: run cargo xtask test"]
    async fn firefox_takes_one_of_nobody_s_only_if_asked() -> Result<()> {
        taken_only_if_asked(Browser::firefox()).await
    }

    async fn taken_only_if_asked(browser: BrowserBuilder) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}/", listener.local_addr()?);
        let acceptor = acceptor()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { answer(acceptor.accept(stream).await?).await });
            }
        });
        // Firefox's driver says no, Chromium's shows the warning as a page.
        let wary = browser.start().await?;
        let warned = wary.open(&url).await.is_err() || shown(&wary).await? != "nobody";
        ensure!(warned, "a certificate that nobody vouches for is taken");
        let browser = browser.accept_insecure_certs().start().await?;
        browser.open(&url).await?;
        ensure!(shown(&browser).await? == "nobody");
        Ok(())
    }

    async fn shown(browser: &Browser) -> Result<Value> {
        browser.run("return document.body.textContent").await
    }

    fn acceptor() -> Result<TlsAcceptor> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
