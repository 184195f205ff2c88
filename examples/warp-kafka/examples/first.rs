//! The first program of the README.

use tidewater::{Hub, Select};
use warp::Filter;

#[tokio::main]
async fn main() -> tidewater::Result<()> {
    let hub = Hub::new();
    let orders = hub.channel("orders").source("kafka://localhost:9092/orders").open()?;
    let events = warp::path!("users" / String / "events")
        .and(tidewater::warp::resume())
        .then(move |user: String, resume| {
            let orders = orders.clone();
            async move { tidewater::warp::reply(orders.stream(resume, Select::key(user)).await) }
        })
        .recover(tidewater::warp::recover);
    let stop = tidewater::warp::graceful(&hub, async { drop(tokio::signal::ctrl_c().await) });
    warp::serve(events).bind(([127, 0, 0, 1], 8080)).await.graceful(stop).run().await;
    Ok(())
}
