//! Vehicles on a map, from Kafka with axum: `cargo xtask examples axum-kafka`.

mod company;
mod feed;
mod place;
#[cfg(test)]
mod tests;

use std::{env, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    response::{Html, Response},
    routing::get,
};
use tidewater::{
    Channel, Hub, LagPolicy, Select,
    axum::{Resume, reply},
    http::{Limits, LimitsConfig, Proxies},
};
use tokio::{net::TcpSocket, signal};

use company::Company;

const TOPIC: &str = "fleet.places";

/// What the handlers need.
#[derive(Clone)]
struct Site {
    places: Channel,
    limits: Limits,
}

/// The places of the company's own vehicles, on a hundred screens of its at most. Whoever is over that is told to come back
/// later, by a stream and not by a status: an `EventSource` would give up for good.
async fn events(company: Company, Resume(resume): Resume, State(site): State<Site>) -> Response {
    // What the request itself selects (`?tag=south`) can only narrow this: nobody gets past what the handler says.
    let select = Select::tag(company.0);
    reply(resume.open_limited(&site.places, select, &site.limits, Some(company.0)).await)
}

/// The browser asks for the password here, and has it for the stream.
async fn page(_: Company) -> Html<&'static str> {
    Html(include_str!("page.html"))
}

fn app(places: Channel) -> Router {
    let config = LimitsConfig { streams_per_subject: Some(100), ..LimitsConfig::default() };
    let limits = Limits::new(config, Proxies::default());
    Router::new().route("/", get(page)).route("/events", get(events)).with_state(Site { places, limits })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listen: SocketAddr = env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    let brokers = env::var("KAFKA_BROKERS").unwrap_or_else(|_| "127.0.0.1:9092".to_owned());

    let hub = Hub::new();
    let topic = format!("kafka://{brokers}/{TOPIC}");
    let places = hub
        .channel("places")
        .source(topic.as_str())
        .sink(topic.as_str())
        .map(place::step)
        // Where a vehicle was a minute ago is nothing for a map: who falls behind the log gets the newest of each.
        .lag(LagPolicy::Conflate)
        .open()?;
    tokio::spawn(feed::run(places.clone()));

    // All pages come back at once after a restart: a queue of 4,096 has room for them, where tokio's own is short. And an
    // event does not wait for the one before it to be acknowledged.
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(listen)?;
    // axum alone would wait for open streams for ever: this ends them first, each with a time to come back.
    let shutdown = tidewater::axum::graceful(&hub, async {
        signal::ctrl_c().await.ok();
    });
    eprintln!("The page is at http://{listen}/ (north/star, south/sea)");
    axum::serve(socket.listen(4096)?, app(places)).with_graceful_shutdown(shutdown).await?;
    Ok(())
}
