//! A step of the application's own between the broker and the browser: `cargo xtask examples transform`.
//!
//! Two channels over one log of orders: JSON without what is nobody's business, and finished HTML.

mod step;

use std::{env, net::SocketAddr, time::Duration};

use serde_json::json;
use tidewater::{Channel, Hub, MapFailure, Message};
use tokio::{net::TcpListener, signal};
use warp::Filter as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listen: SocketAddr = env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:8080").parse()?;

    let hub = Hub::new();
    // Each step runs once per message, however many clients there are. A message on which it fails is a gap event
    // (the default): for a page it is better to know that something is missing than not to see it.
    let events = hub
        .channel("events")
        .source("memory:orders")
        .sink("memory:orders")
        .map(step::without_card)
        .on_map_failure(MapFailure::Gap)
        .open()?;
    let fragments = hub.channel("fragments").source("memory:orders").map(step::fragment).open()?;

    tokio::spawn(feed(events.clone()));
    let page = warp::path::end().map(|| warp::reply::html(include_str!("page.html")));
    let events = warp::path("events").and(tidewater::warp::sse(events));
    let fragments = warp::path("fragments").and(tidewater::warp::sse(fragments));
    let shutdown = tidewater::warp::graceful(&hub, async {
        signal::ctrl_c().await.ok();
    });
    eprintln!("The page is at http://{listen}/");
    let routes = page.or(events).or(fragments);
    warp::serve(routes).incoming(TcpListener::bind(listen).await?).graceful(shutdown).run().await;
    Ok(())
}

/// Orders that come in, are paid and are shipped; now and then something that is no order.
async fn feed(orders: Channel) -> tidewater::Result<()> {
    let customers = ["Ada <ada@example.com>", "Bob", "Cleo & Co"];
    let steps = ["order.created", "order.paid", "order.shipped"];
    for number in 0.. {
        let (order, step) = (number / steps.len(), steps[number % steps.len()]);
        let payload = json!({
            "type": step, "order": order, "customer": customers[order % customers.len()],
            "total": 1200 + 350 * (order % 7), "card": "4111 1111 1111 1111",
        });
        orders.publish(Message::new("orders", payload.to_string())).await?;
        if number % 20 == 19 {
            orders.publish(Message::new("orders", "no JSON at all")).await?;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    Ok(())
}
