//! The application that a page comes from: a few files of its own, and behind it the gateway, as behind a proxy.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Dropping it ends it.
pub(crate) struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    gateway: SocketAddr,
    files: Mutex<HashMap<String, String>>,
    answers_502: AtomicBool,
    streams: AtomicU32,
    turned_away: AtomicU32,
}

impl Site {
    /// With everything but its own files from the gateway at this port.
    pub(crate) async fn start(gateway: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            gateway: (Ipv4Addr::LOCALHOST, gateway).into(),
            files: Mutex::default(),
            answers_502: AtomicBool::new(false),
            streams: AtomicU32::new(0),
            turned_away: AtomicU32::new(0),
        });
        let of_server = shared.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = of_server.clone();
                // A page that leaves breaks its connections off: nothing of what fails here says anything.
                tokio::spawn(async move { shared.answer(stream).await.ok() });
            }
        });
        Ok(Self { address, shared, server })
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The origin of the gateway itself.
    pub(crate) fn gateway(&self) -> String {
        format!("http://{}", self.shared.gateway)
    }

    /// Has this file from now on, at a path with a slash before it.
    pub(crate) fn put(&self, path: &str, text: impl Into<String>) {
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), text.into());
    }

    /// While the gateway is away, says so with a status, as proxies do. Else it closes the connection, which looks to
    /// a browser like a server that is away.
    pub(crate) fn answer_502(&self) {
        self.shared.answers_502.store(true, Ordering::Relaxed);
    }

    /// How many streams it has handed on.
    pub(crate) fn streams(&self) -> u32 {
        self.shared.streams.load(Ordering::Relaxed)
    }

    /// How often a request found no gateway.
    pub(crate) fn turned_away(&self) -> u32 {
        self.shared.turned_away.load(Ordering::Relaxed)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    /// One request for each connection, so that each is told what it is for.
    async fn answer(&self, stream: TcpStream) -> Result<()> {
        let mut page = BufReader::new(stream);
        let mut head = String::new();
        loop {
            let mut line = String::new();
            ensure!(page.read_line(&mut line).await? > 0, "no request");
            if line == "\r\n" {
                break;
            }
            if !line.to_ascii_lowercase().starts_with("connection:") {
                head.push_str(&line);
            }
        }
        let path = head.split(' ').nth(1).context("no path")?;
        let file = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some(text) = file {
            return say(&mut page, "200 OK", content_type(path), &text).await;
        }
        let Ok(mut gateway) = TcpStream::connect(self.gateway).await else {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            if self.answers_502.load(Ordering::Relaxed) {
                say(&mut page, "502 Bad Gateway", "text/plain", "The gateway is away.").await?;
            }
            return Ok(());
        };
        if head.contains("text/event-stream") {
            self.streams.fetch_add(1, Ordering::Relaxed);
        }
        gateway.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await?;
        let (mut from_page, mut to_page) = tokio::io::split(page);
        let (mut from_gateway, mut to_gateway) = gateway.split();
        // Whoever of the two ends its connection ends that of the other.
        tokio::select! {
            done = copy(&mut from_gateway, &mut to_page) => done?,
            done = copy(&mut from_page, &mut to_gateway) => done?,
        };
        Ok(())
    }
}

async fn say(page: &mut BufReader<TcpStream>, status: &str, kind: &str, text: &str) -> Result<()> {
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}; charset=utf-8\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n{text}"
    );
    page.write_all(answer.as_bytes()).await?;
    page.shutdown().await?;
    // Until the browser has closed, too: it may not have read yet.
    copy(&mut page.take(1 << 16), &mut tokio::io::sink()).await?;
    Ok(())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "js")) => "text/javascript",
        Some((_, "json")) => "application/json",
        _ => "text/html",
    }
}
