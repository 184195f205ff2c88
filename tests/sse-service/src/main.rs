//! Lets the public harness `launchdarkly/sse-contract-tests` drive the client of event streams: it says over REST what
//! to connect to, and is told by callbacks what came of it. `cargo xtask contract-tests` brings the two together.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /` | says what the client can do |
//! | `POST /` | opens a stream; its URL is in `Location` |
//! | `POST /streams/ID` | does something to it: `restart` |
//! | `DELETE /streams/ID` | closes it |
//! | `DELETE /` | ends this program |
//!
//! A test service alone: it has no bounds and no authorization, and listens on loopback.

mod callbacks;
mod requests;
mod service;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{net::TcpListener, time::timeout};

use self::service::Service;

/// Lets the harness launchdarkly/sse-contract-tests drive the client of event streams.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
The address is written to standard output as soon as it listens. DELETE / ends it.
cargo xtask contract-tests starts it, and runs the harness against it."
)]
struct Args {
    /// Where to listen; with port 0, on a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Another port of the same address.
    #[arg(long)]
    port: Option<u16>,
}

/// How long connections get to end.
const LINGER: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut address = args.listen;
    address.set_port(args.port.unwrap_or(address.port()));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(listener).await
}

async fn serve(listener: TcpListener) -> Result<()> {
    let service = Arc::new(Service::default());
    let connections = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            () = service.ended() => break,
        };
        let service = service.clone();
        let answer = service_fn(move |request| {
            let service = service.clone();
            async move { service.answer(request).await }
        });
        let connection =
            connections.watch(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    // The answer to the request that ended it is still under way.
    timeout(LINGER, connections.shutdown()).await.ok();
    Ok(())
}
