//! The console below a path of a proxy's.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tidewater_tests::{Gateway, browser::Browser, heavy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::page::Page;

#[tokio::test]
#[ignore = "needs Chromium: run cargo xtask test"]
async fn it_works_where_a_proxy_has_put_it() -> Result<()> {
    let _alone = heavy().await;
    let gateway = Gateway::new("direct").channel("feed", "memory:").start().await?;
    gateway.until_live().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let to = gateway.address();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, to));
        }
    });
    let page = Page::open(Browser::chromium(), &format!("http://{address}/below/this/#/feed")).await?;
    page.until("connected() && live()").await?;
    page.publish("", "through it").await?;
    page.until("shown()[0]?.data === 'through it'").await?;
    page.until(&format!(
        "$('copied').textContent === \"curl -N 'http://{address}/below/this/channels/feed'\""
    ))
    .await
}

/// One request: what is not below the path is refused by the gateway, which does not know it.
async fn forward(mut client: TcpStream, to: SocketAddr) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let (first, rest) = head.split_once("\r\n").context("no line")?;
    let first = first.replacen(" /below/this/", " /", 1);
    let rest = rest.replace("Connection: keep-alive\r\n", "");
    let mut server = TcpStream::connect(to).await?;
    server.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes()).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
