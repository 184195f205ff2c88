//! The clients: each decodes what it gets, and checks that it is every event in its order.

use std::{cell::Cell, io::Write as _, net::SocketAddr, rc::Rc};

use anyhow::{Context as _, Result, bail, ensure};
use tidewater::sse::Decoder;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    task::LocalSet,
};

use crate::orders::number;

/// What all clients have come to.
#[derive(Default)]
struct Shared {
    /// Those that have had their first block.
    begun: Cell<usize>,
    bytes: Cell<u64>,
    news: Notify,
}

/// Prints `ready` when all are there, and when all have all events how many bytes that took.
pub(crate) fn run(address: SocketAddr, clients: usize, events: u64, accept: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Rc::new(Shared::default());
    let local = LocalSet::new();
    let tasks: Vec<_> = (0..clients)
        .map(|_| local.spawn_local(client(address, accept.to_owned(), events, shared.clone())))
        .collect();
    local.block_on(&runtime, async {
        while shared.begun.get() < clients {
            shared.news.notified().await;
        }
        let before = shared.bytes.get();
        println!("ready");
        for task in tasks {
            task.await??;
        }
        println!("{}", shared.bytes.get() - before);
        Ok(())
    })
}

async fn client(address: SocketAddr, accept: String, events: u64, shared: Rc<Shared>) -> Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\naccept-encoding: {accept}\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let (mut buffer, mut has_begun) = (vec![0; 64 << 10], false);
    let (mut body, mut decoder, mut next) = (Body::default(), Decoder::new(), 0);
    while next < events {
        let length = socket.read(&mut buffer).await?;
        ensure!(length > 0, "the stream ended");
        shared.bytes.set(shared.bytes.get() + length as u64);
        decoder.feed(&body.take(&buffer[..length])?);
        while let Some(event) = decoder.next_event()? {
            if event.event_type == "tidewater.cursor" {
                if !std::mem::replace(&mut has_begun, true) {
                    shared.begun.set(shared.begun.get() + 1);
                    shared.news.notify_one();
                }
                continue;
            }
            ensure!(number(&event.data) == Some(next), "not {next}: {:?}", event.data);
            next += 1;
        }
    }
    Ok(())
}

/// An answer's body, as far as it has come.
#[derive(Default)]
struct Body {
    raw: Vec<u8>,
    head: Option<bool>,
    unpack: Unpack,
}

#[derive(Default)]
enum Unpack {
    #[default]
    Plain,
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl Body {
    /// What these bytes bring, without their framing and decoded.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.raw.extend_from_slice(bytes);
        let Some(chunked) = self.head else { return self.read_head() };
        let data = if chunked { self.chunks()? } else { std::mem::take(&mut self.raw) };
        match &mut self.unpack {
            Unpack::Plain => Ok(data),
            Unpack::Gzip(gzip) => {
                gzip.write_all(&data)?;
                gzip.flush()?;
                Ok(std::mem::take(gzip.get_mut()))
            }
            Unpack::Zstd(zstd) => {
                zstd.write_all(&data)?;
                zstd.flush()?;
                Ok(std::mem::take(zstd.get_mut()))
            }
        }
    }

    fn read_head(&mut self) -> Result<Vec<u8>> {
        let Some(end) = self.raw.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(Vec::new());
        };
        let rest = self.raw.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.raw, rest))?.to_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "{head}");
        self.head = Some(head.contains("transfer-encoding: chunked"));
        self.unpack = match () {
            () if head.contains("content-encoding: gzip") => {
                Unpack::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new())))
            }
            () if head.contains("content-encoding: zstd") => {
                Unpack::Zstd(Box::new(zstd::stream::write::Decoder::new(Vec::new())?))
            }
            () => Unpack::Plain,
        };
        self.take(b"")
    }

    /// The chunks that are whole (RFC 9112 §7.1).
    fn chunks(&mut self) -> Result<Vec<u8>> {
        let (mut data, mut at) = (Vec::new(), 0);
        while let Some(line) = self.raw[at..].windows(2).position(|window| window == b"\r\n") {
            let size = str::from_utf8(&self.raw[at..at + line])?;
            let size = usize::from_str_radix(size, 16).with_context(|| format!("no size: {size:?}"))?;
            if size == 0 {
                bail!("the stream ended");
            }
            let start = at + line + 2;
            let Some(chunk) = self.raw.get(start..start + size + 2) else { break };
            data.extend_from_slice(&chunk[..size]);
            at = start + size + 2;
        }
        self.raw.drain(..at);
        Ok(data)
    }
}
