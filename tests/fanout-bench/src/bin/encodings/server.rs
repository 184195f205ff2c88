//! The server that is measured, and what publishes through it.

use std::{
    convert::Infallible,
    io::{BufRead, BufReader},
    pin::Pin,
    process::{Command, Stdio},
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use http::{HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tidewater::{
    Encoding, Hub,
    direct::Direct,
    http::{Body, Endpoint},
};
use tidewater_fanout_bench::partitions::Partitions;
use tokio::net::TcpListener;

use crate::{Run, Served, orders::order};

/// What it took.
#[derive(Debug, Serialize)]
pub(crate) struct Took {
    deliveries: u64,
    /// Sent, framing and all.
    bytes: u64,
    /// Processor time of this process, the kernel's with it, in microseconds.
    busy: u64,
    /// Resident memory at the end, in KiB.
    resident: u64,
}

pub(crate) fn run(run: &Run, pause: Duration) -> Result<Took> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (source, feed) = Partitions::new(run.partitions);
    let _inside = runtime.enter();
    // What is published at once comes out as one batch.
    let linger = if run.burst > 1 { Duration::from_millis(2) } else { Duration::ZERO };
    let channel = Hub::new().channel("events").source(Arc::new(source)).linger(linger).open()?;
    let endpoint = Endpoint::new(channel).compress(run.served.encoding());
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    match run.served {
        Served::DirectPlain | Served::DirectGzip | Served::DirectZstd => {
            let direct = Direct::new(endpoint).shards(1);
            runtime.spawn(async move { direct.serve(listener, std::future::pending()).await });
        }
        served => drop(runtime.spawn(hyper(listener, endpoint, served == Served::GzipEach))),
    }
    let events = run.burst * run.bursts;
    let mut readers = Command::new(std::env::current_exe()?)
        .args(["read", "--address", &address.to_string(), "--clients", &run.clients.to_string()])
        .args(["--events", &events.to_string(), "--accept", run.served.accepts()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(readers.stdout.take().context("no output")?).lines();
    let mut line = || lines.next().context("the clients have ended").and_then(|line| Ok(line?));
    ensure!(line()? == "ready", "the clients are not there");
    let before = busy()?;
    for number in 0..events {
        feed.publish((number % u64::from(run.partitions)) as u32, order(number).into());
        if (number + 1) % run.burst == 0 {
            thread::sleep(pause);
        }
    }
    let bytes = line()?.parse()?;
    let busy = busy()? - before;
    ensure!(readers.wait()?.success(), "the clients did not get what they should");
    let page = rustix::param::page_size() as u64 / 1024;
    let resident = std::fs::read_to_string("/proc/self/statm")?;
    let resident = resident.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * page;
    Ok(Took { deliveries: events * run.clients as u64, bytes, busy, resident })
}

impl Served {
    fn encoding(self) -> Option<Encoding> {
        match self {
            Self::Gzip | Self::DirectGzip => Some(Encoding::Gzip),
            Self::Zstd | Self::DirectZstd => Some(Encoding::Zstd),
            Self::Plain | Self::GzipEach | Self::DirectPlain => None,
        }
    }

    fn accepts(self) -> &'static str {
        if self == Self::GzipEach { "gzip" } else { self.encoding().map_or("identity", Encoding::as_str) }
    }
}

fn busy() -> Result<u64> {
    let time = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
    Ok(time.as_micros() as u64)
}

async fn hyper(listener: TcpListener, endpoint: Endpoint, each: bool) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let endpoint = endpoint.clone();
        let answer = move |request: Request<Incoming>| {
            let endpoint = endpoint.clone();
            Box::pin(async move {
                let response = endpoint.respond(request).await;
                Ok::<_, Infallible>(if each { compressed(response) } else { response.map(Answer::Whole) })
            })
        };
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

/// A body, or one that is compressed on its way: by one compressor for each client, which is flushed after each piece.
enum Answer {
    Whole(Body),
    Each { body: Body, compress: Box<Compress>, begun: bool },
}

fn compressed(response: Response<Body>) -> Response<Answer> {
    let mut response = response.map(|body| Answer::Each {
        body,
        compress: Box::new(Compress::new(Compression::default(), false)),
        begun: false,
    });
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Each { body, compress, begun } => {
                let Some(Ok(frame)) = ready!(Pin::new(body).poll_frame(cx)) else { return Poll::Ready(None) };
                let Ok(data) = frame.into_data() else { return Poll::Ready(None) };
                let mut out = Vec::with_capacity(data.len() + 128);
                if !std::mem::replace(begun, true) {
                    out.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
                }
                let before = compress.total_in();
                loop {
                    let taken = (compress.total_in() - before) as usize;
                    if compress.compress_vec(&data[taken..], &mut out, FlushCompress::Sync).is_err() {
                        return Poll::Ready(None);
                    }
                    if out.len() < out.capacity() {
                        break;
                    }
                    out.reserve(1024);
                }
                Poll::Ready(Some(Ok(Frame::data(out.into()))))
            }
        }
    }
}
