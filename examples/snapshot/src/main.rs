//! A table in a page that is there at once and stays current: `cargo xtask examples snapshot`.
//!
//! The page fetches the state together with a cursor, and opens the stream of changes at that cursor.

mod stock;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, env, net::SocketAddr, sync::Arc, time::Duration};

use tidewater::{ErrorKind, Hub};
use tokio::{net::TcpListener, signal};
use warp::{
    Filter, Reply,
    http::{StatusCode, header},
    reply::{json, with_header, with_status},
};

use stock::Stock;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listen: SocketAddr = env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:8080").parse()?;

    let hub = Hub::new();
    let changes = hub.channel("stock").source("memory:stock").sink("memory:stock").open()?;
    let stock = Arc::new(Stock::new(changes));
    // `--quiet`: nothing happens by itself.
    if !env::args().any(|arg| arg == "--quiet") {
        tokio::spawn(trade(stock.clone()));
    }
    let shutdown = tidewater::warp::graceful(&hub, async {
        signal::ctrl_c().await.ok();
    });
    eprintln!("The page is at http://{listen}/");
    warp::serve(routes(stock)).incoming(TcpListener::bind(listen).await?).graceful(shutdown).run().await;
    Ok(())
}

/// The page, the state, the stream, and a way to change something.
fn routes(stock: Arc<Stock>) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone {
    let events = warp::path!("events").and(tidewater::warp::sse(stock.changes().clone()));
    let page = warp::path::end().map(|| warp::reply::html(include_str!("page.html")));
    let with_stock = warp::any().map(move || stock.clone());
    let state = warp::path!("state").and(warp::get()).and(with_stock.clone()).then(state);
    // `curl -d 3 localhost:8080/items/apples`
    let change = warp::path!("items" / String)
        .and(warp::post())
        .and(warp::body::content_length_limit(64))
        .and(warp::body::bytes())
        .and(with_stock)
        .then(change);
    page.or(state).or(events).or(change)
}

/// The cursor and the state in one answer. No cache may keep it: it is old at once.
async fn state(stock: Arc<Stock>) -> impl Reply {
    let reply = match stock.snapshot().await {
        Ok(snapshot) => with_status(json(&snapshot), StatusCode::OK),
        // The page asks again.
        Err(error) => with_status(json(&error.to_string()), StatusCode::SERVICE_UNAVAILABLE),
    };
    with_header(reply, header::CACHE_CONTROL, "no-store")
}

async fn change(name: String, body: impl AsRef<[u8]>, stock: Arc<Stock>) -> impl Reply {
    let count = std::str::from_utf8(body.as_ref()).ok().and_then(|text| text.trim().parse().ok());
    let Some(count) = count else {
        return with_status(json(&"the body has to be a number"), StatusCode::BAD_REQUEST);
    };
    match stock.add(&name, count).await {
        Ok(item) => with_status(json(&item), StatusCode::OK),
        Err(error) if error.kind() == ErrorKind::Rejected => {
            with_status(json(&error.to_string()), StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(error) => with_status(json(&error.to_string()), StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Goods that come and go.
async fn trade(stock: Arc<Stock>) -> tidewater::Result<Infallible> {
    let goods = ["apples", "bread", "cheese", "dates", "eggs", "figs", "grapes", "honey"];
    for number in 0_usize.. {
        let count = [5, -1, 3, -2, 4][number % 5];
        stock.add(goods[number * 3 % goods.len()], count).await?;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    unreachable!("it counts for ever")
}
