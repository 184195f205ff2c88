//! axum, with its own events.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Result;
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Sse, sse},
    routing::get,
};
use futures_util::StreamExt as _;
use tokio::sync::broadcast::Sender;
use tokio_stream::wrappers::BroadcastStream;

use super::Event;
use crate::listen;

async fn events(State(sender): State<Sender<Event>>) -> impl IntoResponse {
    let events = BroadcastStream::new(sender.subscribe()).filter_map(async |event| {
        let event = event.ok()?;
        Some(Ok::<_, Infallible>(sse::Event::default().id(event.id.to_string()).data(&*event.data)))
    });
    Sse::new(events).keep_alive(sse::KeepAlive::default())
}

pub(super) async fn serve(address: SocketAddr, sender: Sender<Event>) -> Result<()> {
    let router = Router::new().route("/events", get(events)).with_state(sender);
    Ok(axum::serve(listen::bind(address)?, router).await?)
}
