//! rocket, with its own events.

use std::net::SocketAddr;

use anyhow::Result;
use rocket::{
    State, get,
    response::stream::{Event as RocketEvent, EventStream},
    routes,
    tokio::sync::broadcast::{Sender, error::RecvError},
};

use super::Event;
use crate::ours::rocket_config;

#[get("/events")]
fn events(sender: &State<Sender<Event>>) -> EventStream![RocketEvent] {
    let mut receiver = sender.subscribe();
    EventStream! {
        loop {
            match receiver.recv().await {
                Ok(event) => yield RocketEvent::data(event.data.to_string()).id(event.id.to_string()),
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => break,
            }
        }
    }
}

pub(super) async fn serve(address: SocketAddr, sender: Sender<Event>) -> Result<()> {
    drop(rocket::custom(rocket_config(address)).manage(sender).mount("/", routes![events]).launch().await?);
    Ok(())
}
