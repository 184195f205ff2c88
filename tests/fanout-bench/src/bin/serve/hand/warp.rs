//! warp, with its own events.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Result;
use futures_util::StreamExt as _;
use tokio::sync::broadcast::Sender;
use tokio_stream::wrappers::BroadcastStream;
use warp::{Filter as _, sse};

use super::Event;
use crate::listen;

pub(super) async fn serve(address: SocketAddr, sender: Sender<Event>) -> Result<()> {
    let events = warp::path!("events").and(warp::get()).map(move || {
        let events = BroadcastStream::new(sender.subscribe()).filter_map(async |event| {
            let event = event.ok()?;
            Some(Ok::<_, Infallible>(sse::Event::default().id(event.id.to_string()).data(&*event.data)))
        });
        sse::reply(sse::keep_alive().stream(events))
    });
    warp::serve(events).incoming(listen::bind(address)?).run().await;
    Ok(())
}
