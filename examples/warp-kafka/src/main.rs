//! A Kafka topic as a page's live events, with warp: `cargo xtask examples warp-kafka`.

mod feed;

use std::{env, net::SocketAddr};

use tidewater::{Hub, Select};
use tokio::{net::TcpListener, signal};
use warp::Filter as _;

const TOPIC: &str = "shop.orders";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listen: SocketAddr = env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    let brokers = env::var("KAFKA_BROKERS").unwrap_or_else(|_| "127.0.0.1:9092".to_owned());

    // One subscription to the topic, whatever the number of clients. A broker that can't be reached is no error here:
    // it is tried again behind the channel, and clients are told when to come back.
    let hub = Hub::new();
    let topic = format!("kafka://{brokers}/{TOPIC}");
    let orders = hub.channel("orders").source(topic.as_str()).sink(topic.as_str()).open()?;
    tokio::spawn(feed::run(brokers, orders.clone()));

    // The open form: handlers of the application's own, with its own extractors, make the streams.
    let channel = orders.clone();
    let all = warp::path!("events").and(tidewater::warp::resume()).then(move |resume| {
        let channel = channel.clone();
        async move { tidewater::warp::reply(channel.stream(resume, Select::all()).await) }
    });
    // Orders have the customer as their key. A client of one customer is woken by that customer's orders only.
    let of_customer = warp::path!("customers" / String / "events").and(tidewater::warp::resume()).then(
        move |customer: String, resume| {
            let channel = orders.clone();
            async move { tidewater::warp::reply(channel.stream(resume, Select::key(customer)).await) }
        },
    );
    let page = warp::path::end().map(|| warp::reply::html(include_str!("page.html")));
    let routes = page.or(all).or(of_customer).recover(tidewater::warp::recover);

    // warp alone would wait for open streams for ever: this ends them first, each with a time to come back.
    let shutdown = tidewater::warp::graceful(&hub, async {
        signal::ctrl_c().await.ok();
    });
    eprintln!("The page is at http://{listen}/");
    warp::serve(routes).incoming(TcpListener::bind(listen).await?).graceful(shutdown).run().await;
    Ok(())
}
