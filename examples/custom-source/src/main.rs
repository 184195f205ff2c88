//! The lines of a growing file as a page's live events: `cargo xtask examples custom-source`.

use std::{env, fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

// Links the plugin. In an application it would be the name of somebody's crate.
use custom_source as _;
use tidewater::{Hub, Message, Sink, Start, plugin::open_sink};
use tokio::{net::TcpListener, signal};
use warp::Filter as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listen: SocketAddr = env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    let file = env::temp_dir().join(format!("tidewater-lines-{}.log", listen.port()));
    let url = format!("lines:{}", file.display());
    // The sink makes the file, with a first line.
    let sink = open_sink(&url)?;
    sink.send(Message::new("", "line 0: begun")).await?;

    let hub = Hub::new();
    let log = hub
        .channel("log")
        .source(url)
        // Somebody who opens the page sees what is there already.
        .start(Start::Earliest)
        .open()?;

    tokio::spawn(feed(sink, file.clone()));
    let page = warp::path::end().map(|| warp::reply::html(include_str!("page.html")));
    let events = warp::path("events").and(tidewater::warp::sse(log));
    let shutdown = tidewater::warp::graceful(&hub, async {
        signal::ctrl_c().await.ok();
    });
    eprintln!("Following {}: the page is at http://{listen}/", file.display());
    warp::serve(page.or(events)).incoming(TcpListener::bind(listen).await?).graceful(shutdown).run().await;
    Ok(())
}

/// A program that writes a log, and rotates it.
async fn feed(sink: Arc<dyn Sink>, file: PathBuf) -> anyhow::Result<()> {
    for number in 1_u64.. {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if number % 60 == 0 {
            // The page is told by an event `tidewater.gap` of reason `epoch`, and reads the new file from its start.
            fs::rename(&file, file.with_extension("log.1"))?;
        }
        sink.send(Message::new("", format!("line {number}: still here"))).await?;
    }
    Ok(())
}
