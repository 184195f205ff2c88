//! A server under test, with a channel on a log that the check writes to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use tidewater_core::{
    Bounds, Capabilities, Error, ErrorKind, Message, Receipt, Result, Sink, Source, Subscribed, Subscription,
    memory::MemoryLog,
};
use tidewater_http::{Endpoint, Limits};
use tidewater_hub::{Channel, ChannelBuilder, Hub, UpstreamState};
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};

use super::{
    Failure, Mount, Running, SOON, Server,
    client::{Events, Request},
    ensure,
};

/// Every path on which a stream is served.
pub(super) const FORMS: [&str; 2] = ["/closed", "/open"];

pub(super) struct Site {
    pub(super) log: MemoryLog,
    pub(super) channel: Channel,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: Option<JoinHandle<()>>,
}

impl Site {
    /// A server over a `memory` channel that is live, without heartbeats that would be in the way.
    pub(super) async fn start(server: &dyn Server) -> Result<Self, Failure> {
        Self::start_with(server, |channel| channel, |endpoint| endpoint).await
    }

    pub(super) async fn start_with(
        server: &dyn Server,
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
        endpoint: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Result<Self, Failure> {
        Self::start_unready(server, channel, endpoint).await?.ready().await
    }

    async fn ready(self) -> Result<Self, Failure> {
        let live = async {
            while self.channel.status().upstream != UpstreamState::Live {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        super::soon("the channel to be live", live).await?;
        Ok(self)
    }

    /// The same, with limits on its streams and on publishing, which is on.
    pub(super) async fn start_limited(
        server: &dyn Server,
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let endpoint = |endpoint: Endpoint| endpoint.publish(true).limits(limits.clone());
        Self::mount(server, channel, endpoint, limits.clone()).await?.ready().await
    }

    /// The same, without waiting for the channel.
    pub(super) async fn start_unready(
        server: &dyn Server,
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
        endpoint: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Result<Self, Failure> {
        Self::mount(server, channel, endpoint, Limits::default()).await
    }

    async fn mount(
        server: &dyn Server,
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
        endpoint: impl FnOnce(Endpoint) -> Endpoint,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let log = MemoryLog::new("site");
        let (source, sink): (Arc<dyn Source>, Arc<dyn Sink>) = (Arc::new(log.source()), Arc::new(log.sink()));
        let builder = Hub::new().channel("site").source(source).sink(sink).heartbeat(Duration::from_secs(60));
        let channel = channel(builder).open()?;
        let (stop, stopped) = oneshot::channel();
        let mount = Mount {
            endpoint: endpoint(Endpoint::new(channel.clone())),
            channel: channel.clone(),
            limits,
            stop: stopped.map(|_| ()).boxed(),
        };
        let Running { address, done } = super::soon("the server to start", server.start(mount)).await??;
        Ok(Self { log, channel, address, stop: Some(stop), done: Some(done) })
    }

    pub(super) fn request(&self, method: &'static str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    pub(super) fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(self.address).await
    }

    /// Opens a stream and reads its first block.
    pub(super) async fn open(&self, path: &str) -> Result<Events, Failure> {
        first_block(self.get(path)).await
    }

    /// The origin of the server's own pages.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn write(&self, data: impl Into<String>) {
        self.log.publish(Message::new("site", data.into()));
    }

    /// Waits until so many events have come through the channel: who starts at the latest starts behind them.
    pub(super) async fn through(&self, events: usize) -> Result<(), Failure> {
        let through = async {
            while self.channel.status().log_events < events {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        super::soon("the events to come through the channel", through).await
    }

    /// Waits until the channel has so many clients.
    pub(super) async fn clients(&self, count: usize) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.channel.status().clients != count {
            ensure!(
                tokio::time::Instant::now() < deadline,
                "the channel has {} clients, not {count}",
                self.channel.status().clients
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Asks the server to shut down; gives what ends when it has.
    pub(super) fn stop(&mut self) -> Option<JoinHandle<()>> {
        if let Some(stop) = self.stop.take() {
            // A server that is gone has nobody who listens.
            stop.send(()).ok();
        }
        self.done.take()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(done) = &self.done {
            done.abort();
        }
    }
}

/// Opens a stream and reads its first block: from then on the client is counted.
pub(super) async fn first_block(request: Request) -> Result<Events, Failure> {
    let mut events = request.send().await?.events()?;
    let first = events.next().await?;
    ensure!(
        first.as_ref().is_some_and(|event| event.event_type == "tidewater.cursor" && event.data.is_empty()),
        "the first block is no cursor: {first:?}"
    );
    Ok(events)
}

/// A broker that can't be reached.
#[derive(Debug)]
pub(super) struct Unreachable;

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unreachable:")
    }
}

impl Unreachable {
    fn error() -> Error {
        Error::new(ErrorKind::Unavailable, "nobody answers")
    }
}

#[async_trait]
impl Source for Unreachable {
    fn kind(&self) -> &'static str {
        "unreachable"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { replay: true, from_time: true, partitioned: false, mergeable: true }
    }

    async fn bounds(&self) -> Result<Bounds> {
        Err(Self::error())
    }

    async fn subscribe(&self, _: Subscription) -> Result<Subscribed> {
        Err(Self::error())
    }
}

/// A broker that takes nothing.
#[derive(Debug)]
pub(super) struct Refuses(pub(super) ErrorKind);

impl std::fmt::Display for Refuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refuses:")
    }
}

#[async_trait]
impl Sink for Refuses {
    async fn send(&self, _: Message) -> Result<Receipt> {
        Err(Error::new(self.0, "the broker said no"))
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}
