//! How streams end: by the client, by the server, and before they began.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tidewater_core::Source;
use tidewater_http::DRAIN_DEADLINE;

use crate::web::{
    Checked, Failure, Notices, SOON, Server,
    client::Events,
    ensure,
    site::{FORMS, Site, Unreachable},
};

/// A client that goes frees its place: within 100 ms, or within a heartbeat where the framework only notices at its
/// next write. The best of five counts, as the machine may be busy; none may take longer than seconds.
pub async fn a_client_that_goes_is_noticed(server: &dyn Server) -> Checked {
    let (heartbeat, budget) = match server.notices() {
        Notices::AtOnce => (Duration::from_secs(60), Duration::from_millis(100)),
        // Half a heartbeat more, for the machine.
        Notices::AtTheNextWrite => (Duration::from_millis(400), Duration::from_millis(600)),
    };
    let site = Site::start_with(server, |channel| channel.heartbeat(heartbeat), |endpoint| endpoint).await?;
    for path in FORMS {
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let events = site.open(path).await?;
            site.clients(1).await?;
            let gone = Instant::now();
            drop(events);
            site.clients(0).await?;
            best = best.min(gone.elapsed());
        }
        ensure!(
            best <= budget,
            "{path}: a client that went was noticed after {best:?}, not within {budget:?}"
        );
    }
    Ok(())
}

/// Graceful shutdown ends every stream at an event boundary, each with a time of its own to come back, and then the
/// server.
pub async fn i9_shutdown_ends_streams(server: &dyn Server) -> Checked {
    let mut site = Site::start(server).await?;
    let mut clients = Vec::new();
    for path in ["/closed", "/closed", "/open", "/open", "/keys/k"] {
        clients.push((path, site.open(path).await?));
    }
    site.clients(clients.len()).await?;
    let log = site.log.clone();
    let feed = tokio::spawn(async move {
        for n in 0.. {
            let message = tidewater_core::Message::new("site", format!("{n}\n{}", "x".repeat(1000)));
            log.publish(message.with_key("k"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    for (path, events) in &mut clients {
        let first = events.seen().await?.data;
        ensure!(first.starts_with("0\n"), "{path}: the first event is {first:.20}");
    }
    let stopped = Instant::now();
    let done = site.stop().ok_or_else(|| Failure::new("the server was stopped before"))?;
    let ends = join_all(clients.into_iter().map(|(path, events)| to_the_end(path, events, stopped))).await;
    feed.abort();
    let retries = ends.into_iter().collect::<Result<BTreeSet<u64>, _>>()?;
    ensure!(retries.len() > 1, "all clients come back at the same time: {retries:?} ms");
    let over = tokio::time::timeout(DRAIN_DEADLINE + SOON, done).await;
    ensure!(over.is_ok(), "the server did not end {:?} after its streams", DRAIN_DEADLINE + SOON);
    Ok(())
}

/// Reads a stream to its end: at an event boundary, in time, nothing left out. Gives its reconnection time.
async fn to_the_end(path: &str, mut events: Events, stopped: Instant) -> Result<u64, Failure> {
    let mut next = 1;
    while let Some(event) = events.next().await? {
        if event.event_type == "message" {
            let number = event.data.lines().next().and_then(|line| line.parse::<u64>().ok());
            ensure!(number == Some(next), "{path}: event {number:?} instead of {next}");
            next += 1;
        }
    }
    let took = stopped.elapsed();
    // A moment more than the deadline, for the bytes to arrive.
    ensure!(took < DRAIN_DEADLINE + Duration::from_secs(1), "{path}: the stream ended only after {took:?}");
    ensure!(events.raw.ends_with(b"\n\n"), "{path}: the stream ended within an event");
    let retry = events.retry().unwrap_or_default();
    ensure!(retry >= 500, "{path}: retry: {retry}");
    Ok(retry)
}

/// A stream that is opened while the hub drains is 200, a time to come back, and the end: any other status would make
/// a browser give up for good.
pub async fn i9_a_stream_while_draining_is_told_to_come_back(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    site.channel.hub().drain(Duration::from_secs(1)).await;
    for path in ["/closed", "/open", "/keys/k"] {
        told_to_come_back(&site, path).await?;
    }
    Ok(())
}

/// Before the channel has a position a stream is 200, a time to come back, and the end; only the cursor is 503, which
/// no `EventSource` asks for.
pub async fn i10_a_source_that_is_down_turns_nobody_away(server: &dyn Server) -> Checked {
    let source: Arc<dyn Source> = Arc::new(Unreachable);
    let site = Site::start_unready(server, |channel| channel.source(source), |endpoint| endpoint).await?;
    // The hub waits a moment for the source, so all at once.
    let all = ["/closed", "/open", "/keys/k"].map(|path| told_to_come_back(&site, path));
    join_all(all).await.into_iter().collect::<Checked>()?;
    let head = site.request("HEAD", "/closed").send().await?;
    ensure!(head.status == 503, "HEAD: {}", head.status);
    for path in FORMS {
        let answer = site.get(path).header("accept", "application/json").send().await?;
        ensure!(answer.status == 503, "{path} as JSON: {}", answer.status);
    }
    Ok(())
}

async fn told_to_come_back(site: &Site, path: &str) -> Checked {
    comes_back(path, site.get(path).send().await?.events()?).await
}

/// A stream that is a time to come back, and the end.
pub(super) async fn comes_back(path: &str, mut events: Events) -> Checked {
    let event = events.next().await?;
    ensure!(event.is_none(), "{path}: an event came: {event:?}");
    let retry = events.retry().unwrap_or_default();
    ensure!(retry >= 500, "{path}: retry: {retry} in {:?}", String::from_utf8_lossy(&events.raw));
    ensure!(events.raw.ends_with(b"\n\n"), "{path}: it ended within a block");
    Ok(())
}
