//! salvo, with its own events.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Result;
use futures_util::StreamExt as _;
use salvo::{
    Depot, FlowCtrl, Handler, Request, Response, Router, Server, async_trait,
    conn::tcp::TcpAcceptor,
    sse::{SseEvent, SseKeepAlive},
};
use tokio::sync::broadcast::Sender;
use tokio_stream::wrappers::BroadcastStream;

use super::Event;
use crate::listen;

struct Events(Sender<Event>);

#[async_trait]
impl Handler for Events {
    async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let events = BroadcastStream::new(self.0.subscribe()).filter_map(async |event| {
            let event = event.ok()?;
            Some(Ok::<_, Infallible>(SseEvent::default().id(event.id.to_string()).text(&*event.data)))
        });
        SseKeepAlive::new(events.boxed()).stream(res);
    }
}

pub(super) async fn serve(address: SocketAddr, sender: Sender<Event>) -> Result<()> {
    let acceptor = TcpAcceptor::try_from(listen::bind(address)?)?;
    Ok(Server::new(acceptor).try_serve(Router::with_path("events").get(Events(sender))).await?)
}
