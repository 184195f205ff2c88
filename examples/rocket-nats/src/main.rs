//! NATS subjects as a page's live events, with rocket: `cargo xtask examples rocket-nats`.

mod feed;

use std::{env, net::SocketAddr};

use rocket::{State, get, response::content::RawHtml, routes};
use tidewater::{
    Channel, Hub, PayloadMode, Select,
    rocket::{EventStream, Resume},
};

/// Every room. A client that asks for `?event=…` or `?topic=…` gets that much of it.
#[get("/events")]
async fn events(resume: Resume, channel: &State<Channel>) -> EventStream {
    resume.open(channel).await
}

/// One room: what the handler selects *and* what the request selects, never more than the handler says.
#[get("/rooms/<room>/events")]
async fn room(room: &str, resume: Resume, channel: &State<Channel>) -> EventStream {
    resume.open_selected(channel, Select::topic(format!("climate.{room}"))).await
}

#[get("/")]
fn page() -> RawHtml<&'static str> {
    RawHtml(include_str!("page.html"))
}

#[rocket::main]
async fn main() -> anyhow::Result<()> {
    let listen: SocketAddr = env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    let nats = env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());

    let hub = Hub::new();
    let climate = hub
        .channel("climate")
        .source(format!("{nats}/climate.*"))
        // As JSON with the subject beside the payload, because the subject says which room it is.
        .payload(PayloadMode::Envelope)
        .open()?;
    feed::start(&nats)?;

    let config = rocket::Config::figment().merge(("address", listen.ip())).merge(("port", listen.port()));
    rocket::custom(config)
        // Ends every stream with a time to come back when rocket shuts down.
        .attach(tidewater::rocket::drain(&hub))
        .manage(climate)
        .mount("/", routes![page, events, room])
        .launch()
        .await?;
    Ok(())
}
